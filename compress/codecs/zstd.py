"""zstandard (RFC 8878) at its highest level: for symbols that repeat in patterns, on a host. Never in the portable profile.

Prefer `range`, which is shorter on weights (they hardly repeat) and small to decode. There is no `ideal_bits`: zstd has no
model of ours to be compared with.
Model: the alphabet, which the layer's header knows; it packs to no bytes.
Stream: one zstandard frame of a single segment (so it states its content size), with no checksum and no dictionary, and nothing
after it. The content is one byte a symbol if the alphabet is at most 256, else two, little-endian. No symbols code to no bytes.
The bytes of a frame depend on the version of the zstandard library; what it decodes to does not.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import zstandard

from compress.codecs import Buffer, Decoder, Model, Symbols
from compress.codecs.symbols import check_alphabet, check_decoded, symbol_dtype, to_encode
from compress.errors import CorruptStream


def build_model(frequencies: npt.NDArray[np.int64]) -> Model:
    return np.array([check_alphabet(len(frequencies))], np.uint32)


def pack_model(model: Model) -> bytes:
    return b""


def unpack_model(data: Buffer, offset: int, alphabet: int) -> tuple[Model, int]:
    return np.array([check_alphabet(alphabet)], np.uint32), offset


def encode(symbols: Symbols, model: Model) -> bytes:
    alphabet = int(model[0])
    content = to_encode(symbols, alphabet).astype(symbol_dtype(alphabet)).tobytes()
    if not content:
        return b""
    compressor = zstandard.ZstdCompressor(
        level=zstandard.MAX_COMPRESSION_LEVEL, write_checksum=False, write_content_size=True, threads=0
    )
    return compressor.compress(content)


def decoder(model: Model) -> Decoder:
    return lambda data, n_symbols: decode(data, model, n_symbols)


def decode(data: Buffer, model: Model, n_symbols: int) -> Symbols:
    alphabet = int(model[0])
    dtype = symbol_dtype(alphabet)
    if n_symbols == 0 and len(data) == 0:
        return np.zeros(0, dtype)
    content = _content(bytes(data), n_symbols * dtype.itemsize)
    return check_decoded("zstd", np.frombuffer(content, dtype), alphabet).astype(dtype)


def _content(frame: bytes, size_bytes: int) -> bytes:
    """What a frame holds; size_bytes is what the header says, compared before anything is decompressed."""
    if frame[:4] != zstandard.FRAME_HEADER:  # skippable frames have another
        raise CorruptStream(f"zstd: starts with {frame[:4].hex(' ') or 'nothing'}, not with a frame")
    try:
        declared = zstandard.get_frame_parameters(frame)
        if declared.content_size != size_bytes or size_bytes == 0:
            raise CorruptStream(f"zstd: frame declares {declared.content_size} bytes, header says {size_bytes}")
        if declared.window_size > size_bytes:  # the decompressor's memory; a single segment's window is its content
            raise CorruptStream(f"zstd: frame declares a window of {declared.window_size} bytes for {size_bytes}")
        if declared.has_checksum or declared.dict_id:
            raise CorruptStream("zstd: frame has a checksum or a dictionary, allowed is neither")
        content = zstandard.ZstdDecompressor().decompress(frame, max_output_size=size_bytes, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise CorruptStream(f"zstd: {error}") from error
    if len(content) != size_bytes:  # no test reaches this: zstandard refuses such a frame by itself, which it need not for ever
        raise CorruptStream(f"zstd: frame holds {len(content)} bytes, declares {size_bytes}")
    return content
