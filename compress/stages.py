"""What each stage of a run does, and how its result is measured. pipeline.py has their order; nothing here knows it."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import compress
from compress.artifact import reader, writer
from compress.artifact.layout import FORMAT_VERSION
from compress.checkpoint import key_of
from compress.convention import TORCHVISION, InputConvention
from compress.data import digits
from compress.data.sets import MeasuringSet, TuningSet, measuring_set, tuning_set
from compress.errors import RecipeError
from compress.export.load import build
from compress.layer import Layer, RawTensor, SharedLayer
from compress.ledger import ledger
from compress.measure import cost
from compress.measure.fidelity import compare, logits
from compress.models import pretrained
from compress.models.squeezenet import SqueezeNet
from compress.prune.finetune import prune_and_tune
from compress.prune.magnitude import densities
from compress.quantize.share import Shared, cluster, cluster_by_rate, tune_fixed, tune_reassigned
from compress.recipe import Recipe, Tune, per_layer
from compress.run_folder import Arrays, RunFolder
from compress.train.classify import train
from compress.train.distill import OnStep

STAGES = ("baseline", "prune", "share", "fixed", "tune", "encode")
SEEDS_PER_RUN = 1000  # recipe seeds are this far apart, so that no stage of one run sees another run's crops


class Stages:
    """What every stage is given: the recipe, the device, the net to run tensors through, the image sets, the teacher."""

    def __init__(self, recipe: Recipe, device: torch.device) -> None:
        self.recipe = recipe
        self.device = device
        self.convention: InputConvention = digits.CONVENTION if recipe.data.test == "digits" else TORCHVISION
        self.net: nn.Module = SqueezeNet(recipe.model).eval().to(device)
        self.layers = [name.removesuffix(".weight") for name, tensor in self.net.named_parameters() if tensor.ndim >= 2]
        self.densities = {f"{k}.weight": v for k, v in densities(recipe.prune.density, self.layers).items()}
        self.bits = {f"{k}.weight": v for k, v in per_layer(recipe.quantize.bits, self.layers, field="quantize.bits").items()}
        rate_weights = per_layer(recipe.quantize.rate_weight, self.layers, field="quantize.rate_weight")
        self.rate_weights = {f"{k}.weight": v for k, v in rate_weights.items()}
        self.teacher_sha256 = ""
        self.tuning: TuningSet = tuning_set(recipe.data.tune, recipe.data.crop, self.convention)
        self.measuring: MeasuringSet = measuring_set(recipe.data.test, self.convention)

    def check(self) -> None:
        """Refuse what can be refused before anything runs: weights or images that do not fit the net."""
        if self.recipe.model.in_channels != len(self.convention.channels):
            raise RecipeError(
                f"model.in_channels is {self.recipe.model.in_channels}, data.test: {self.recipe.data.test} has "
                f"{len(self.convention.channels)}"
            )
        smallest = self.recipe.model.smallest_side
        crop = self.recipe.data.crop if self.recipe.data.tune == "bundled" else self.convention.size
        for field, side in (("data.test", self.convention.size), ("data.crop", crop)):
            if side < smallest:
                raise RecipeError(f"{field}: images of {side} x {side} pixels, the net of `model` needs {smallest} x {smallest}")
        if not self.recipe.train:
            self.weights  # noqa: B018  read and checked here, kept for the baseline stage

    @cached_property
    def weights(self) -> pretrained.Pretrained:
        expected = {name: tuple(tensor.shape) for name, tensor in self.net.state_dict().items()}
        return pretrained.load(self.recipe.weights, expected, self.recipe.weights_sha256)

    def stage_keys(self) -> dict[str, str]:
        """For each stage, the digest of all that its result depends on: its settings, and the key of the stage before."""
        r = self.recipe.model_dump(mode="json")
        start = [cost.versions(), r["seed"], str(self.device), self.tuning.digest, self.measuring.digest, r["data"]]
        weights = r["train"] or self.weights.sha256
        keys = {"baseline": key_of(start, r["model"], r["classes"], weights)}
        keys["prune"] = key_of(keys["baseline"], r["prune"])
        keys["share"] = key_of(
            keys["prune"],
            r["quantize"]["bits"],
            r["quantize"]["init"],
            r["quantize"]["max_iterations"],
            r["quantize"]["rate_weight"],
            r["encode"],
        )
        keys["fixed"] = key_of(keys["share"], "fixed", r["quantize"]["also_fixed"])
        keys["tune"] = key_of(keys["share"], r["quantize"])
        return keys

    def adopt_teacher(self, tensors: Arrays) -> None:
        """The uncompressed net: what later stages are tuned towards and every stage is compared with."""
        sha256 = tensors_sha256(tensors)
        if self.teacher_sha256 == sha256:
            return
        self.teacher_sha256 = sha256
        self.teacher = SqueezeNet(self.recipe.model)
        self.teacher.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in tensors.items()})
        self.teacher.eval().requires_grad_(False).to(self.device)

    @cached_property
    def reference(self) -> Tensor:
        """The teacher's logits on the measuring set, (n, classes)."""
        return logits(self.teacher, self.measuring.pixels, self.convention)

    def batches(self, stage: str, tune: Tune) -> Iterator[Tensor]:
        return self.tuning.batches(tune.batch_size, self.recipe.seed * SEEDS_PER_RUN + STAGES.index(stage))

    def tensors(self, arrays: Arrays) -> dict[str, Tensor]:
        """The state dict's entries among a stage's arrays, on the device."""
        names = self.net.state_dict()
        return {name: torch.from_numpy(arrays[name]).to(self.device) for name in names if name in arrays}

    # --- the stages -------------------------------------------------------------------------------------------------

    def import_or_train(self, on_step: OnStep) -> Arrays:
        section = self.recipe.train
        if section is None:
            return dict(self.weights.tensors)
        generator = torch.Generator().manual_seed(self.recipe.seed)
        torch.manual_seed(self.recipe.seed)  # dropout
        net = SqueezeNet(self.recipe.model)
        net.init_weights(generator)
        images, labels = digits.training_images()
        train(
            net.to(self.device),
            images,
            labels,
            epochs=section.epochs,
            batch_size=section.batch_size,
            learning_rate=section.learning_rate,
            generator=generator,
            on_step=on_step,
        )
        return {name: tensor.cpu().numpy() for name, tensor in net.state_dict().items()}

    def prune(self, baseline: Arrays, on_step: OnStep) -> Arrays:
        tune = self.recipe.prune.tune
        pruned = prune_and_tune(
            self.net, self.teacher, self.tensors(baseline), self.densities, tune, self.batches("prune", tune), on_step
        )
        masks = {f"mask:{name}": mask.cpu().numpy() for name, mask in pruned.masks.items()}
        return {**{name: tensor.cpu().numpy() for name, tensor in pruned.tensors.items()}, **masks}

    def share(self, pruned: Arrays) -> Arrays:
        tensors = {name: tensor.cpu() for name, tensor in self.tensors(pruned).items()}
        layers = {name: self.cluster(name, tensors[name], torch.from_numpy(pruned[f"mask:{name}"])) for name in self.densities}
        return shared_arrays(Shared(layers, {name: tensor for name, tensor in tensors.items() if name not in layers}))

    def cluster(self, name: str, weight: Tensor, mask: Tensor) -> SharedLayer:
        settings, seed, dtype = self.recipe.quantize, self.recipe.seed, np.dtype(self.recipe.encode.codebook)
        by_rate = self.rate_weights[name] > 0
        iterations = 0 if by_rate else settings.max_iterations  # by rate, Lloyd's algorithm starts at the initial centroids
        layer = cluster(
            name, weight, mask, self.bits[name], init=settings.init, max_iterations=iterations, dtype=dtype, seed=seed
        )
        return cluster_by_rate(layer, weight, self.rate_weights[name], settings.max_iterations) if by_rate else layer

    def tune_fixed(self, shared: Arrays, tune: Tune, on_step: OnStep) -> Arrays:
        start = Shared(shared_layers(shared), self.tensors(shared))
        field = "quantize.tune" if self.recipe.quantize.assignment == "fixed" else "quantize.also_fixed"
        return shared_arrays(tune_fixed(self.net, self.teacher, start, tune, self.batches("tune", tune), on_step, field=field))

    def tune(self, pruned: Arrays, shared: Arrays, on_step: OnStep) -> Arrays:
        settings = self.recipe.quantize
        if settings.assignment == "fixed":
            return self.tune_fixed(shared, settings.tune, on_step)
        start = Shared(shared_layers(shared), self.tensors(shared))
        latents = {name: tensor for name, tensor in self.tensors(pruned).items() if name in start.layers}
        batches = self.batches("tune", settings.tune)
        return shared_arrays(
            tune_reassigned(
                self.net, self.teacher, start, latents, settings.tune, batches, on_step, rate_weights=self.rate_weights
            )
        )

    def encode(self, tuned: Arrays, folder: RunFolder) -> Path:
        """Write the file, read it again from the disk, measure that."""
        folder_path = folder.path / f"{self.recipe.name}.sqz"
        started = time.perf_counter()
        encode = self.recipe.encode
        writer.write(folder_path, self.layers_of(tuned), self.metadata(), coder=encode.coder, positions=encode.positions)
        seconds = time.perf_counter() - started
        folder.record(self.row("encode", reader.read(folder_path), seconds, is_file=True))
        return folder_path

    # --- what a stage takes in the container, and how it does there ---------------------------------------------------

    def layers_of(self, arrays: Arrays) -> list[Layer]:
        """A stage's arrays as layers of the container, in the state dict's order."""
        shared = shared_layers(arrays)
        raw = np.dtype(self.recipe.encode.bias if shared else "float32")
        return [shared[name] if name in shared else raw_tensor(name, arrays[name], raw) for name in self.net.state_dict()]

    def metadata(self) -> dict[str, Any]:
        return {
            "architecture": {"name": "squeezenet"} | self.recipe.model.compact(),
            "classes": self.recipe.classes,
            "format": FORMAT_VERSION,
            "encoder": f"squeeze-compress {compress.__version__}",
            "input": self.convention.to_metadata(),
            "parent_sha256": self.teacher_sha256,
            "recipe": {"name": self.recipe.name, "sha256": self.recipe.digest()},
        }

    def measured(self, stage: str, make: Callable[[], Arrays]) -> tuple[Arrays, ledger.Row]:
        started = time.perf_counter()
        arrays = make()
        seconds = time.perf_counter() - started
        if stage == "baseline":
            self.adopt_teacher(arrays)
        encode = self.recipe.encode
        data = writer.to_bytes(self.layers_of(arrays), self.metadata(), coder=encode.coder, positions=encode.positions)
        return arrays, self.row(stage, reader.read_bytes(data, name=stage), seconds)

    def tuned_on(self, stage: str) -> str:
        """The images that a stage's tensors were trained or tuned on; empty where nothing was."""
        steps = {"prune": self.recipe.prune.tune.steps, "tune": self.recipe.quantize.tune.steps}
        steps["fixed"] = self.recipe.quantize.also_fixed.steps if self.recipe.quantize.also_fixed else 0
        before = {"baseline": [], "prune": ["prune"], "share": ["prune"], "fixed": ["prune", "fixed"]}
        tuned = self.recipe.train is not None or any(steps[name] for name in before.get(stage, ["prune", "tune"]))
        return self.tuning.description if tuned else ""

    def row(self, stage: str, stored: reader.Artifact, seconds: float, *, is_file: bool = False) -> ledger.Row:
        """The ledger row of a stage, measured on what the container gave back."""
        net = build(stored, stage).to(self.device)
        outputs = logits(net, self.measuring.pixels, self.convention)
        fidelity = compare(outputs, self.reference, self.measuring.labels)
        parameters = sum(layer.n_weights for layer in stored.layers.values())
        return ledger.Row(
            run_id=f"{self.recipe.name}-{self.recipe.digest()[:8]}",
            stage=stage,
            parameters=parameters,
            nonzeros=sum(layer.n_nonzero for layer in stored.layers.values()),
            bits_per_weight=8 * stored.size_bytes / parameters,
            size_bytes=stored.size_bytes,
            ratio_fp32=4 * parameters / stored.size_bytes,
            ratio_alexnet=ledger.ALEXNET_BYTES / stored.size_bytes,
            top1=fidelity.top1,
            top5=fidelity.top5,
            agreement=fidelity.agreement,
            mean_kl=fidelity.mean_kl,
            test_set=self.measuring.description,
            test_set_sha256=self.measuring.digest,
            n=fidelity.n,
            tuned_on=self.tuned_on(stage),
            recipe_sha256=self.recipe.digest(),
            artifact_sha256=stored.sha256 if is_file else None,
            teacher_sha256=self.teacher_sha256,
            seed=self.recipe.seed,
            device=str(self.device),
            seconds=seconds,
            peak_memory_bytes=cost.peak_memory_bytes(),
            versions=cost.versions(),
        )


def raw_tensor(name: str, array: np.ndarray[Any, Any], dtype: np.dtype[Any]) -> RawTensor:
    """Raises RecipeError where the dtype cannot hold a value."""
    with np.errstate(over="ignore"):
        stored = array.astype(dtype)
    if not np.isfinite(stored).all():
        raise RecipeError(f"encode.bias: {name} has a value of {np.abs(array).max():g}, more than {dtype} holds; use float32")
    return RawTensor(name, stored)


def shared_arrays(shared: Shared) -> Arrays:
    """For a checkpoint: indices and codebooks under prefixed names, the other tensors under their own."""
    arrays: Arrays = {name: tensor.cpu().numpy() for name, tensor in shared.others.items()}
    for name, layer in shared.layers.items():
        assert layer.codebook is not None
        arrays[f"indices:{name}"], arrays[f"codebook:{name}"] = layer.indices, layer.codebook
    return arrays


def shared_layers(arrays: Arrays) -> dict[str, SharedLayer]:
    """Inverse of shared_arrays for the shared layers; empty for a stage that shares nothing."""
    names = [key.removeprefix("indices:") for key in arrays if key.startswith("indices:")]
    return {
        name: SharedLayer(name, arrays[f"indices:{name}"].shape, arrays[f"indices:{name}"], codebook=arrays[f"codebook:{name}"])
        for name in names
    }


def tensors_sha256(tensors: Arrays) -> str:
    """SHA-256 of a state dict: names, shapes and float32 values, in the dict's order."""
    digest = hashlib.sha256()
    for name, array in tensors.items():
        digest.update(f"{name} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array, "<f4").tobytes())
    return digest.hexdigest()
