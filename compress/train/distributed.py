"""Several processes that train one net (torchrun): who this one is, and what it does when another is lost."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from compress.errors import InputError, RankLost

BACKENDS = {"cpu": "gloo", "cuda": "nccl"}  # by the type of the device
VARIABLES = ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")  # beside WORLD_SIZE
GATHER = timedelta(minutes=5)  # for all processes to start; a process that never does would else be waited for
PATIENCE = timedelta(hours=1)  # of one for the others, which may be reading pictures or measuring; a dead one is seen at once


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
    """As torchrun tells it; without WORLD_SIZE, or where that is 1, one process alone. Raises InputError for variables that are
    missing, no numbers, or contradict each other."""
    world = _number("WORLD_SIZE", os.environ.get("WORLD_SIZE") or "1", least=1)
    if world == 1:
        return ALONE
    missing = [name for name in VARIABLES if not os.environ.get(name)]
    if missing:
        raise InputError(
            f"WORLD_SIZE is {world}, and {', '.join(missing)} not set: start the processes with torchrun, or unset WORLD_SIZE"
        )
    rank, local_rank, port = (_number(name, os.environ[name]) for name in ("RANK", "LOCAL_RANK", "MASTER_PORT"))
    if not 0 <= rank < world:
        raise InputError(f"RANK must be from 0 to WORLD_SIZE - 1, which is {world - 1}, got {rank}")
    if not 0 <= local_rank <= rank:
        raise InputError(f"LOCAL_RANK must be from 0 to RANK, which is {rank}, got {local_rank}")
    if not 0 < port < 1 << 16:
        raise InputError(f"MASTER_PORT must be from 1 to 65535, got {port}")
    return Process(rank, world, local_rank)


def _number(name: str, text: str, *, least: int = 0) -> int:
    if not (text.isascii() and text.isdecimal()) or int(text) < least:
        raise InputError(
            f"the environment variable {name} must be a whole number from {least}, as torchrun sets it, got {text!r}"
        )
    return int(text)


@contextmanager
def group(process: Process, device: torch.device) -> Iterator[None]:
    """The processes as a group, for as long as the body runs. Raises RankLost where another of them is gone or never comes,
    InputError for a device on which several cannot train together."""
    if process.world == 1:
        yield
        return
    if device.type not in BACKENDS:
        raise InputError(f"--device {device.type}: several processes train on {' or '.join(BACKENDS)}")
    try:
        _gather(process, device)
        yield
    except RuntimeError as error:
        if _is_of_a_peer(error):
            raise RankLost(
                f"rank {process.rank} of {process.world}: another process of this run is gone, so this one ends; the same "
                f"command goes on from the last checkpoint ({_reason(error)})"
            ) from error
        raise
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


def _gather(process: Process, device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.set_device(device)  # or what is sent as an object goes through the first GPU, for every process
    try:
        store, _, _ = next(dist.rendezvous("env://", process.rank, process.world, timeout=GATHER))
        store.set_timeout(PATIENCE)
        dist.init_process_group(BACKENDS[device.type], store=store, rank=process.rank, world_size=process.world, timeout=PATIENCE)
    except RuntimeError as error:
        place = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
        raise RankLost(
            f"rank {process.rank} of {process.world}: the processes did not come together at {place} (MASTER_ADDR, MASTER_PORT): "
            f"one never started, or another program has the port ({_reason(error)})"
        ) from error


def _is_of_a_peer(error: RuntimeError) -> bool:
    words = ("gloo", "connection closed", "connection reset", "nccl", "peer", "socket timeout")
    return isinstance(error, dist.DistError) or any(word in str(error).lower() for word in words)


def _reason(error: RuntimeError) -> str:
    """The first sentence of an error, without the place in torch's own source."""
    line = next(iter(str(error).splitlines()), type(error).__name__)
    return re.sub(r"^\[\S+:\d+\] ", "", line).partition(". ")[0][:200]
