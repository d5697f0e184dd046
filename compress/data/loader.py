"""Batches of a training set: which pictures are in which step, on which rank, made by which worker.

An epoch is a permutation of the set, cut into steps of batch_size; rank r of w takes every w-th picture of a step, in
micro-batches. Every picture is in one step of an epoch, on one rank, once. The last step may be smaller.
"""

from __future__ import annotations

import logging
import math
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from compress.cores import n_cores
from compress.data.training import TrainingSet, keep_decoded
from compress.errors import ImageError, InputError
from compress.recipe import Augment, Train

PREFETCHED = 4  # micro-batches a worker is ahead
USES_FORK = sys.platform == "linux"  # workers share the parent's memory; elsewhere each would get a copy of the pictures


@dataclass(frozen=True)
class Key:
    """Which pictures a micro-batch has, and what they become."""

    epoch: int
    side: int
    indices: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Batch:
    """A micro-batch: pixels (b, side, side, c) uint8, labels (b,), weights (b,), factors (3, b) of colour jitter.

    weights: 1; 0 for a black image in the place of a picture that cannot be read, or where a rank has none in this step.
    skipped: what is wrong with those that cannot be read."""

    pixels: Tensor
    labels: Tensor
    weights: Tensor
    factors: Tensor
    skipped: tuple[str, ...]

    def pin_memory(self) -> Batch:
        return self._with_each(Tensor.pin_memory)

    def clone(self) -> Batch:
        return self._with_each(Tensor.clone)

    def _with_each(self, change: Callable[[Tensor], Tensor]) -> Batch:
        return Batch(change(self.pixels), change(self.labels), change(self.weights), change(self.factors), self.skipped)


class _MicroBatches(Dataset[Batch]):
    def __init__(self, training: TrainingSet, augment: Augment, seed: int) -> None:
        self._training, self._augment, self._seed = training, augment, seed

    def __getitem__(self, key: Key) -> Batch:
        training, n_channels = self._training, len(self._training.mode)
        n = max(1, len(key.indices))  # a rank without a picture goes along with a black one
        pixels = np.zeros((n, key.side, key.side, n_channels), np.uint8)
        labels, weights = np.zeros(n, np.int64), np.zeros(n, np.float32)
        factors, skipped = np.ones((3, n), np.float32), []
        for j, i in enumerate(key.indices):
            try:
                pixels[j], factors[:, j] = training.example(
                    i, key.side, self._augment, np.random.default_rng((self._seed, key.epoch, i))
                )
            except ImageError as error:
                skipped.append(str(error))
                continue
            labels[j], weights[j] = training.labels[i], 1.0
        made = [torch.from_numpy(array) for array in (pixels, labels, weights, factors)]
        return Batch(made[0], made[1], made[2], made[3], tuple(skipped))


class _Keys(Sampler[Key]):
    """What the loader is to make next: set before each pass."""

    def __init__(self) -> None:
        self.keys: list[Key] = []

    def __iter__(self) -> Iterator[Key]:
        return iter(self.keys)

    def __len__(self) -> int:
        return len(self.keys)


class Loader:
    """n_steps: optimizer steps of an epoch. Raises InputError for a batch larger than the set."""

    def __init__(
        self, training: TrainingSet, train: Train, *, seed: int, rank: int = 0, world: int = 1, pin_memory: bool = False
    ) -> None:
        if train.batch_size > len(training):
            raise InputError(f"train.batch_size is {train.batch_size}, data.train has {len(training)} images; at most those")
        workers = _allowed_workers(train.workers)
        if not workers or USES_FORK:
            training = keep_decoded(training, train.cache_gb)
        self.n_images = len(training)
        self.n_steps = math.ceil(len(training) / train.batch_size)
        self._batch_size, self._micro_batch = train.batch_size, train.micro_batch or train.batch_size
        self._seed, self._rank, self._world = seed, rank, world
        self._keys = _Keys()
        self._are_shared = workers > 0 and not pin_memory
        self._fixed_side = None if training.fixed is None else training.fixed.shape[1]
        self._loader = DataLoader(
            _MicroBatches(training, train.augment, seed),
            batch_size=None,
            sampler=self._keys,
            num_workers=workers,
            prefetch_factor=PREFETCHED if workers else None,
            persistent_workers=workers > 0,
            pin_memory=pin_memory,
            multiprocessing_context=multiprocessing.get_context("fork") if workers and USES_FORK else None,
            worker_init_fn=_outlive_signals,
            generator=torch.Generator(),  # else each pass would draw from torch's own, as dropout does
        )

    def steps(self, epoch: int, first: int, side: Callable[[int], int]) -> Iterator[tuple[int, list[Batch]]]:
        """The micro-batches of this rank for each step of an epoch, from step `first` of it on, each with the number of
        pictures that the step has on all ranks. side: of the crops in a step of this epoch, pixels."""
        n_micro = []
        self._keys.keys = []
        for step, indices in enumerate(self.batches(epoch)):
            if step < first:
                continue
            own = indices[self._rank :: self._world].tolist()
            cuts = range(0, max(1, len(own)), self._micro_batch)
            crop = self._fixed_side or side(step)
            self._keys.keys += [Key(epoch, crop, tuple(own[at : at + self._micro_batch])) for at in cuts]
            n_micro.append((len(indices), len(cuts)))
        made = iter(self._loader)
        for n_images, n in n_micro:
            # A tensor from a worker holds an open file: a step of many micro-batches would run out of them.
            yield n_images, [next(made).clone() if self._are_shared else next(made) for _ in range(n)]

    def batches(self, epoch: int) -> list[npt.NDArray[np.int64]]:
        """The places in the set of each step's pictures, of all ranks."""
        order = np.random.default_rng((self._seed, epoch)).permutation(self.n_images)
        return [order[at : at + self._batch_size] for at in range(0, self.n_images, self._batch_size)]


def _outlive_signals(worker: int) -> None:
    """In a worker: go on when all processes are told to stop (Ctrl-C, a cluster's SIGTERM). The one that trains finishes its
    step, for which it wants batches, and then ends the workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "sigwaitinfo"):  # not on macOS and Windows
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != os.getppid():
        pass
    os._exit(0)


def _allowed_workers(asked: int) -> int:
    cores = n_cores()
    if asked > cores:
        logging.getLogger(__name__).warning(
            "train.workers: %d asked for, this process may use %d cores; %d are used", asked, cores, cores
        )
    return min(asked, cores)
