"""What stops a run that cannot come to anything: a loss that is not finite, a net that still guesses after the warm-up."""

from __future__ import annotations

import math

from compress.errors import TrainingDiverged

WINDOW = 100  # steps whose mean loss is looked at
LEAST_STEPS = 300  # before which no net is called stuck
PATIENCE = 0.1  # of the steps after the warm-up
AT_CHANCE = 0.99  # of the loss of guessing


class StuckAtChance:
    """Looks once, WINDOW steps long, after the warm-up and a tenth of the steps: the loss must be below that of guessing."""

    def __init__(self, n_classes: int, n_steps: int, warmup: float) -> None:
        self._chance = math.log(n_classes)
        self._last = max(LEAST_STEPS, round((warmup + PATIENCE * (1 - warmup)) * n_steps))
        self._first = self._last - WINDOW
        self._losses: list[float] = []

    def look(self, step: int, loss: float) -> None:
        """step: that was done, from 1. Raises TrainingDiverged."""
        if self._first < step <= self._last:
            self._losses.append(loss)
        if step == self._last and len(self._losses) == WINDOW:
            mean = sum(self._losses) / WINDOW
            if mean > AT_CHANCE * self._chance:
                raise TrainingDiverged(
                    f"train: after {step} steps the loss is {mean:.3f}, guessing gives {self._chance:.3f}: the net learns "
                    "nothing; try train.batchnorm: true, a learning_rate of a third, a longer warmup, or "
                    "model.conv10_relu: false (with few classes an output that dies is never learned)"
                )


def not_finite(loss: float, step: int, n_steps: int, where: str) -> TrainingDiverged:
    """where: the first tensor that is not finite."""
    first = f", first in {where}" if where != "the loss itself" else ""
    advice = "lower train.learning_rate, give it a warmup, or set clip: 1"
    return TrainingDiverged(f"train: the loss is {loss} at step {step} of {n_steps}{first}; {advice}")
