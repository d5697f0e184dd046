"""The image sets of a run: trained on, tuned on, chosen by (data.test), reported on. What is measured on is in no other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from compress.artifact.tensors import wanted_convention
from compress.convention import InputConvention
from compress.data import pictures
from compress.data.overlap import Fingerprints, near_duplicates
from compress.data.sets import MeasuringSet, TuningSet, measuring_set, tuning_set
from compress.data.training import TrainingSet, training_set
from compress.errors import InputError
from compress.recipe import Recipe, Source

N_SHOWN = 5  # names in a message
PAIRS_SHOWN = 1000  # of two sets


@dataclass(frozen=True, eq=False)
class Splits:
    """reported: by the name of the set's ledger row. overlaps: for each measuring set, by its digest, how many pictures that
    something was chosen by are in it too (see _overlaps); no 0 where some of data.train was not looked at. training: None
    without a `train` section."""

    tuning: TuningSet
    test: MeasuringSet
    reported: dict[str, MeasuringSet]
    overlaps: dict[str, int]
    training: TrainingSet | None = None


def splits(recipe: Recipe, convention: InputConvention, n_classes: int, *, allow_overlap: bool) -> Splits:
    """The sets of a recipe, for a net that takes `convention` and tells n_classes apart.

    Raises InputError for a source that cannot be used, and, unless allow_overlap, for pictures that are in two sets.
    """
    wanted = wanted_convention(convention)
    loaded: dict[Source, pictures.Pictures] = {}  # data.train and data.tune are mostly the same
    tuning = tuning_set(recipe.data.tune, recipe.crop, recipe.data.min_area, convention, loaded=loaded)
    training = None
    if recipe.train is not None:
        training = training_set(recipe.data.to_train_on, convention, recipe.classes, n_classes, loaded=loaded)
    test = measuring_set(recipe.data.test, wanted, recipe.classes, n_classes, field="data.test")
    reported: dict[str, MeasuringSet] = {}
    for i, source in enumerate(recipe.data.report or ()):
        measuring = measuring_set((source,), wanted, recipe.classes, n_classes, field=f"data.report.{i}")
        name = f"report {measuring.name}"
        reported[name if name not in reported else f"{name} {i + 1}"] = measuring
    if training is not None:
        _check_classes(training, [test, *reported.values()], recipe.classes)
    seen = [("data.tune", tuning.fingerprints)]
    if training is not None and recipe.data.to_train_on != recipe.data.tune:
        seen = [("data.train", training.fingerprints), *seen]
    overlaps = _overlaps(seen, test, list(reported.values()), allow=allow_overlap)
    if training is not None and training.fingerprints is not None and len(training.fingerprints.names) < len(training):
        overlaps = {digest: n for digest, n in overlaps.items() if n}
    return Splits(tuning, test, reported, overlaps, training)


def _check_classes(training: TrainingSet, measuring: list[MeasuringSet], names: Sequence[str] | None) -> None:
    """Raises InputError where something is measured on classes that the net never sees."""
    for each in measuring:
        if each.labels is None:
            continue
        unseen = sorted(set(each.labels.tolist()) - set(training.labels.tolist()))
        if unseen:
            called = [names[i] if isinstance(names, list) else str(i) for i in unseen[:N_SHOWN]]
            raise InputError(f"{each.name}: {len(unseen)} of its classes are not in data.train: {', '.join(called)}")


def _overlaps(
    seen: list[tuple[str, Fingerprints | None]], test: MeasuringSet, reported: list[MeasuringSet], *, allow: bool
) -> dict[str, int]:
    """For each measuring set, by its digest, how many pictures are in it too of those that were trained or tuned on (`seen`),
    and for a reported set of those in data.test. Raises InputError, naming every pair."""
    found: dict[str, set[str]] = {}  # names; data.train and data.tune may have pictures in common
    lines = []
    chosen_by = ("data.test", test.fingerprints)
    for measuring, befores in [(test, seen), *((each, [*seen, chosen_by]) for each in reported)]:
        for field, before in befores:
            if before is None or measuring.fingerprints is None or not before.names:
                continue
            pairs = near_duplicates(before, measuring.fingerprints)
            found.setdefault(measuring.digest, set()).update(pair.tuned for pair in pairs)
            if pairs:
                lines += [f"  {pair}" for pair in pairs[:PAIRS_SHOWN]]
                lines += [f"  and {len(pairs) - PAIRS_SHOWN} more"] if len(pairs) > PAIRS_SHOWN else []
                lines.append(f"{len(pairs)} pictures of {field} are in {measuring.name} too, which is measured on")
    if lines and not allow:
        raise InputError("\n".join(["pictures are used twice", *lines, "leave_out takes them out; --allow-overlap goes on"]))
    return {digest: len(names) for digest, names in found.items()}
