"""What a step of data-parallel training sends: the gradients, all-reduced between the workers.

The bytes are measured: two processes of this machine train the net, and the hook that DistributedDataParallel calls for each
bucket of gradients (Li et al. 2020, arXiv 2006.15704, section 3) counts them. The times are computed, for a ring all-reduce.
"""

# No `from __future__ import annotations`: DistributedDataParallel compares the annotations of a hook with the types.

import json
import math
import os
import socket
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor, nn
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook

from compress.convention import TORCHVISION
from compress.errors import InputError
from compress.models.built_in import build
from compress.models.factory import build_from, import_factory
from compress.recipe import AlexNetSpec, BuiltInSpec, FactorySpec, Recipe, SqueezeNetSpec

PROCESSES = 2  # of a measurement
TIMEOUT_SECONDS = 600.0  # of a measurement; tens are usual, for the most part to import torch twice
WORKERS = (2, 4, 16, 64, 256, 1024)
GBIT_PER_SECOND = (1, 10, 100)
IMAGES = 1_281_167  # ImageNet's training images (ILSVRC 2012)
BATCH_SIZE = 512  # images of one step on all workers together (arXiv 1602.07360, the authors' solver)


@dataclass(frozen=True)
class Net:
    """What is measured. build: makes the net; it goes to other processes, so it must be one that pickle can copy.
    example_shape: (b, c, h, w) of a batch of one process. The gradients of small images are as large as of large ones."""

    name: str
    build: Callable[[], nn.Module]
    example_shape: tuple[int, ...]


@dataclass(frozen=True)
class RingTime:
    """What an all-reduce of one step takes with so many workers, each with a network link of so many Gbit/s each way."""

    workers: int
    gbit_per_second: float
    seconds: float


@dataclass(frozen=True)
class Communication:
    """A net and what training it sends. parameters: all of the net's, frozen ones too. bytes_per_step: the gradients that are
    all-reduced, 4 bytes for each parameter that is trained. bytes_per_epoch: of all its steps. seconds: WORKERS by
    GBIT_PER_SECOND."""

    name: str
    parameters: int
    bytes_per_step: int
    bytes_per_epoch: int
    seconds: tuple[RingTime, ...]


def published_nets() -> list[Net]:
    specs: dict[str, BuiltInSpec] = {
        "AlexNet": AlexNetSpec(name="alexnet"),
        "SqueezeNet v1.0": SqueezeNetSpec.model_validate({"version": "1.0"}),
        "SqueezeNet v1.1": SqueezeNetSpec.model_validate({"version": "1.1"}),
    }
    return [_built_in(name, spec) for name, spec in specs.items()]


def net_of(recipe: Recipe) -> Net:
    """The net of a recipe as it is made, before BatchNorms are folded: they are trained apart."""
    if not isinstance(recipe.model, FactorySpec):
        return _built_in(recipe.name, recipe.model)
    taken = recipe.input or TORCHVISION
    if recipe.input is None and recipe.data.is_digits():
        from compress.data import digits  # costs a scikit-learn, which the two processes need not pay

        taken = digits.CONVENTION
    build = partial(_build_factory, recipe.model.factory)
    return Net(recipe.name, build, (2, len(taken.channels), taken.size, taken.size))  # 2: a BatchNorm refuses one value


def communication(nets: Sequence[Net], *, images: int = IMAGES, batch_size: int = BATCH_SIZE) -> list[Communication]:
    """Measure nets, all in one run. Raises InputError where a step sends other bytes than the gradients of the parameters that
    are trained."""
    rows = []
    sizes = [_sizes(net.build()) for net in nets]  # before the processes start: a factory that fails does so here
    for net, (n_parameters, trained_bytes), n_bytes in zip(nets, sizes, measure(nets), strict=True):
        if n_bytes != trained_bytes:
            raise InputError(f"{net.name}: a step sends {n_bytes:,} bytes, its gradients are {trained_bytes:,}")
        seconds = tuple(
            RingTime(workers, gbit_per_second, ring_seconds(n_bytes, workers, gbit_per_second))
            for gbit_per_second in GBIT_PER_SECOND
            for workers in WORKERS
        )
        rows.append(Communication(net.name, n_parameters, n_bytes, n_bytes * steps_per_epoch(images, batch_size), seconds))
    return rows


def _sizes(net: nn.Module) -> tuple[int, int]:
    """(parameters, bytes of those that are trained)."""
    parameters = list(net.parameters())
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    return sum(each.numel() for each in parameters), sum(each.numel() * each.element_size() for each in trained)


def steps_per_epoch(images: int, batch_size: int) -> int:
    """The last batch may be a smaller one; its gradients are as large."""
    return math.ceil(images / batch_size)


def ring_seconds(n_bytes: int, workers: int, gbit_per_second: float) -> float:
    """Each worker sends 2 (n - 1) / n of the bytes, all at once, over links that work both ways (Patarasuk and Yuan 2009,
    "Bandwidth optimal all-reduce algorithms for clusters of workstations"). Bandwidth alone: no latency, no overlap with the
    backward pass."""
    return 2 * (workers - 1) / workers * 8 * n_bytes / (gbit_per_second * 1e9)


def measure(nets: Sequence[Net]) -> list[int]:
    """Bytes that one training step of each net hands to the all-reduce, counted on two processes of this machine.

    Raises InputError with the message of the process that failed first, and where the two do not count the same.
    """
    if not (dist.is_available() and dist.is_gloo_available()):
        raise InputError("communication: this build of torch has no gloo (torch.distributed), which a measurement needs")
    with tempfile.TemporaryDirectory(prefix="squeeze-compress-") as folder:
        first, *others = _measure_in_processes(nets, Path(folder))
    for other in others:
        for net, n, n_other in zip(nets, first, other, strict=True):
            if n != n_other:
                raise InputError(f"communication: {net.name}: one process counts {n:,} bytes a step, another {n_other:,}")
    return first


def _measure_in_processes(nets: Sequence[Net], folder: Path) -> list[list[int]]:
    """What each process counted, a number a net. None is left running, whatever happens."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    context = mp.spawn(_process, (nets, folder), nprocs=PROCESSES, join=False, daemon=True)
    try:
        while not context.join(timeout=max(0.0, deadline - time.monotonic())):
            if time.monotonic() > deadline:
                raise InputError(f"communication: no result in {TIMEOUT_SECONDS:g} s")
        return [json.loads(_counts_file(folder, rank).read_text(encoding="utf-8")) for rank in range(PROCESSES)]
    except mp.ProcessRaisedException as error:
        raise InputError(f"communication: {_failure_file(folder).read_text(encoding='utf-8')}") from error
    except mp.ProcessExitedException as error:  # killed, for want of memory for instance
        raise InputError(f"communication: {error}") from error
    except FileNotFoundError as error:
        raise InputError("communication: a process left without a result") from error
    finally:
        for process in context.processes:
            process.kill()
            process.join()


def _process(rank: int, nets: Sequence[Net], folder: Path) -> None:
    """Leaves its counts, or its error, in a file. The first to fail writes: the other then fails for want of its peer."""
    at_work = "torch.distributed"
    try:
        _join_group(rank, folder)
        counts = []
        for net in nets:
            at_work = net.name
            counts.append(bytes_of_a_step(net.build(), net.example_shape))
        dist.barrier()  # neither hangs up on the other
        dist.destroy_process_group()
    except Exception as error:
        with suppress(FileExistsError), _failure_file(folder).open("x", encoding="utf-8") as file:
            file.write(f"{at_work}: {type(error).__name__}: {error}")
        raise
    _counts_file(folder, rank).write_text(json.dumps(counts), encoding="utf-8")


def _join_group(rank: int, folder: Path) -> None:
    """The processes meet by a file, and talk by the loopback interface; gloo would take the host name's, if that resolves."""
    torch.set_num_threads(max(1, torch.get_num_threads() // PROCESSES))
    for name in {"lo", "lo0"}.intersection(name for _, name in socket.if_nameindex()):
        os.environ["GLOO_SOCKET_IFNAME"] = name
    store = dist.FileStore(str(folder / "store"), PROCESSES)
    patience = timedelta(seconds=TIMEOUT_SECONDS)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=PROCESSES, timeout=patience)


def bytes_of_a_step(net: nn.Module, example_shape: tuple[int, ...]) -> int:
    """In a process of an initialised group, with the same call in the others: the bytes of the buckets of the second step.

    The first step puts the buckets in the order in which the gradients came. A parameter that gets none fails the second.
    """
    sent: list[int] = []  # bytes of each bucket

    def count(group: dist.ProcessGroup, bucket: dist.GradBucket) -> torch.futures.Future[Tensor]:
        sent.append(bucket.buffer().numel() * bucket.buffer().element_size())
        return allreduce_hook(group, bucket)

    parallel = nn.parallel.DistributedDataParallel(net.train(), gradient_as_bucket_view=True)
    parallel.register_comm_hook(dist.group.WORLD, count)
    images = torch.randn(example_shape, generator=torch.Generator().manual_seed(dist.get_rank()))
    for _ in range(2):
        sent.clear()
        parallel.zero_grad()
        parallel(images).sum().backward()
    return sum(sent)


def _counts_file(folder: Path, rank: int) -> Path:
    return folder / f"counts-{rank}.json"


def _failure_file(folder: Path) -> Path:
    return folder / "failure"


def _built_in(name: str, spec: BuiltInSpec) -> Net:
    return Net(name, partial(build, spec), (2, spec.in_channels, spec.smallest_side, spec.smallest_side))


def _build_factory(factory: str) -> nn.Module:
    return build_from(import_factory(factory), factory)
