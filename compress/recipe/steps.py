"""The steps of a run in a recipe: prune, quantize, encode, and the target."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from compress.recipe.section import Section, check_entries

Density = Annotated[float, Field(gt=0, le=1)]
Bits = Annotated[int, Field(ge=1, le=16)]
RateWeight = Annotated[float, Field(ge=0)]


def _check_density(value: Any) -> Any:
    allowed = "must be in (0, 1], a table of layer patterns to such numbers, or the word paper"
    return value if value == "paper" else check_entries(value, lambda v: type(v) in (int, float) and 0 < v <= 1, allowed)


def _check_rate_weight(value: Any) -> Any:
    allowed = "must be a number from 0, or a table of layer patterns to such numbers"
    return check_entries(value, lambda v: type(v) in (int, float) and 0 <= v < math.inf, allowed)


def _check_bits(value: Any) -> Any:
    allowed = "must be a whole number from 1 to 16, or a table of layer patterns to such numbers"
    return check_entries(value, lambda v: type(v) is int and 1 <= v <= 16, allowed)


DensitySetting = Annotated[Literal["paper"] | Density | dict[str, Density], BeforeValidator(_check_density)]


class Tune(Section):
    """Distillation from the uncompressed net: the mean KL divergence of the outputs is the loss; no labels are used."""

    steps: int = Field(ge=0, description="optimizer steps; 0 leaves the stage untuned")
    learning_rate: float = Field(gt=0, description="at the first step; it falls to 0 along a cosine")
    bias_learning_rate: float = Field(default=3e-4, ge=0, description="of the biases, absolute; same schedule")
    batch_size: int = Field(default=32, ge=1, le=4096)


def _check_ranks(value: Any) -> Any:
    allowed = "must be a table of layer patterns to whole numbers from 1"
    if not isinstance(value, Mapping) or not value:
        raise ValueError(allowed)
    return check_entries(value, lambda v: type(v) is int and v >= 1, allowed)


class Svd(Section):
    """Linear layers as products of two thinner ones, by their singular values (Denton et al. 2014, arXiv 1404.0736)."""

    rank: Annotated[dict[str, int], BeforeValidator(_check_ranks)] = Field(
        description="of the product, for each Linear layer: a table of layer patterns (first match wins); others stay whole"
    )
    tune: Tune | None = Field(default=None, description="learning_rate is in standard deviations of each factor's weights")


class Prune(Section):
    """Magnitude pruning (Han et al. 2016, section 2), or of whole channels first; the survivors are tuned by Adam."""

    method: Literal["magnitude", "channels"] = Field(
        default="magnitude",
        description="magnitude: single weights; channels: whole channels down to `macs` first, then single weights by `density`",
    )
    macs: float | None = Field(
        default=None, gt=0, lt=1, description="channels only: share of the multiply-accumulates that is kept"
    )
    density: DensitySetting = Field(
        default=1.0,
        description="fraction of weights kept: one number, a table of layer patterns (first match wins), or the paper's table",
    )
    tune: Tune | None = Field(default=None, description="learning_rate is in standard deviations of the layer's weights")

    @model_validator(mode="after")
    def _fields_of_method(self) -> Prune:
        if (self.method == "channels") != (self.macs is not None):
            raise ValueError("`method: channels` and `macs` go together")
        if self.method == "magnitude" and "density" not in self.model_fields_set:
            raise ValueError("density is missing")
        return self


class Quantize(Section):
    """Weight sharing by k-means (Han et al. 2016, section 3)."""

    bits: Annotated[Bits | dict[str, Bits], BeforeValidator(_check_bits)] = Field(
        description="2**bits centroids: one number, or a table of layer patterns"
    )
    kmeans: Literal["lloyd", "exact"] = Field(
        default="lloyd", description="lloyd: from `init`, to a local optimum; exact: the least squared error there is"
    )
    init: Literal["linear", "density", "random"] = Field(
        default="linear", description="where Lloyd's algorithm starts (section 3.2)"
    )
    max_iterations: int = Field(default=3000, ge=0, description="of Lloyd's algorithm; it stops when nothing moves")
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
    tune: Tune | None = Field(
        default=None, description="learning_rate is in quantization steps of the layer (reassign), or absolute (fixed)"
    )
    also_fixed: Tune | None = Field(
        default=None, description="reassign only: tune the same clusters the paper's way too, for a ledger row beside it"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Quantize:
        if self.assignment == "fixed" and (self.rate_weight or self.also_fixed is not None):
            raise ValueError("rate_weight and also_fixed need assignment: reassign")
        if self.kmeans == "exact" and self.rate_weight:
            raise ValueError("kmeans: exact minimises the error alone, rate_weight the error and the bits: one of them")
        return self


class Rate(Section):
    """Uniform steps for a byte target, in place of `quantize`: where the bits go is measured, not chosen.

    A layer's step is such that the error of its rounding costs every layer the same (Lagrange): it falls with the root of the
    layer's sensitivity, and one number, the coarseness, scales all steps so that the file has target.max_bytes."""

    images: int = Field(
        default=1024, ge=1, description="tuning crops that sensitivities and second moments of inputs are measured on"
    )
    dead_zone: float = Field(
        default=0.0, gt=-0.5, lt=0.5, description="a weight is rounded towards zero up to 0.5 + dead_zone of a step away"
    )
    bias_bits: int = Field(default=8, ge=2, le=16, description="of each bias, with a step a tensor")
    tune: Tune | None = Field(default=None, description="straight-through; learning_rate is in steps of the layer")


class Encode(Section):
    coder: Literal["best", "stored", "huffman", "range", "zstd", "context"] = Field(
        default="best", description="best: the smallest per layer"
    )
    positions: Literal["best", "bitmap", "gaps"] = Field(
        default="best", description="how the places of non-zero weights are stored"
    )
    codebook: Literal["float16", "float32"] = Field(default="float16", description="type of the centroids in the file")
    bias: Literal["float16", "float32"] = Field(default="float16", description="type of the biases in the file")


class Target(Section):
    """One of the two."""

    max_bytes: int | None = Field(default=None, gt=0, description="largest size of the .sqz file, by stat")
    max_top1_drop: float | None = Field(
        default=None,
        ge=0,
        le=100,
        description="rate only: largest drop of top-1 on data.test, in points; the fewest bytes are found by bisection over runs",
    )

    @model_validator(mode="after")
    def _one(self) -> Target:
        if (self.max_bytes is None) == (self.max_top1_drop is None):
            raise ValueError("one of max_bytes and max_top1_drop is needed")
        return self
