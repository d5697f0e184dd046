"""The authors' own Deep-Compressed SqueezeNet v1.0: compressed_SqueezeNet.net, 675,763 bytes (Han et al. 2016; BSD-2;
github.com/songhan/SqueezeNet-Deep-Compression, decode.py).

    File = an entry count for each layer, uint32 | the layers, in network order, back to back
    Layer = Codebook, 256 float32 | Bias, float32 | Codes, a byte an entry | Gaps, 4 bits an entry

All is little-endian, and two gaps share a byte, the low nibble first. A gap g puts its entry g + 1 places after the one before.
An entry of code 0 only moves on: it is padding for runs of more than 15 zeros. Any other code is the weight's codebook entry.
The file names no layer and no shape: both are the net's. Its conv1 takes Caffe's input (convention.CAFFE) and is not folded here.
Example: gaps 0 15 2, codes 7 0 9 are entry 7 at place 0, nothing at 16, entry 9 at 19; their bytes are `07 00 09 f0 02`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from compress.errors import WeightsError
from compress.layer import Layer, RawTensor, SharedLayer

CODEBOOK_SIZE = 256  # codes are bytes; entry 0 is no centroid
COUNT = np.dtype("<u4")
FLOAT = np.dtype("<f4")


def parse(data: bytes, expected: Mapping[str, tuple[int, ...]], source: object) -> list[Layer]:
    """Each layer's weight (a SharedLayer) and bias (a RawTensor, float32), under the names of `expected` and in its order.

    data: the whole file. expected: name -> shape of the net it is for, each weight (out, ...) followed by its bias (out,).
    source: what errors call the file. A codebook keeps the centroids that a weight has, in the file's order; +0.0 is none, since
    an index of 0 says it, and -0.0 is one. So the values are those of the file, bit for bit.
    Raises WeightsError, before anything is decoded, for a file whose length does not fit its counts and the net; then for a
    codebook, a bias or a position that cannot be.
    """
    shapes = _weight_shapes(expected, source)
    layers: list[Layer] = []
    offset = COUNT.itemsize * len(shapes)
    for (name, shape), n_entries in zip(shapes.items(), _checked_counts(data, shapes, source), strict=True):
        codebook = np.frombuffer(data, FLOAT, CODEBOOK_SIZE, offset)
        bias = np.frombuffer(data, FLOAT, shape[0], offset + codebook.nbytes)
        codes = np.frombuffer(data, np.uint8, n_entries, offset + codebook.nbytes + bias.nbytes)
        offset += _layer_size(shape, n_entries)
        gaps = np.frombuffer(data[offset - (n_entries + 1) // 2 : offset], np.uint8)
        _check_codebook(codebook, f"{source}: {name}")
        if not np.isfinite(bias).all():
            raise WeightsError(f"{source}: {_bias_of(name)} holds {_count_not_finite(bias)} values that are NaN or infinite")
        positions = _positions(gaps, n_entries, math.prod(shape), f"{source}: {name}")
        layers.append(_shared_layer(name, shape, codebook, codes, positions))
        layers.append(RawTensor(_bias_of(name), bias.copy()))
    return layers


def _bias_of(weight: str) -> str:
    return f"{weight.removesuffix('.weight')}.bias"


def _weight_shapes(expected: Mapping[str, tuple[int, ...]], source: object) -> dict[str, tuple[int, ...]]:
    """The weights of a net that is nothing but layers of a weight and a bias, as those of the file are."""
    names = list(expected)
    for i in range(0, len(names), 2):
        weight, bias = names[i], names[i + 1] if i + 1 < len(names) else "nothing"
        a_pair = weight.endswith(".weight") and bias == _bias_of(weight)
        if not a_pair or len(expected[bias]) != 1 or expected[bias] != expected[weight][:1]:
            raise WeightsError(f"{source}: holds a weight and a bias a layer; the net has {weight} followed by {bias}")
    return {name: tuple(expected[name]) for name in names[::2]}


def _layer_size(shape: tuple[int, ...], n_entries: int) -> int:
    """Bytes of a layer: its codebook, bias, codes and gaps."""
    return FLOAT.itemsize * (CODEBOOK_SIZE + shape[0]) + n_entries + (n_entries + 1) // 2


def _checked_counts(data: bytes, shapes: Mapping[str, tuple[int, ...]], source: object) -> list[int]:
    """Entries of each layer. The layers that they declare fill the file exactly."""
    end = COUNT.itemsize * len(shapes)
    if len(data) < end:
        raise WeightsError(f"{source}: {len(data):,} bytes, the entry counts of the net's {len(shapes)} weights take {end:,}")
    counts: list[int] = np.frombuffer(data, COUNT, len(shapes)).tolist()
    for (name, shape), n_entries in zip(shapes.items(), counts, strict=True):
        if n_entries > math.prod(shape):  # each entry takes a place of its own
            raise WeightsError(f"{source}: {name} declares {n_entries:,} entries, shape {shape} has {math.prod(shape):,} places")
        start, end = end, end + _layer_size(shape, n_entries)
        if end > len(data):
            raise WeightsError(
                f"{source}: {len(data):,} bytes, {name} and its bias need bytes {start:,} to {end:,} for {n_entries:,} entries"
            )
    if len(data) > end:
        raise WeightsError(f"{source}: {len(data):,} bytes, the layers end after {end:,}")
    return counts


def _count_not_finite(array: npt.NDArray[np.float32]) -> int:
    return int(np.count_nonzero(~np.isfinite(array)))


def _check_codebook(codebook: npt.NDArray[np.float32], where: str) -> None:
    if not np.isfinite(codebook).all():
        raise WeightsError(f"{where}: the codebook holds {_count_not_finite(codebook)} entries that are NaN or infinite")
    if codebook.view(np.uint32)[0] != 0:
        raise WeightsError(f"{where}: entry 0 of the codebook is {codebook[0]}, must be 0.0, the value of a pruned weight")


def _positions(packed: npt.NDArray[np.uint8], n_entries: int, n_weights: int, where: str) -> npt.NDArray[np.int64]:
    """Place of each entry in the weights in C order, rising. packed: two gaps a byte, shape (ceil(n_entries / 2),)."""
    gaps = np.stack([packed & 15, packed >> 4], axis=1).reshape(-1)
    if gaps[n_entries:].any():
        raise WeightsError(f"{where}: the nibble after the last of {n_entries:,} gaps is {gaps[-1]}, must be 0")
    positions = np.cumsum(gaps[:n_entries] + 1, dtype=np.int64) - 1
    if n_entries and positions[-1] >= n_weights:
        first = int(np.searchsorted(positions, n_weights))
        raise WeightsError(
            f"{where}: entry {first:,} of {n_entries:,} is at place {positions[first]:,}, the layer has {n_weights:,} weights"
        )
    return positions


def _shared_layer(
    name: str,
    shape: tuple[int, ...],
    codebook: npt.NDArray[np.float32],
    codes: npt.NDArray[np.uint8],
    positions: npt.NDArray[np.int64],
) -> SharedLayer:
    is_centroid = np.bincount(codes, minlength=CODEBOOK_SIZE) > 0
    is_centroid &= codebook.view(np.uint32) != 0  # all bits, so that -0.0 stays
    index_of_code = (np.cumsum(is_centroid) * is_centroid).astype(np.int32)
    indices = np.zeros(math.prod(shape), np.int32)
    indices[positions] = index_of_code[codes]
    return SharedLayer(name, shape, indices.reshape(shape), codebook=codebook[is_centroid])
