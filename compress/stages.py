"""What each stage of a run does, and what it takes in the container. pipeline.py has their order; nothing here knows it."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import compress
from compress.artifact import reader, writer
from compress.artifact.layout import FORMAT_VERSION
from compress.artifact.tensors import wanted_convention
from compress.checkpoint import key_of
from compress.data.splits import splits
from compress.errors import InputError
from compress.layer import Layer, SharedLayer
from compress.ledger import ledger
from compress.measure import cost
from compress.models.low_rank import low_rank, ranks_of
from compress.models.resize import resize
from compress.models.roles import roles
from compress.prune.channels import prune_channels
from compress.prune.finetune import prune_and_tune
from compress.prune.magnitude import densities
from compress.quantize.rate import Quantized
from compress.quantize.share import Shared, cluster, cluster_by_rate, tune_fixed, tune_reassigned
from compress.recipe import Prune, Quantize, Recipe, Svd, Tune, in_order, per_layer
from compress.run_folder import Arrays, RunFolder
from compress.stage_arrays import dense, from_layers, raw_tensor, sha256, shared_layers
from compress.stage_rows import StageRows
from compress.subject import subject
from compress.teacher import teacher_of
from compress.train.distill import OnStep
from compress.train_stage import Trainer
from compress.training_folder import training_facts

STAGES = ("baseline", "prune", "share", "fixed", "tune", "encode", "quantize", "svd")  # the order numbers their crops: append
SEEDS_PER_RUN = 1000  # recipe seeds are this far apart, so that no stage of one run sees another run's crops
UNTUNED = Tune(steps=0, learning_rate=1.0)  # what a `tune` that a recipe leaves out means


class Stages:
    """What every stage is given: the recipe, the device, the net to run tensors through, the image sets, the teacher.

    Raises CompressError for whatever can be refused before anything runs: weights or images that do not fit the net, images
    that are both tuned and measured on (unless allow_overlap).
    """

    def __init__(self, recipe: Recipe, device: torch.device, *, allow_overlap: bool = False) -> None:
        self.recipe = recipe
        self.device = device
        self.subject = subject(recipe)
        self.net: nn.Module = self.subject.net.to(device)
        self.ranks = ranks_of(recipe.svd.rank, self.net) if recipe.svd is not None else {}
        self.thin_net = low_rank(self.net, self.ranks) if self.ranks else self.net  # what is compressed
        self.roles = roles(self.thin_net)
        weights = self.roles.compressible
        layers = {name.removesuffix(".weight"): name for name in weights}
        prune, quantize = recipe.prune, recipe.quantize
        self.densities = {layers[k]: v for k, v in densities(prune.density if prune else 1.0, layers).items()}
        bits = per_layer(quantize.bits if quantize else 1, layers, field="quantize.bits")
        self.bits = {layers[k]: v for k, v in bits.items()}
        rate_weights = per_layer(quantize.rate_weight if quantize else 0.0, layers, field="quantize.rate_weight")
        self.rate_weights = {layers[k]: v for k, v in rate_weights.items()}
        self.held = {*self.roles.uncompressed, *self.roles.buffers}  # what no tuning moves
        self.train_teacher = teacher_of(recipe, self.subject)  # of train.distill
        self.splits = splits(recipe, self.subject.convention, self.subject.n_classes, allow_overlap=allow_overlap)
        if recipe.train is not None and self.splits.training is not None:  # the loader would refuse it in a folder that is made
            size, n = recipe.train.batch_size, len(self.splits.training)
            if size > n:
                raise InputError(f"train.batch_size is {size}, data.train has {n} images; at most those")
        self.rows = StageRows(recipe, device, self.subject, self.splits)

    def stage_keys(self) -> dict[str, str]:
        """For each stage, the digest of all that its result depends on: its settings, and the key of the stage before."""
        r = in_order(self.recipe.model_dump(mode="json"))
        data = [self.recipe.crop, self.splits.tuning.digest, self.splits.test.digest]
        start = [cost.versions(), r["seed"], str(self.device), data, r["input"]]
        keys = {"baseline": key_of(start, r["model"], r["classes"], self.subject.sha256, self.subject.outputs_sha256)}
        if self.splits.training is not None:
            keys["baseline"] = key_of(keys["baseline"], key_of(self.training_facts()))
        before = keys["baseline"]
        if r["svd"] is not None:
            before = keys["svd"] = key_of(before, r["svd"])
        keys["prune"] = key_of(before, r["prune"])
        if r["quantize"] is not None:
            clusters = [r["quantize"][name] for name in ("bits", "kmeans", "init", "max_iterations", "rate_weight")]
            keys["share"] = key_of(keys["prune"], clusters, r["encode"])
            keys["fixed"] = key_of(keys["share"], "fixed", r["quantize"]["also_fixed"])
            keys["tune"] = key_of(keys["share"], r["quantize"])
        elif self.recipe.rate is not None:
            steps = [r["rate"][name] for name in ("images", "dead_zone", "bias_bits")]
            keys["quantize"] = key_of(keys["prune"], "rate", steps, r["target"], r["encode"])
            keys["tune"] = key_of(keys["quantize"], r["rate"]["tune"])
        return keys

    def training_facts(self) -> dict[str, Any]:
        """Of a recipe that trains."""
        assert self.splits.training is not None
        return training_facts(self.recipe, self.subject, self.splits.training, self.train_teacher)

    def adopt_teacher(self, arrays: Arrays) -> None:
        """The uncompressed net: what later stages are tuned towards and every stage is compared with."""
        tensors = dense(arrays)
        digest = sha256(tensors)
        if self.rows.teacher_sha256 == digest:
            return
        self.net.load_state_dict({name: torch.from_numpy(np.array(array)) for name, array in tensors.items()})
        self.teacher = copy.deepcopy(self.net).eval().requires_grad_(False)
        self.rows.adopt(self.teacher, digest)

    def batches(self, stage: str, tune: Tune) -> Iterator[Tensor]:
        return self.splits.tuning.batches(tune.batch_size, self.recipe.seed * SEEDS_PER_RUN + STAGES.index(stage))

    def tensors(self, arrays: Arrays) -> dict[str, Tensor]:
        """The dense state dict of a stage's arrays, on the device, in the net's order."""
        found = dense(arrays)
        return {name: torch.from_numpy(np.array(found[name])).to(self.device) for name in self.whole_net(found).state_dict()}

    def whole_net(self, tensors: Collection[str]) -> nn.Module:
        """The net that has tensors of these names: with its layers as they were, or, from the stage `svd` on, as products."""
        return self.thin_net if self.ranks and set(tensors) == set(self.thin_net.state_dict()) else self.net

    def net_for(self, tensors: dict[str, Tensor]) -> nn.Module:
        """The net to run these tensors through: smaller than the teacher where channels were pruned."""
        whole = self.whole_net(tensors)
        shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
        if all(tuple(tensor.shape) == shapes[name] for name, tensor in whole.state_dict().items()):
            return whole
        net = copy.deepcopy(whole)
        resize(net, shapes)
        net.load_state_dict(tensors)
        return net.eval()

    def net_with(self, tensors: dict[str, Tensor]) -> nn.Module:
        net = copy.deepcopy(self.net_for(tensors))
        net.load_state_dict(tensors)
        return net.eval()

    # --- the stages -------------------------------------------------------------------------------------------------

    def import_or_train(self, trainer: Trainer | None) -> Arrays:
        """trainer: what trains; for a recipe with `train`."""
        if self.recipe.train is None:
            return from_layers(self.subject.layers)
        assert trainer is not None and self.splits.training is not None
        return trainer(self.subject, self.splits.training, self.train_teacher, self.splits.test)

    def factorise(self, section: Svd, baseline: Arrays, on_step: OnStep) -> Arrays:
        tune = section.tune or UNTUNED
        tensors = low_rank(self.net_with(self.tensors(baseline)), self.ranks).state_dict()
        pruned = prune_and_tune(
            self.thin_net,
            self.teacher,
            tensors,
            dict.fromkeys(self.roles.compressible, 1.0),
            tune,
            self.batches("svd", tune),
            on_step,
            held=self.held,
            field="svd.tune",
        )
        return {name: tensor.cpu().numpy() for name, tensor in pruned.tensors.items()}

    def prune(self, section: Prune, baseline: Arrays, on_step: OnStep) -> Arrays:
        tensors, tune = self.tensors(baseline), section.tune or UNTUNED
        if section.macs is not None:
            side = wanted_convention(self.subject.convention).size
            example = torch.zeros(1, len(self.subject.convention.channels), side, side, device=self.device)
            tensors = dict(prune_channels(self.teacher, example, section.macs).state_dict())
        pruned = prune_and_tune(
            self.net_for(tensors),
            self.teacher,
            tensors,
            self.densities,
            tune,
            self.batches("prune", tune),
            on_step,
            held=self.held,
        )
        masks = {f"mask:{name}": mask.cpu().numpy() for name, mask in pruned.masks.items()}
        return {**{name: tensor.cpu().numpy() for name, tensor in pruned.tensors.items()}, **masks}

    def share(self, section: Quantize, pruned: Arrays) -> Arrays:
        tensors = {name: tensor.cpu() for name, tensor in self.tensors(pruned).items()}
        masks = {name: torch.from_numpy(pruned[f"mask:{name}"]) for name in self.bits if f"mask:{name}" in pruned}
        layers = {name: self.cluster(section, name, tensors[name], masks.get(name, tensors[name] != 0)) for name in self.bits}
        return shared_arrays(Shared(layers, {name: tensor for name, tensor in tensors.items() if name not in layers}))

    def cluster(self, section: Quantize, name: str, weight: Tensor, mask: Tensor) -> SharedLayer:
        by_rate = self.rate_weights[name] > 0
        layer = cluster(
            name,
            weight,
            mask,
            self.bits[name],
            method=section.kmeans,
            init=section.init,
            # by rate, Lloyd's algorithm starts at the initial centroids
            max_iterations=0 if by_rate else section.max_iterations,
            dtype=np.dtype(self.recipe.encode.codebook),
            seed=self.recipe.seed,
        )
        return cluster_by_rate(layer, weight, self.rate_weights[name], section.max_iterations) if by_rate else layer

    def tune_fixed(self, shared: Arrays, tune: Tune, on_step: OnStep, *, field: str) -> Arrays:
        tensors = self.tensors(shared)
        start = self.shared(shared, tensors)
        tuned = tune_fixed(
            self.net_for(tensors), self.teacher, start, tune, self.batches("tune", tune), on_step, field=field, held=self.held
        )
        return shared_arrays(tuned)

    def tune(self, section: Quantize, pruned: Arrays, shared: Arrays, on_step: OnStep) -> Arrays:
        tune = section.tune or UNTUNED
        if section.assignment == "fixed":
            return self.tune_fixed(shared, tune, on_step, field="quantize.tune")
        tensors, latents = self.tensors(shared), self.tensors(pruned)
        start = self.shared(shared, tensors)
        tuned = tune_reassigned(
            self.net_for(tensors),
            self.teacher,
            start,
            {name: latents[name] for name in start.layers},
            tune,
            self.batches("tune", tune),
            on_step,
            rate_weights=self.rate_weights,
            held=self.held,
        )
        return shared_arrays(tuned)

    def shared(self, arrays: Arrays, tensors: dict[str, Tensor]) -> Shared:
        layers = shared_layers(arrays)
        return Shared(layers, {name: tensor for name, tensor in tensors.items() if name not in layers})

    def encode(self, final: Arrays, folder: RunFolder, *, report: bool = True) -> Path:
        """Write the file, read it again from the disk, measure that. report: on the sets of data.report too."""
        path = folder.path / f"{self.recipe.name}.sqz"
        started = time.perf_counter()
        encode = self.recipe.encode
        writer.write(
            path, self.layers_of(final, as_file=True), self.metadata(final), coder=encode.coder, positions=encode.positions
        )
        seconds = time.perf_counter() - started
        stored = reader.read(path)
        folder.record(self.rows.row("encode", stored, self.splits.test, seconds, is_file=True))
        for name, measuring in self.splits.reported.items() if report else ():
            folder.record(self.rows.row(name, stored, measuring, 0.0, is_file=True))
        return path

    # --- what a stage takes in the container, and how it does there ---------------------------------------------------

    def layers_of(self, arrays: Arrays, *, as_file: bool) -> list[Layer]:
        """A stage's arrays as layers of the container, in the state dict's order. as_file: with the recipe's type of biases,
        else every tensor that is not shared is float32."""
        shared = shared_layers(arrays)
        small = {*self.roles.biases, *self.roles.batchnorm} - {*self.roles.buffers} if as_file else set()
        bias, full = np.dtype(self.recipe.encode.bias), np.dtype("float32")
        return [
            shared[name] if name in shared else raw_tensor(name, arrays[name], bias if name in small else full)
            for name in self.whole_net(dense(arrays)).state_dict()
        ]

    def metadata(self, arrays: Arrays) -> dict[str, Any]:
        """Of a file of a stage's arrays."""
        changes: dict[str, Any] = {}
        if self.recipe.prune and self.recipe.prune.macs is not None:
            changes["channels"] = "pruned"
        if self.ranks and self.whole_net(dense(arrays)) is self.thin_net:
            changes["svd"] = self.ranks
        return {
            "architecture": self.subject.architecture | changes,
            "classes": self.recipe.classes,
            "format": FORMAT_VERSION,
            "encoder": f"squeeze-compress {compress.__version__}",
            "input": self.subject.convention.to_metadata(),
            "parent_sha256": self.rows.teacher_sha256,
            "recipe": {"name": self.recipe.name, "sha256": self.recipe.digest()},
        }

    def measured(self, stage: str, make: Callable[[], Arrays]) -> tuple[Arrays, ledger.Row]:
        started = time.perf_counter()
        arrays = make()
        seconds = time.perf_counter() - started
        if stage == "baseline":
            self.adopt_teacher(arrays)
            self.rows.warn_at_chance_level()
        data = self.file_bytes(arrays, as_file=stage in ("share", "fixed", "tune", "quantize"))
        return arrays, self.rows.row(stage, reader.read_bytes(data, name=stage), self.splits.test, seconds)

    def file_bytes(self, arrays: Arrays, *, as_file: bool) -> bytes:
        encode = self.recipe.encode
        layers = self.layers_of(arrays, as_file=as_file)
        return writer.to_bytes(layers, self.metadata(arrays), coder=encode.coder, positions=encode.positions)


def shared_arrays(shared: Shared | Quantized) -> Arrays:
    """For a checkpoint: the shared layers and every other tensor."""
    return {name: tensor.cpu().numpy() for name, tensor in shared.others.items()} | from_layers(shared.layers.values())
