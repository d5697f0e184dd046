"""A net of this package taken apart into what a small runtime runs, one after the other, and what must be in memory meanwhile.

describe.py counts a Fire module as a whole and takes its widths from the metaparameters; here its parts are apart, and widths are
those of the file's tensors, so that nets with fewer channels and layers that are products are counted as they are. Arithmetic on
shapes: no weight is looked at, and no torch is imported.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from compress.models.describe import alexnet_features
from compress.recipe import AlexNetSpec, BuiltInSpec, SqueezeNetSpec

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Operation:
    """One layer. Values are activations of one image, of any width; ReLU works in place and is no layer.

    name: as the papers have it, conv1, fire2/squeeze. module: its name in the net, that of its tensors. kind: conv, linear, pool,
    average or add. channels, side: of the output. values_in: what is in memory as it begins, its input with it. values_out: its
    own output, which comes on top. row: weights that make one channel of the output; positions: how often each is used.
    """

    name: str
    module: str
    kind: str
    channels: int
    side: int
    values_in: int
    values_out: int
    n_weights: int = 0
    row: int = 0
    has_bias: bool = False
    positions: int = 0

    @property
    def live_values(self) -> int:
        return self.values_in + self.values_out

    @property
    def n_parameters(self) -> int:
        return self.n_weights + (self.channels if self.has_bias else 0)

    @property
    def macs(self) -> int:
        return self.n_weights * self.positions


def operations(
    spec: BuiltInSpec, side: int, shapes: Mapping[str, Shape], *, ranks: Mapping[str, int] | None = None, pruned: bool = False
) -> list[Operation]:
    """side: of the input, pixels. shapes: of all tensors, by state-dict name. ranks: of layers that are products of two. pruned:
    layers may have fewer channels than the spec gives them.

    Raises ValueError, with the tensor, for shapes that are not those of such a net."""
    taken = _Tensors(shapes, pruned)
    flow = _Flow(taken, spec.in_channels, side)
    made = list(_squeezenet(flow, spec) if isinstance(spec, SqueezeNetSpec) else _alexnet(flow, spec, ranks or {}))
    taken.check_all_used()
    return made


class _Tensors:
    """The shapes, each given once to the layer that it is of."""

    def __init__(self, shapes: Mapping[str, Shape], pruned: bool) -> None:
        self.left, self.pruned = dict(shapes), pruned

    def take(self, module: str, wanted: Shape, *, bias: bool = True, fixed: bool = False) -> int:
        """The outputs of a layer whose weight has this shape, or fewer outputs where channels were pruned. fixed: no fewer."""
        shape = self._pop(f"{module}.weight")
        narrower = self.pruned and not fixed and shape[1:] == wanted[1:] and 1 <= shape[0] <= wanted[0]
        if shape != wanted and not narrower:
            raise ValueError(f"{module}.weight is {shape}, the net has {wanted}")
        if bias and (found := self._pop(f"{module}.bias")) != shape[:1]:
            raise ValueError(f"{module}.bias is {found}, the net has {shape[:1]}")
        return shape[0]

    def _pop(self, name: str) -> Shape:
        if name not in self.left:
            raise ValueError(f"{name} is missing")
        return self.left.pop(name)

    def check_all_used(self) -> None:
        for name, shape in self.left.items():
            raise ValueError(f"{name} is {shape}, the net has no such tensor")


class _Flow:
    """Layers that follow one another. channels, side: of what the next one is given."""

    def __init__(self, tensors: _Tensors, channels: int, side: int) -> None:
        self.tensors, self.channels, self.side = tensors, channels, side

    @property
    def values(self) -> int:
        return self.channels * self.side**2

    def conv(
        self, name: str, module: str, channels: int, kernel: int, *, stride: int = 1, padding: int = 0, fixed: bool = False
    ) -> Operation:
        before, columns = self.values, self.channels * kernel**2
        self.channels = self.tensors.take(module, (channels, self.channels, kernel, kernel), fixed=fixed)
        self.side = (self.side + 2 * padding - kernel) // stride + 1
        return self._layer(name, module, "conv", before, columns=columns)

    def linear(self, name: str, module: str, outputs: int, *, bias: bool = True, fixed: bool = False) -> Operation:
        before = self.values
        self.channels, self.side = self.tensors.take(module, (outputs, before), bias=bias, fixed=fixed), 1
        return self._layer(name, module, "linear", before, columns=before, bias=bias)

    def pool(self, name: str, module: str, *, ceil: bool) -> Operation:
        """3x3, stride 2. ceil: a window that is partly outside counts."""
        before, self.side = self.values, self.side // 2 if ceil else (self.side - 3) // 2 + 1
        return self._layer(name, module, "pool", before)

    def average(self, name: str, module: str, side: int) -> Operation:
        before, self.side = self.values, side
        return self._layer(name, module, "average", before)

    def fire(self, name: str, module: str, spec: SqueezeNetSpec, i: int, spec_channels: int) -> Iterator[Operation]:
        """Squeeze, then the two expanding layers into one output, then the input on top of it where there is a bypass.

        i: of the Fire module, from 0. spec_channels: of its input, before pruning: they say whether the bypass needs a layer."""
        s, e1, e3 = spec.fire_widths(i)
        needs = "identity" if spec_channels == e1 + e3 else "conv"
        bypass = "none" if spec.bypass == "none" or (spec.bypass, needs) == ("simple", "conv") else needs
        channels, pixels = self.channels, self.side**2
        kept = 0 if bypass == "none" else self.values  # the input, until it is added
        squeeze = self.conv(f"{name}/squeeze", f"{module}.squeeze", s, 1)
        yield squeeze
        live, width = kept + squeeze.values_out, 0
        for part, kernel, filters in (("expand1x1", 1, e1), ("expand3x3", 3, e3)):
            self.channels = squeeze.channels
            made = self.conv(f"{name}/{part}", f"{module}.{part}", filters, kernel, padding=kernel // 2)
            yield replace(made, values_in=live)  # more than its own input
            live, width = live + made.values_out, width + made.channels
        self.channels = width
        live = kept + width * pixels  # what was squeezed is gone
        if bypass == "identity":
            if channels != width:
                raise ValueError(f"{module} gives {width} channels, to which its {channels} inputs cannot be added")
            yield Operation(f"{name}/bypass", f"{module}.bypass", "add", width, self.side, live, 0)
        elif bypass == "conv":  # added to what is there as it is computed
            outputs = self.tensors.take(f"{module}.bypass", (e1 + e3, channels, 1, 1))
            if outputs != width:
                raise ValueError(f"{module}.bypass gives {outputs} channels, the module {width}")
            added = Operation(f"{name}/bypass", f"{module}.bypass", "conv", width, self.side, live, 0)
            yield replace(added, n_weights=width * channels, row=channels, has_bias=True, positions=pixels)

    def _layer(self, name: str, module: str, kind: str, before: int, *, columns: int = 0, bias: bool = True) -> Operation:
        has_weights = columns > 0
        return Operation(
            name,
            module,
            kind,
            self.channels,
            self.side,
            values_in=before,
            values_out=self.values,
            n_weights=self.channels * columns,
            row=columns,
            has_bias=has_weights and bias,
            positions=self.side**2 if has_weights else 0,
        )


def _squeezenet(flow: _Flow, spec: SqueezeNetSpec) -> Iterator[Operation]:
    yield flow.conv("conv1", "features.0", spec.conv1_channels, spec.conv1_kernel, stride=spec.conv1_stride)
    place, spec_channels = 2, spec.conv1_channels  # place: in features; 1 is a ReLU
    for i in range(spec.n_fires + 1):  # 0 is conv1, i is the i-th Fire module: fire{i + 1} in the paper
        if i:
            yield from flow.fire(f"fire{i + 1}", f"features.{place}", spec, i - 1, spec_channels)
            spec_channels = sum(spec.fire_widths(i - 1)[1:])
            place += 1
        if i in spec.pool_after:
            yield flow.pool(f"pool{i + 1}", f"features.{place}", ceil=True)
            place += 1
    last = spec.n_fires + 2
    yield flow.conv(f"conv{last}", "classifier.1", spec.classes, 1, padding=spec.conv10_padding, fixed=True)
    yield flow.average(f"pool{last}", "classifier.3", 1)


def _alexnet(flow: _Flow, spec: AlexNetSpec, ranks: Mapping[str, int]) -> Iterator[Operation]:
    yield from alexnet_features(flow)
    for name, module, outputs in (
        ("fc6", "classifier.1", 4096),
        ("fc7", "classifier.4", 4096),
        ("fc8", "classifier.6", spec.classes),
    ):
        fixed = name == "fc8"
        if module in ranks:  # a product of two, through `rank` values
            yield flow.linear(f"{name}/0", f"{module}.0", ranks[module], bias=False)
            yield flow.linear(f"{name}/1", f"{module}.1", outputs, fixed=fixed)
        else:
            yield flow.linear(name, module, outputs, fixed=fixed)
