"""A .sqz file as an ONNX model, for runtimes that read no .sqz: dense, float32, and run once against PyTorch before it is kept.

The graph is made from the modules that a net of this package consists of. Of torch's own exporters the one that needs no further
package is deprecated, and cannot pool 4 x 4 pixels into AlexNet's 6 x 6.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from compress.artifact.reader import Artifact, read
from compress.atomic import write_atomically
from compress.errors import InputError, MissingDependency
from compress.export.load import Loaded, from_artifact
from compress.models.alexnet import AlexNet
from compress.models.squeezenet import Fire, SqueezeNet

if TYPE_CHECKING:
    import onnx

OPSET = 17
IR_VERSION = 8  # the format's own version, of the same year: runtimes from 2022 on read it
Logits = npt.NDArray[np.float32]  # (images, classes)

INPUT, OUTPUT = "image", "logits"
TOLERANCE = 1e-4  # of a logit, between onnxruntime and PyTorch
RELATIVE_TOLERANCE = 4e-6  # of the largest logit, where that is more: 64 units of float32's last place
BATCHES = (1, 3)  # images of noise that both are given: the batch is free
MAX_BYTES = 1 << 31  # protobuf holds no message of that size


@dataclass(frozen=True)
class OnnxFile:
    """What was written. shape: of the input, but for the batch. largest_difference: of a logit from PyTorch's, for n_checked
    images of noise; allowed is what it may be at most."""

    path: Path
    size_bytes: int
    source: Path
    source_bytes: int
    source_sha256: str
    shape: tuple[int, int, int]
    n_classes: int
    opset: int
    onnxruntime: str
    n_checked: int
    largest_difference: float
    allowed: float

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"path": str(self.path), "source": str(self.source)}


def to_onnx(path: str | os.PathLike[str], output: Path) -> OnnxFile:
    """Write the net of `path` to `output`, after onnxruntime gave PyTorch's logits. The same file gives the same bytes.

    Input: `image`, float32 (N, channels, side, side), as the file's net takes it after compress.load (metadata_props say how).
    Output: `logits`, (N, classes). Raises as compress.load does for a file with another net than this package's; InputError
    where the model cannot be written, or computes something else; MissingDependency."""
    try:
        import onnx
        import onnxruntime
    except ModuleNotFoundError as error:
        needs = f"ONNX needs {error.name}: pip install 'squeeze-compress[train,onnx]'"
        raise MissingDependency(needs) from error
    source = Path(path)
    artifact = read(source)
    loaded = from_artifact(artifact, str(source))
    model = _model(artifact, loaded)
    if model.ByteSize() >= MAX_BYTES:
        raise InputError(f"{source}: the net takes {model.ByteSize():,} bytes in float32, an ONNX file at most {MAX_BYTES - 1:,}")
    onnx.checker.check_model(model, full_check=True)
    data = model.SerializeToString(deterministic=True)
    shape = _image_shape(loaded)
    found, expected = _logits(data, loaded.net, shape)
    largest, allowed = _difference(found, expected)
    if not largest <= allowed:  # NaN is refused too
        raise InputError(
            f"{source}: onnxruntime {onnxruntime.__version__} gives other logits than PyTorch: largest difference {largest:.2g}, "
            f"allowed {allowed:.2g}; nothing was written"
        )
    write_atomically(output, data)
    return OnnxFile(
        path=output,
        size_bytes=len(data),
        source=source,
        source_bytes=artifact.size_bytes,
        source_sha256=artifact.sha256,
        shape=shape,
        n_classes=expected.shape[1],
        opset=OPSET,
        onnxruntime=onnxruntime.__version__,
        n_checked=sum(BATCHES),
        largest_difference=largest,
        allowed=allowed,
    )


def _image_shape(loaded: Loaded) -> tuple[int, int, int]:
    convention = loaded.preprocess.convention
    return len(convention.channels), convention.size, convention.size


def _logits(data: bytes, net: nn.Module, shape: tuple[int, int, int]) -> tuple[Logits, Logits]:
    """Of onnxruntime and of PyTorch, for the same images of noise."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors alone
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(0)
    batches = [rng.standard_normal((n, *shape), np.float32) for n in BATCHES]
    found = [session.run([OUTPUT], {INPUT: images})[0] for images in batches]
    with torch.inference_mode():
        expected = [net(torch.from_numpy(images)).numpy() for images in batches]
    return np.concatenate(found), np.concatenate(expected)


def _difference(found: Logits, expected: Logits) -> tuple[float, float]:
    """The largest of a logit, and what is allowed."""
    largest = float(np.abs(found.astype(np.float64) - expected).max())
    return largest, max(TOLERANCE, RELATIVE_TOLERANCE * float(np.abs(expected).max()))


def _model(artifact: Artifact, loaded: Loaded) -> onnx.ModelProto:
    from onnx import TensorProto, helper

    channels, side, _ = _image_shape(loaded)
    graph = _Graph()
    logits = _net(graph, loaded.net, _Image(INPUT, side))
    graph.nodes[-1].output[0] = OUTPUT
    assert logits.name == graph.nodes[-1].name
    n_classes = loaded.net.get_parameter(_head(loaded.net)).shape[0]
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "net",
            [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["N", channels, side, side])],
            [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["N", n_classes])],
            graph.weights,
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="squeeze-compress",
        producer_version=metadata.version("squeeze-compress"),
    )
    helper.set_model_props(model, _properties(artifact, loaded))
    return model


def _properties(artifact: Artifact, loaded: Loaded) -> dict[str, str]:
    """JSON where it is no text: what the image must be, the names of the classes, and which file this was made of."""
    convention = loaded.preprocess.convention
    properties = {
        "input": _json(convention.to_metadata()),
        "input_meaning": f"{convention.channels} pixels p in 0..1, (p * scale - mean) / std per channel; (N, channels, height, "
        f"width); the short side resized to `resize`, then the centre cropped to `size`",
        "architecture": _json(artifact.metadata["architecture"]),
        "source_sha256": artifact.sha256,
    }
    if loaded.class_names is not None:
        properties["classes"] = _json(loaded.class_names)
    return properties


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def _head(net: nn.Module) -> str:
    """The last layer's bias, one a class; a layer that is a product has it in its second factor."""
    return [name for name, _ in net.named_parameters() if name.endswith(".bias")][-1]


@dataclass(frozen=True)
class _Image:
    """What flows through the graph. side: pixels; 1 once it is flat."""

    name: str
    side: int


class _Graph:
    """Nodes in the order that they run in, each named like its module, and weights under the state dict's names."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def node(self, name: str, operator: str, inputs: Sequence[str], **attributes: Any) -> str:
        from onnx import helper

        self.nodes.append(helper.make_node(operator, inputs, [name], name=name, **attributes))
        return name

    def weight(self, name: str, values: npt.NDArray[np.float32]) -> str:
        from onnx import numpy_helper

        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def parameters(self, name: str, layer: nn.Conv2d | nn.Linear) -> list[str]:
        """weight, and bias where there is one."""
        found = [(part, getattr(layer, part)) for part in ("weight", "bias")]
        return [self.weight(f"{name}.{part}", tensor.numpy()) for part, tensor in found if tensor is not None]


def _net(graph: _Graph, net: nn.Module, x: _Image) -> _Image:
    if isinstance(net, SqueezeNet):
        x = _add(graph, "classifier", net.classifier, _add(graph, "features", net.features, x))
        return _Image(graph.node("flatten", "Flatten", [x.name], axis=1), 1)
    assert isinstance(net, AlexNet)
    x = _add(graph, "avgpool", net.avgpool, _add(graph, "features", net.features, x))
    flat = graph.node("flatten", "Flatten", [x.name], axis=1)
    return _add(graph, "classifier", net.classifier, _Image(flat, 1))


def _add(graph: _Graph, name: str, module: nn.Module, x: _Image) -> _Image:
    """The nodes of a module of these nets, each as its `forward` has it in eval mode."""
    if isinstance(module, nn.Sequential):
        for child_name, child in module.named_children():
            x = _add(graph, f"{name}.{child_name}", child, x)
        return x
    if isinstance(module, Fire):
        return _fire(graph, name, module, x)
    if isinstance(module, nn.Conv2d):
        return _conv(graph, name, module, x)
    if isinstance(module, nn.Linear):
        return _Image(graph.node(name, "Gemm", [x.name, *graph.parameters(name, module)], transB=1), 1)
    if isinstance(module, nn.ReLU):
        return _Image(graph.node(name, "Relu", [x.name]), x.side)
    if isinstance(module, nn.MaxPool2d):
        kernel, stride, ceil = module.kernel_size, module.stride, module.ceil_mode
        assert isinstance(kernel, int) and isinstance(stride, int) and module.padding == 0
        side = (x.side - kernel + (stride - 1 if ceil else 0)) // stride + 1
        shape = {"kernel_shape": [kernel] * 2, "strides": [stride] * 2, "ceil_mode": int(ceil)}
        return _Image(graph.node(name, "MaxPool", [x.name], **shape), side)
    if isinstance(module, nn.AdaptiveAvgPool2d):
        size = module.output_size
        assert isinstance(size, tuple) and size[0] is not None
        return _average(graph, name, size[0], x)
    assert isinstance(module, nn.Dropout | nn.Identity), type(module)  # which do nothing
    return x


def _conv(graph: _Graph, name: str, conv: nn.Conv2d, x: _Image) -> _Image:
    kernel, stride, padding = conv.kernel_size[0], conv.stride[0], conv.padding
    assert conv.groups == 1 and isinstance(padding, tuple)
    shape = {"kernel_shape": [kernel] * 2, "strides": [stride] * 2, "pads": [padding[0]] * 4}
    made = graph.node(name, "Conv", [x.name, *graph.parameters(name, conv)], **shape)
    return _Image(made, (x.side + 2 * padding[0] - kernel) // stride + 1)


def _fire(graph: _Graph, name: str, fire: Fire, x: _Image) -> _Image:
    squeezed = _activated(graph, f"{name}.squeeze", fire.squeeze, x)
    expanded = [_activated(graph, f"{name}.{part}", getattr(fire, part), squeezed) for part in ("expand1x1", "expand3x3")]
    joined = graph.node(f"{name}.cat", "Concat", [part.name for part in expanded], axis=1)
    if fire.bypass is None:
        return _Image(joined, x.side)
    around = _add(graph, f"{name}.bypass", fire.bypass, x)
    return _Image(graph.node(f"{name}.sum", "Add", [joined, around.name]), x.side)


def _activated(graph: _Graph, name: str, conv: nn.Conv2d, x: _Image) -> _Image:
    made = _conv(graph, name, conv, x)
    return _Image(graph.node(f"{name}_activation", "Relu", [made.name]), made.side)


def _average(graph: _Graph, name: str, side: int, x: _Image) -> _Image:
    """To side x side pixels, each the mean of the window that AdaptiveAvgPool2d gives it. Windows overlap where the sides do not
    divide, which no pool of ONNX has; rows and columns are independent, so a matrix on either side does it."""
    if side == x.side:
        return x
    if side == 1:
        return _Image(graph.node(name, "GlobalAveragePool", [x.name]), 1)
    windows = np.zeros((side, x.side), np.float32)
    for i in range(side):
        start, end = i * x.side // side, -(-(i + 1) * x.side // side)
        windows[i, start:end] = 1 / (end - start)
    rows, columns = graph.weight(f"{name}.rows", windows), graph.weight(f"{name}.columns", windows.T)
    across = graph.node(f"{name}.across", "MatMul", [x.name, columns])  # (n, c, h, w) (w, side)
    return _Image(graph.node(name, "MatMul", [rows, across]), side)  # (side, h) (n, c, h, side)
