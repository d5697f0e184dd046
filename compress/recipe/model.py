"""The `model` and `input` of a recipe: which net, and what it takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, model_validator

from compress.recipe.section import Section

# conv1 and the places of the max pools differ between the two published versions (arXiv 1602.07360, table 1; v1.1 is
# the authors' later release). 0 is after conv1, i is after the i-th Fire module.
VERSIONS: dict[str, dict[str, Any]] = {
    "1.0": {"conv1_channels": 96, "conv1_kernel": 7, "conv1_stride": 2, "pool_after": (0, 3, 7)},
    "1.1": {"conv1_channels": 64, "conv1_kernel": 3, "conv1_stride": 2, "pool_after": (0, 2, 4)},
}


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
        return round(self.squeeze_ratio * e), e - e3x3, e3x3

    @property
    def smallest_side(self) -> int:
        """The side of the smallest square input that leaves something after the last pool, pixels.

        A 3x3 pool of stride 2 in ceil mode makes n // 2 pixels of n, conv1 (n - kernel) // stride + 1."""
        return (2 ** len(self.pool_after) - 1) * self.conv1_stride + self.conv1_kernel

    def compact(self) -> dict[str, Any]:
        """The fields that differ from their version's defaults, for a file's metadata: `SqueezeNetSpec(**compact)` is self."""
        plain = type(self)(version=self.version).model_dump(mode="json")
        return {"version": self.version} | {k: v for k, v in self.model_dump(mode="json").items() if plain[k] != v}


class AlexNetSpec(Section):
    """AlexNet as torchvision has it (Krizhevsky 2014, arXiv 1404.5997): what SqueezeNet is compared with."""

    name: Literal["alexnet"]
    classes: int = Field(default=1000, ge=1, le=100_000, description="number of classes")
    dropout: float = Field(
        default=0.5, ge=0, lt=1, description="probability of dropping an input of the first two linear layers while training"
    )

    @property
    def in_channels(self) -> int:
        """Of the input image."""
        return 3

    @property
    def smallest_side(self) -> int:
        """The side of the smallest square input that leaves a pixel after the last pool, pixels; 224 as published."""
        return 63

    def compact(self) -> dict[str, Any]:
        """The fields that are not defaults, for a file's metadata: `AlexNetSpec(**compact)` is self."""
        return self.model_dump(mode="json", exclude_defaults=True)


BuiltInSpec = SqueezeNetSpec | AlexNetSpec  # nets that this package makes, and can train


class FactorySpec(Section):
    """A net of the user's own: what a function of theirs returns. Only a recipe names it; nothing in a file is imported."""

    factory: str = Field(
        pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_][\w.]*$", description="package.module:function, which returns a torch.nn.Module"
    )
    weights: str | None = Field(
        default=None, min_length=1, description="as `weights` of the recipe; the net's own where neither is given"
    )
    batchnorm: Literal["fold", "store"] = Field(
        default="fold", description="BatchNorm after a convolution or linear layer is folded into it, or stored beside it"
    )


class Input(Section):
    """What the net takes: pixels p in 0..1 become (p * scale - mean) / std; short side to `resize`, centre crop of `size`."""

    channels: Literal["RGB", "BGR", "L"] = Field(default="RGB", description="order of the channels; L is grey")
    size: int = Field(default=227, ge=1, le=2048, description="side of the square input, pixels")
    resize: int = Field(default=256, ge=1, le=2048, description="short side before the centre crop, pixels")
    scale: float = Field(default=1.0, gt=0, description="pixels are in 0..scale before the mean is taken off")
    mean: tuple[float, ...] = Field(default=(0.485, 0.456, 0.406), strict=False, description="one value a channel")
    std: tuple[float, ...] = Field(default=(0.229, 0.224, 0.225), strict=False, description="one value a channel")

    @model_validator(mode="after")
    def _one_value_a_channel(self) -> Input:
        if not len(self.channels) == len(self.mean) == len(self.std) or min(self.std) <= 0:
            raise ValueError(f"{self.channels} needs {len(self.channels)} values of mean, and as many of std above 0")
        if self.size > self.resize:
            raise ValueError(f"size ({self.size}) must be at most resize ({self.resize})")
        return self
