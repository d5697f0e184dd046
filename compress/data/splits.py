"""The image sets of a run: tuned on, chosen by (data.test), reported on. No picture is in two of them."""

from __future__ import annotations

from dataclasses import dataclass

from compress.artifact.tensors import wanted_convention
from compress.convention import InputConvention
from compress.data.overlap import near_duplicates
from compress.data.sets import MeasuringSet, TuningSet, measuring_set, tuning_set
from compress.errors import InputError
from compress.recipe import Recipe

PAIRS_SHOWN = 1000  # of two sets


@dataclass(frozen=True, eq=False)
class Splits:
    """reported: by the name of the set's ledger row. overlaps: for each measuring set, by its digest, how many pictures that
    something was chosen by are in it too; see _overlaps."""

    tuning: TuningSet
    test: MeasuringSet
    reported: dict[str, MeasuringSet]
    overlaps: dict[str, int]


def splits(recipe: Recipe, convention: InputConvention, n_classes: int, *, allow_overlap: bool) -> Splits:
    """The sets of a recipe, for a net that takes `convention` and tells n_classes apart.

    Raises InputError for a source that cannot be used, and, unless allow_overlap, for pictures that are in two sets.
    """
    wanted = wanted_convention(convention)
    tuning = tuning_set(recipe.data.tune, recipe.crop, recipe.data.min_area, convention)
    test = measuring_set(recipe.data.test, wanted, recipe.classes, n_classes, field="data.test")
    reported: dict[str, MeasuringSet] = {}
    for i, source in enumerate(recipe.data.report or ()):
        measuring = measuring_set((source,), wanted, recipe.classes, n_classes, field=f"data.report.{i}")
        name = f"report {measuring.name}"
        reported[name if name not in reported else f"{name} {i + 1}"] = measuring
    return Splits(tuning, test, reported, _overlaps(tuning, test, list(reported.values()), allow=allow_overlap))


def _overlaps(tuning: TuningSet, test: MeasuringSet, reported: list[MeasuringSet], *, allow: bool) -> dict[str, int]:
    """For each measuring set, by its digest, how many pictures are in it too of those that are tuned on, and for a reported set
    of those in data.test. Raises InputError, naming every pair."""
    found: dict[str, int] = {}
    lines = []
    tuned, chosen_by = ("data.tune", tuning.fingerprints), ("data.test", test.fingerprints)
    for measuring, befores in [(test, [tuned]), *((each, [tuned, chosen_by]) for each in reported)]:
        for field, before in befores:
            if before is None or measuring.fingerprints is None:
                continue
            pairs = near_duplicates(before, measuring.fingerprints)
            found[measuring.digest] = found.get(measuring.digest, 0) + len(pairs)
            if pairs:
                lines += [f"  {pair}" for pair in pairs[:PAIRS_SHOWN]]
                lines += [f"  and {len(pairs) - PAIRS_SHOWN} more"] if len(pairs) > PAIRS_SHOWN else []
                lines.append(f"{len(pairs)} pictures of {field} are in {measuring.name} too, which is measured on")
    if lines and not allow:
        raise InputError("\n".join(["pictures are used twice", *lines, "leave_out takes them out; --allow-overlap goes on"]))
    return found
