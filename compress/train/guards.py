"""What stops a run that cannot come to anything: a loss that is not finite or is huge, a net that still guesses after the
warm-up.

The loss of guessing is that of a net which gives every class the same probability: ln(classes), but for train.distill."""

from __future__ import annotations

import math
from collections import deque

from compress.errors import TrainingDiverged

WINDOW = 100  # steps whose mean loss is looked at
LEAST_STEPS = 300  # before which no net is called stuck
PATIENCE = 0.1  # of the steps after the warm-up
AT_CHANCE = 0.99  # of the loss of guessing
HUGE = 10_000.0  # times the loss of guessing: no net comes back from there, though BatchNorm can keep it finite


class StuckAtChance:
    """Looks once, WINDOW steps long, after the warm-up and a tenth of the steps: the loss must be below that of guessing. A run
    that is resumed in these steps, or after, has its WINDOW then."""

    def __init__(self, n_steps: int, warmup: float) -> None:
        self._last = max(LEAST_STEPS, round((warmup + PATIENCE * (1 - warmup)) * n_steps))
        self._losses: deque[tuple[float, float]] | None = deque(maxlen=WINDOW)

    def look(self, step: int, loss: float, guessing: float) -> None:
        """step: that was done, from 1. guessing: the loss of guessing, on the same images. Raises TrainingDiverged."""
        if self._losses is None:
            return
        self._losses.append((loss, guessing))
        if step < self._last or len(self._losses) < WINDOW:
            return
        mean, chance = (sum(values) / WINDOW for values in zip(*self._losses, strict=True))
        self._losses = None
        if mean > AT_CHANCE * chance:
            raise TrainingDiverged(
                f"train: after {step} steps the loss is {mean:.3f}, guessing gives {chance:.3f}: the net learns "
                "nothing; try train.batchnorm: true, a learning_rate of a third, a longer warmup, or "
                "model.conv10_relu: false (with few classes an output that dies is never learned)"
            )


def is_hopeless(loss: float, guessing: float) -> bool:
    """Whether a step's mean loss is not finite, or huge."""
    return not math.isfinite(loss) or loss > HUGE * max(1.0, guessing)


def diverged(what: str, step: int, n_steps: int, where: str | None) -> TrainingDiverged:
    """what: is wrong, in words. step: at work, from 1. where: the first tensor that is not finite, if one is."""
    first = f", first in {where}" if where is not None else ""
    advice = "lower train.learning_rate, give it a warmup, or set clip: 1"
    return TrainingDiverged(f"train: {what} at step {step} of {n_steps}{first}; {advice}")
