"""Several processes that train one net (torchrun): who this one is, and what it does when another is lost."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from compress.errors import InputError, RankLost


@dataclass(frozen=True)
class Process:
    """rank: of this process, of `world` in all; local_rank: on this machine. One process alone is rank 0 of 1."""

    rank: int = 0
    world: int = 1
    local_rank: int = 0

    @property
    def is_first(self) -> bool:
        """Whether this one writes, measures and talks."""
        return self.rank == 0

    def parallel(self, net: nn.Module, device: torch.device) -> nn.Module:
        """A net whose gradients are the mean over all processes after each backward pass."""
        if self.world == 1:
            return net
        return DistributedDataParallel(net, device_ids=[device] if device.type == "cuda" else None)

    def total(self, values: Tensor) -> Tensor:
        """The sum over all processes, in place."""
        if self.world > 1:
            dist.all_reduce(values)
        return values

    def from_first(self, value: Any) -> Any:
        """What rank 0 has. Not for large things."""
        if self.world == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0)
        return box[0]


ALONE = Process()


def from_environment() -> Process:
    """As torchrun tells it. Raises InputError for variables that are no numbers."""
    try:
        rank, world, local = (int(os.environ.get(name, default)) for name, default in VARIABLES.items())
    except ValueError as error:
        raise InputError(f"{', '.join(VARIABLES)} must be whole numbers, as torchrun sets them: {error}") from error
    return Process(rank, world, local)


VARIABLES = {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0"}


@contextmanager
def group(process: Process, device: torch.device) -> Iterator[None]:
    """The processes as a group, for as long as the body runs. Raises RankLost where another of them is gone."""
    if process.world == 1:
        yield
        return
    try:
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo", rank=process.rank, world_size=process.world)
        yield
    except RuntimeError as error:
        if _is_of_a_peer(error):
            raise RankLost(
                f"rank {process.rank} of {process.world}: another process of this run is gone, so this one ends; the last "
                f"checkpoint is kept, and the same command goes on from it ({str(error).splitlines()[0][:200]})"
            ) from error
        raise
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


def _is_of_a_peer(error: RuntimeError) -> bool:
    words = ("gloo", "connection closed", "connection reset", "nccl", "peer", "socket timeout")
    return isinstance(error, dist.DistError) or any(word in str(error).lower() for word in words)
