"""The `data` of a recipe: where images come from."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from compress.recipe.section import Section

SOURCE = r"^(bundled|digits|folder:.+|shards:.+)$"  # of images


class Source(Section):
    """Images: photographs that ship inside packages, a folder with a sub-folder a class, or webdataset shards."""

    source: str = Field(
        pattern=SOURCE,
        description="bundled, digits, folder:PATH or shards:GLOB (tars, also fsspec URLs); $NAME is an environment variable",
    )
    weight: float = Field(
        default=1.0,
        gt=0,
        description="tune: how many images come from here, relative to the other sources; "
        "test, report: how much an image from here counts, relative to those of the other sources",
    )
    leave_out_every: int | None = Field(default=None, ge=2, description="leave out every n-th image, in the order of their paths")
    take_every: int | None = Field(default=None, ge=1, description="take only every n-th image: what leave_out_every leaves out")
    leave_out: tuple[str, ...] = Field(
        default=(), strict=False, description="pictures to leave out, by the end of their path: what the overlap check names"
    )
    check: bool = Field(
        default=True,
        description="train: false: pictures are neither decoded nor compared with other sets before the run, which takes long "
        "for a million of them; those that cannot be decoded are left out as they come",
    )

    @model_validator(mode="after")
    def _one_part(self) -> Source:
        if self.leave_out_every and self.take_every:
            raise ValueError("leave_out_every and take_every exclude each other")
        if self.source in ("bundled", "digits") and (self.leave_out_every or self.take_every or self.leave_out):
            raise ValueError(
                f"{self.source} is a fixed set; take_every, leave_out_every and leave_out are for folders and shards"
            )
        return self


def _as_sources(value: Any) -> Any:
    """One source or a list of them, each a string or a mapping -> a tuple of mappings."""
    if value in ([], (), None, ""):
        raise ValueError("must name an image source")
    listed = value if isinstance(value, list | tuple) else [value]
    return tuple({"source": each} if isinstance(each, str) else each for each in listed)


_Place = Annotated[str, Field(pattern=SOURCE)]
Sources = Annotated[
    tuple[Source, ...], BeforeValidator(_as_sources, json_schema_input_type=_Place | Source | list[_Place | Source])
]


class Data(Section):
    train: Sources | None = Field(default=None, description="images with labels to train on; data.tune where not given")
    tune: Sources = Field(
        default=(Source(source="bundled"),),
        description="images to tune on, drawn evenly over their classes; no labels are used",
    )
    test: Sources = Field(
        default=(Source(source="bundled"),),
        description="images that every stage is measured on, never tuned on: what choices are made by",
    )
    report: Sources | None = Field(
        default=None, description="sets that the finished file alone is measured on, a ledger row each"
    )
    crop: int | None = Field(
        default=None, ge=8, le=512, description="side of the tuning crops, pixels; 128, or input.size where that is given"
    )
    min_area: float = Field(default=0.05, gt=0, le=1, description="of a tuning crop, as a share of its picture's area")

    @model_validator(mode="after")
    def _digits_alone(self) -> Data:
        for field in ("train", "tune", "test", "report"):
            sources = getattr(self, field) or ()
            if "digits" in [each.source for each in sources] and len(sources) > 1:
                raise ValueError(f"{field}: digits cannot be mixed with other images")
            if field != "train" and not all(each.check for each in sources):
                raise ValueError(f"{field}: check: false is for data.train")
            if field == "train" and any(each.weight != 1 for each in sources):
                raise ValueError("train: every picture is seen once an epoch, so there is no weight")
        return self

    @property
    def to_train_on(self) -> tuple[Source, ...]:
        return self.train or self.tune

    def is_digits(self) -> bool:
        return self.test[0].source == "digits"
