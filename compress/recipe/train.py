"""The `train` of a recipe: training with labels, from scratch or from weights that are there."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from compress.recipe.section import Section
from compress.recipe.steps import DensitySetting


class Augment(Section):
    """How a training picture is changed, each time that it is drawn. Digits are never changed."""

    crop: Literal["resized", "plain"] = Field(
        default="resized",
        description="resized: a random part of the picture, scaled to the crop; plain: the picture with its short side at "
        "input.resize, and a random place in it (the paper)",
    )
    min_area: float = Field(default=0.35, gt=0, le=1, description="resized: of the part, as a share of its picture's area")
    mirror: bool = Field(default=True, description="left and right, for half of the pictures")
    jitter: float = Field(
        default=0.0, ge=0, lt=1, description="brightness, contrast and saturation are scaled by 1 - jitter to 1 + jitter"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Augment:
        if self.crop != "resized" and "min_area" in self.model_fields_set:
            raise ValueError("min_area is of crop: resized")
        return self


class Distill(Section):
    """A teacher's outputs beside the labels (Hinton et al. 2015, arXiv 1503.02531)."""

    teacher: str = Field(
        min_length=1,
        description="a .sqz file of the same classes, or package.module:function, which returns a net with its weights",
    )
    weight: float = Field(default=0.5, gt=0, le=1, description="share of the teacher in the loss; the labels have the rest")
    temperature: float = Field(default=1.0, gt=0, le=100)


class Dsd(Section):
    """Dense, sparse, dense (Han et al. 2017, arXiv 1607.04381): for a while only the largest weights of each layer live."""

    density: float = Field(default=0.5, gt=0, lt=1, description="fraction of each layer's weights that is kept meanwhile")
    start: float = Field(default=0.4, ge=0, lt=1, description="when pruning comes, as a share of the steps")
    end: float = Field(default=0.7, gt=0, le=1, description="when the pruned weights are back, at 0, as a share of the steps")

    @model_validator(mode="after")
    def _starts_before_it_ends(self) -> Dsd:
        if self.start >= self.end:
            raise ValueError(f"start ({self.start}) must be less than end ({self.end})")
        return self


class Sparse(Section):
    """Gradual magnitude pruning while training (Zhu and Gupta 2017, arXiv 1710.01878). The net that training gives is sparse.
    `quantize` keeps its zeros; `rate` may bring some back, where they are worth their bits."""

    density: DensitySetting = Field(
        description="fraction of weights kept in the end: one number, a table of layer patterns (first match wins), or paper"
    )
    start: float = Field(default=0.1, ge=0, lt=1, description="when pruning begins, as a share of the steps")
    end: float = Field(default=0.6, gt=0, le=1, description="when it is done, as a share of the steps; the rest is tuning")

    @model_validator(mode="after")
    def _starts_before_it_ends(self) -> Sparse:
        if self.start >= self.end:
            raise ValueError(f"start ({self.start}) must be less than end ({self.end})")
        return self


class Train(Section):
    """Training with labels on data.train. With `weights: scratch` from new weights, else from those of `weights`."""

    epochs: int | None = Field(default=None, ge=1, description="passes over the training images; or `iterations`")
    iterations: int | None = Field(default=None, ge=1, description="optimizer steps; or `epochs`")
    batch_size: int = Field(default=32, ge=1, le=65536, description="images an optimizer step, over all processes")
    micro_batch: int | None = Field(
        default=None, ge=1, description="most images of a forward pass of one process; gradients are summed up to batch_size"
    )
    optimizer: Literal["sgd", "adamw"] = "adamw"
    learning_rate: float = Field(default=0.01, gt=0, description="the largest of the schedule")
    momentum: float = Field(default=0.9, ge=0, lt=1, description="sgd only")
    nesterov: bool = Field(default=False, description="sgd only")
    weight_decay: float = Field(default=0.0, ge=0, description="of weights; never of biases and BatchNorm")
    schedule: Literal["linear", "poly", "cosine"] = Field(default="linear", description="how the learning rate falls to 0")
    power: float = Field(default=2.0, gt=0, description="poly only: the rate is (1 - done)^power")
    warmup: float = Field(default=0.0, ge=0, lt=1, description="share of the steps in which the rate rises from 0")
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    mixup: float = Field(
        default=0.0,
        ge=0,
        description="two images are mixed by a share drawn from Beta(mixup, mixup) (arXiv 1710.09412); 0: never",
    )
    augment: Augment = Augment()
    first_crop: int | None = Field(
        default=None,
        ge=8,
        le=512,
        description="side of the crops at the start, pixels; it grows to data.crop in 70% of the steps",
    )
    ema: float | None = Field(
        default=None, gt=0, lt=1, description="decay a step of a running mean of the weights, which is then the result"
    )
    clip: float | None = Field(default=None, gt=0, description="largest norm of the gradient")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        default="auto", description="auto: fp32 on the CPU; on a GPU bf16, or fp16 with a scaled loss where it has none"
    )
    compile: bool = Field(default=False, description="by torch.compile")
    batchnorm: bool = Field(
        default=False,
        description="after every convolution but the last; folded when training ends. With weights that are there it starts as "
        "what changes nothing",
    )
    distill: Distill | None = None
    dsd: Dsd | None = None
    sparse: Sparse | None = None
    evaluate_every: int = Field(default=1, ge=1, description="epochs between two measurements on data.test")
    checkpoint_every: int = Field(default=500, ge=1, description="optimizer steps between two checkpoints")
    keep: int = Field(default=2, ge=1, description="checkpoints that are kept, the best one apart")
    workers: int = Field(default=0, ge=0, le=256, description="processes that make batches, of each process that trains; 0: none")
    cache_gb: float = Field(
        default=2.0, ge=0, description="decoded pictures are kept in memory, if all of them fit into so many GB; 0: never"
    )
    max_skipped: float = Field(
        default=0.01, ge=0, le=1, description="share of an epoch's pictures that may turn out not to be readable while training"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Train:
        if (self.epochs is None) == (self.iterations is None):
            raise ValueError("one of epochs and iterations is needed")
        if self.micro_batch is not None and self.micro_batch > self.batch_size:
            raise ValueError(f"micro_batch ({self.micro_batch}) must be at most batch_size ({self.batch_size})")
        if self.dsd is not None and self.sparse is not None:
            raise ValueError("dsd and sparse are two ways to prune while training: one of them")
        given = self.model_fields_set
        if self.optimizer != "sgd" and given & {"momentum", "nesterov"}:
            raise ValueError("momentum and nesterov are of optimizer: sgd")
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov needs momentum")
        if self.schedule != "poly" and "power" in given:
            raise ValueError("power is of schedule: poly")
        return self
