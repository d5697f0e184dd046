"""The RAM that a net takes while it runs, by how its weights and its activations are kept.

In memory at once: the activations that are still read, the weights that are decoded, and the state of the decoder. What a program
takes beside that (code, stack, a camera's buffer, a radio) is not counted, nor are the sums that a layer makes in registers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from compress.models.operations import Operation

FP32_BYTES = 4
# How much is decoded at a time. A row makes one output; by row, a layer is decoded whole all the same where that takes less.
ALL, BY_LAYER, BY_ROW = WEIGHTS = ("all", "by layer", "by row")
FLOAT32, INT8, FUSED = "float32", "int8", "int8, fused"  # fused: conv1 and its pool in one, a few rows at a time
BYTES_A_VALUE = {FLOAT32: 4, INT8: 1, FUSED: 1}
POOL_ROWS = 3  # of conv1's output that its pool reads at a time


@dataclass(frozen=True)
class Layer:
    """An operation, and what the file has for it. decoder_bytes: while its weights are read, or its biases, which come first."""

    operation: Operation
    n_nonzero: int  # weights
    decoder_bytes: int

    @property
    def fp32_bytes(self) -> int:
        return FP32_BYTES * self.operation.n_parameters

    @property
    def row_bytes(self) -> int:
        return FP32_BYTES * self.operation.row

    @property
    def bias_bytes(self) -> int:
        return self.fp32_bytes - FP32_BYTES * self.operation.n_weights

    @property
    def nonzero_macs(self) -> int:
        return self.n_nonzero * self.operation.positions


@dataclass(frozen=True)
class Need:
    """RAM for one way to run the net. weights: of WEIGHTS. activations: of BYTES_A_VALUE. peak: the layer that needs the most."""

    weights: str
    activations: str
    ram_bytes: int
    peak: str


def can_fuse(layers: Sequence[Layer]) -> bool:
    return [layer.operation.kind for layer in layers[:2]] == ["conv", "pool"]


def _fused(layers: Sequence[Layer]) -> list[Layer]:
    """conv1 and its pool as one: the input, the pool's output, and the rows between them that the pool reads."""
    conv, pool = layers[0].operation, layers[1].operation
    between = POOL_ROWS * conv.side * conv.channels
    both = replace(conv, name=f"{conv.name} with {pool.name}", side=pool.side, kind="fused", values_out=pool.values_out + between)
    return [replace(layers[0], operation=both), *layers[2:]]


def peak_of(layers: Sequence[Layer], activations: str) -> tuple[int, str]:
    """The most bytes of activations, and where."""
    found = _fused(layers) if activations == FUSED else layers
    most = max((layer.operation for layer in found), key=lambda operation: operation.live_values)
    return BYTES_A_VALUE[activations] * most.live_values, most.name


def need(layers: Sequence[Layer], weights: str, activations: str) -> Need:
    """The RAM of one way, and the layer that takes the most."""
    found = _fused(layers) if activations == FUSED else layers
    if weights == ALL:  # before the image comes
        peak, where = peak_of(layers, activations)
        state = max(layer.decoder_bytes for layer in layers)
        total = FP32_BYTES * sum(layer.operation.n_parameters for layer in layers)
        return Need(weights, activations, total + max(peak, state), where if peak >= state else "decoding")
    each = {layer.operation.name: _layer_need(layer, weights, BYTES_A_VALUE[activations]) for layer in found}
    where = max(each, key=lambda name: each[name])
    return Need(weights, activations, each[where], where)


def _layer_need(layer: Layer, weights: str, value_bytes: int) -> int:
    """A row is decoded while its outputs are made, so that the decoder is there beside them; a whole layer is before that."""
    operation = layer.operation
    before, live = value_bytes * operation.values_in, value_bytes * operation.live_values
    whole = layer.fp32_bytes + max(before + layer.decoder_bytes, live)
    if weights == BY_LAYER or operation.kind == "fused":  # which reads all its weights for each row of pixels
        return whole
    return min(whole, live + layer.bias_bytes + layer.row_bytes + layer.decoder_bytes)
