"""What a net of this package consists of, layer by layer: sides, parameters, multiply-accumulates, memory of activations.

Arithmetic on the metaparameters, as in tables 1 of the papers; no net is made, and no torch is imported.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, TypeVar

from compress.errors import RecipeError
from compress.recipe import AlexNetSpec, BuiltInSpec, SqueezeNetSpec

FP32_BYTES = 4
Layer = TypeVar("Layer", covariant=True)


@dataclass(frozen=True)
class LayerFacts:
    """A layer as the papers name it: conv1, pool1, fire2.

    widths: of its parts, in words. channels, side: of its output, side in pixels. macs: multiply-accumulates for one image.
    live_values: the most values of activations that must be there at once while it runs, in a runtime that frees what is no
    longer read and applies ReLU in place: its input, its output, and inside a Fire module the squeezed channels.
    fire_widths: (squeeze, expand1x1, expand3x3) filters of a Fire module; None of other layers. bypass: "identity" or "conv"
    around it (figure 2). module: its name in the net.
    """

    name: str
    module: str
    widths: str
    channels: int
    side: int
    parameters: int
    macs: int
    live_values: int
    fire_widths: tuple[int, int, int] | None = None
    bypass: str = "none"

    @property
    def fp32_bytes(self) -> int:
        return FP32_BYTES * self.parameters


@dataclass(frozen=True)
class NetFacts:
    """side: of the square input, pixels. All counts are sums over the layers but peak_activation_bytes, which is float32."""

    side: int
    layers: tuple[LayerFacts, ...]

    @property
    def parameters(self) -> int:
        return sum(layer.parameters for layer in self.layers)

    @property
    def fp32_bytes(self) -> int:
        return FP32_BYTES * self.parameters

    @property
    def macs(self) -> int:
        return sum(layer.macs for layer in self.layers)

    @property
    def peak_activation_bytes(self) -> int:
        return FP32_BYTES * max(layer.live_values for layer in self.layers)


def describe(spec: BuiltInSpec, side: int) -> NetFacts:
    """side: of the input, pixels. Raises RecipeError for one that leaves nothing after the last pool."""
    if side < spec.smallest_side:
        raise RecipeError(f"input.size: images of {side} x {side} pixels, the net of `model` needs sides of {spec.smallest_side}")
    layers = _squeezenet(spec, side) if isinstance(spec, SqueezeNetSpec) else _alexnet(spec, side)
    return NetFacts(side, tuple(layers))


@dataclass
class _Tensor:
    """What flows from layer to layer: (channels, side, side)."""

    channels: int
    side: int

    @property
    def values(self) -> int:
        return self.channels * self.side**2


@dataclass
class _Flow:
    """Layers that follow one another. x: what the next one is given."""

    x: _Tensor

    def conv(self, name: str, module: str, channels: int, kernel: int, *, stride: int = 1, padding: int = 0) -> LayerFacts:
        before, self.x = self.x, _Tensor(channels, (self.x.side + 2 * padding - kernel) // stride + 1)
        weights = _weights(before.channels, channels, kernel)
        how = f"{kernel}x{kernel}" + (f", stride {stride}" if stride > 1 else "") + (f", padding {padding}" if padding else "")
        return self._layer(name, module, f"{channels} of {how}", before, weights + channels, weights * self.x.side**2)

    def pool(self, name: str, module: str, *, ceil: bool) -> LayerFacts:
        """3x3, stride 2. ceil: a window that is partly outside counts (the authors' nets; not AlexNet's)."""
        before, side = self.x, self.x.side // 2 if ceil else (self.x.side - 3) // 2 + 1
        self.x = _Tensor(before.channels, side)
        return self._layer(name, module, "max of 3x3, stride 2", before, 0, 0)

    def linear(self, name: str, module: str, outputs: int) -> LayerFacts:
        before, self.x = self.x, _Tensor(outputs, 1)
        return self._layer(name, module, f"{outputs}", before, (before.values + 1) * outputs, before.values * outputs)

    def average(self, name: str, module: str, side: int) -> LayerFacts:
        before, self.x = self.x, _Tensor(self.x.channels, side)
        return self._layer(name, module, "average", before, 0, 0)

    def fire(self, name: str, module: str, spec: SqueezeNetSpec, i: int) -> LayerFacts:
        """i: of the Fire module, from 0 (section 3.2)."""
        s, e1, e3 = spec.fire_widths(i)
        before, pixels = self.x, self.x.side**2
        self.x = _Tensor(e1 + e3, before.side)
        same_width = before.channels == e1 + e3
        bypass = "none" if spec.bypass == "none" else "identity" if same_width else "conv" if spec.bypass == "complex" else "none"
        weights = _weights(before.channels, s, 1) + _weights(s, e1, 1) + _weights(s, e3, 3)
        biases = s + e1 + e3
        if bypass == "conv":
            weights, biases = weights + _weights(before.channels, e1 + e3, 1), biases + e1 + e3
        kept = before.values if bypass != "none" else 0  # the input, until it is added
        live = max(before.values + s * pixels, kept + s * pixels + self.x.values)
        widths = f"{s} squeeze, {e1} of 1x1, {e3} of 3x3"
        return LayerFacts(name, module, widths, *self._shape, weights + biases, weights * pixels, live, (s, e1, e3), bypass)

    def _layer(self, name: str, module: str, widths: str, before: _Tensor, parameters: int, macs: int) -> LayerFacts:
        return LayerFacts(name, module, widths, *self._shape, parameters, macs, before.values + self.x.values)

    @property
    def _shape(self) -> tuple[int, int]:
        return self.x.channels, self.x.side


def _weights(in_channels: int, out_channels: int, kernel: int) -> int:
    return in_channels * out_channels * kernel**2


def _squeezenet(spec: SqueezeNetSpec, side: int) -> Iterator[LayerFacts]:
    flow = _Flow(_Tensor(spec.in_channels, side))
    yield flow.conv("conv1", "features.0", spec.conv1_channels, spec.conv1_kernel, stride=spec.conv1_stride)
    place = 2  # in features; 1 is a ReLU
    for i in range(spec.n_fires + 1):  # 0 is conv1, i is the i-th Fire module: fire{i + 1} in the paper
        if i:
            yield flow.fire(f"fire{i + 1}", f"features.{place}", spec, i - 1)
            place += 1
        if i in spec.pool_after:
            yield flow.pool(f"pool{i + 1}", f"features.{place}", ceil=True)
            place += 1
    last = spec.n_fires + 2
    yield flow.conv(f"conv{last}", "classifier.1", spec.classes, 1, padding=spec.conv10_padding)
    yield flow.average(f"pool{last}", "classifier.3", 1)


def _alexnet(spec: AlexNetSpec, side: int) -> Iterator[LayerFacts]:
    flow = _Flow(_Tensor(spec.in_channels, side))
    yield from alexnet_features(flow)
    yield flow.linear("fc6", "classifier.1", 4096)
    yield flow.linear("fc7", "classifier.4", 4096)
    yield flow.linear("fc8", "classifier.6", spec.classes)


class Flow(Protocol[Layer]):
    """Layers that follow one another, in whatever a caller makes of each."""

    def conv(self, name: str, module: str, channels: int, kernel: int, *, stride: int = 1, padding: int = 0) -> Layer: ...
    def pool(self, name: str, module: str, *, ceil: bool) -> Layer: ...
    def average(self, name: str, module: str, side: int) -> Layer: ...


def alexnet_features(flow: Flow[Layer]) -> Iterator[Layer]:
    """AlexNet up to its fully connected layers (Krizhevsky 2014, torchvision's)."""
    yield flow.conv("conv1", "features.0", 64, 11, stride=4, padding=2)
    yield flow.pool("pool1", "features.2", ceil=False)
    yield flow.conv("conv2", "features.3", 192, 5, padding=2)
    yield flow.pool("pool2", "features.5", ceil=False)
    yield flow.conv("conv3", "features.6", 384, 3, padding=1)
    yield flow.conv("conv4", "features.8", 256, 3, padding=1)
    yield flow.conv("conv5", "features.10", 256, 3, padding=1)
    yield flow.pool("pool5", "features.12", ceil=False)
    yield flow.average("average", "avgpool", 6)
