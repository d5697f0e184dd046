"""The pictures whose prediction changed, as a page shows them. changed.py finds them, with torch; this needs none."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Picture:
    """data_url: the picture as the nets see it. label: its class, or "" where that is not known; before, after: what the
    uncompressed net and the file's take it for, with their probabilities. outcome: "lost" where the first was right, "won" where
    the second is, else ""."""

    data_url: str
    label: str
    before: str
    before_probability: float
    after: str
    after_probability: float
    outcome: str
    is_small: bool  # shown larger than it is, its pixels as squares


@dataclass(frozen=True)
class ChangedPictures:
    """Of one set: n pictures, n_changed of them taken for another class by the file than by the uncompressed net, and of those
    n_lost right before, n_won right now (None without labels). shown: those of which the uncompressed net was surest, first."""

    test_set: str
    n: int
    n_changed: int
    n_lost: int | None
    n_won: int | None
    shown: list[Picture]
