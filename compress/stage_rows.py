"""The ledger row of a stage: what the container gave back, measured beside the uncompressed net on the same images."""

from __future__ import annotations

import copy
import logging

import torch
from torch import Tensor, nn

from compress.artifact import reader
from compress.artifact.tensors import wanted_convention
from compress.data.sets import MeasuringSet
from compress.data.splits import Splits
from compress.export.load import build
from compress.ledger import ledger
from compress.measure import cost
from compress.measure.fidelity import at_chance_level, compare, logits
from compress.recipe import FactorySpec, Recipe
from compress.subject import Subject


class StageRows:
    """What all rows of a run have in common: the recipe, the device, the net, the image sets, and the teacher, the uncompressed
    net, which is known once its stage is done (adopt)."""

    def __init__(self, recipe: Recipe, device: torch.device, subject: Subject, splits: Splits) -> None:
        self._recipe = recipe
        self._device = device
        self._subject = subject
        self._splits = splits
        self._model = (lambda: copy.deepcopy(subject.net).cpu()) if isinstance(recipe.model, FactorySpec) else None
        self._teacher: nn.Module | None = None
        self._references: dict[str, Tensor] = {}  # the teacher's logits, by a measuring set's digest
        self.teacher_sha256 = ""

    def adopt(self, teacher: nn.Module, sha256: str) -> None:
        """sha256: of its tensors."""
        self._teacher = teacher
        self.teacher_sha256 = sha256

    def reference(self, measuring: MeasuringSet) -> Tensor:
        """The teacher's logits on a measuring set, (n, classes)."""
        if measuring.digest not in self._references:
            assert self._teacher is not None
            self._references[measuring.digest] = logits(self._teacher, measuring.pixels, self._subject.convention)
        return self._references[measuring.digest]

    def warn_at_chance_level(self) -> None:
        test = self._splits.test
        found = compare(self.reference(test), self.reference(test), test.labels, test.weights)
        if at_chance_level(found, self._subject.n_classes):
            was_trained = self._splits.training is not None
            cause = "it was hardly trained" if was_trained else "its preprocessing is probably not what `input` says"
            logging.getLogger(__name__).warning(
                "the uncompressed net's top-1 is %.1f%% on %s: chance level; %s",
                100 * (found.top1 or 0.0),
                test.description,
                cause,
            )

    def row(
        self, stage: str, stored: reader.Artifact, measuring: MeasuringSet, seconds: float, *, is_file: bool = False
    ) -> ledger.Row:
        """Of a stage, measured on what the container gave back. seconds: that it took."""
        net = build(stored, stage, self._model).to(self._device)
        outputs = logits(net, measuring.pixels, wanted_convention(self._subject.convention))
        fidelity = compare(outputs, self.reference(measuring), measuring.labels, measuring.weights)
        parameters = sum(layer.n_weights for layer in stored.layers.values())
        return ledger.Row(
            run_id=f"{self._recipe.name}-{self._recipe.digest()[:8]}",
            stage=stage,
            parameters=parameters,
            nonzeros=sum(layer.n_nonzero for layer in stored.layers.values()),
            bits_per_weight=8 * stored.size_bytes / parameters,
            size_bytes=stored.size_bytes,
            ratio_fp32=4 * self._subject.n_parameters / stored.size_bytes,
            ratio_alexnet=ledger.ALEXNET_BYTES / stored.size_bytes,
            top1=fidelity.top1,
            top5=fidelity.top5,
            top1_drop=fidelity.top1_drop,
            drop_interval=fidelity.drop_interval,
            agreement=fidelity.agreement,
            mean_kl=fidelity.mean_kl,
            test_set=measuring.description,
            test_set_sha256=measuring.digest,
            n=fidelity.n,
            tuned_on=self._tuned_on(stage),
            overlap=self._splits.overlaps.get(measuring.digest),
            not_compressed=", ".join(f"{name} ({kind})" for name, kind in self._subject.roles.uncompressed.items()),
            recipe_sha256=self._recipe.digest(),
            artifact_sha256=stored.sha256 if is_file else None,
            teacher_sha256=self.teacher_sha256,
            seed=self._recipe.seed,
            device=str(self._device),
            seconds=seconds,
            peak_memory_bytes=cost.peak_memory_bytes(),
            versions=cost.versions(),
        )

    def _tuned_on(self, stage: str) -> str:
        """The images that a stage's tensors were trained or tuned on; empty where nothing was."""
        svd, prune, quantize = self._recipe.svd, self._recipe.prune, self._recipe.quantize
        last = quantize or self._recipe.rate
        steps = {
            "svd": svd.tune.steps if svd and svd.tune else 0,
            "prune": prune.tune.steps if prune and prune.tune else 0,
            "fixed": quantize.also_fixed.steps if quantize and quantize.also_fixed else 0,
            "tune": last.tune.steps if last and last.tune else 0,
        }
        ends = {"baseline": 0, "svd": 1, "prune": 2, "share": 2, "quantize": 2}  # of what came before, in the order of `path`
        path = ["svd", "prune", "fixed" if stage == "fixed" else "tune"]
        tuned = any(steps[name] for name in path[: ends.get(stage, len(path))])
        trained_on = self._splits.training.description + ", with labels" if self._splits.training is not None else ""
        return "; ".join(text for text in (trained_on, self._splits.tuning.description if tuned else "") if text)
