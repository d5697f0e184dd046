"""The memory that a decoder of a tensor keeps while it reads it, beside the weights that it gives.

It is what sqz_required_memory of the C decoder asks for, to a few KB: which constants that has in tables depends on how it is
built. Nothing is decoded to tell it.
"""

from __future__ import annotations

import numpy as np

from compress import codecs
from compress.artifact.layout import MAX_BLOCK_LOG, POSITION_ALPHABET, Kind, LayerRecord, PositionMode, Stream

# "context" in docs/FORMAT.md: of a decision, how many contexts the three counters have; of the sign
N_NEAR, N_EXPECTED = 64, 16
N_SIGNS = 27 + 243 + 128
COUNTER_BYTES = 4  # a probability of 22 bits and a count of 8
MIXER_BYTES = 4 * 4  # three weights of a decision, and one to fill up
COLUMN_BYTES = 2 * 2 + 4 + 4  # levels of two rows, mean of magnitudes, mean of levels
TABLE_BYTES = 2 * 4096 + 2 * 4095 + 2 * 251 + 2048  # stretch, squash, rates, logarithms
STATE_BYTES = 256  # of the stream and of the layer
MAX_LOG = 47
CODED_ONE_BY_ONE = 58  # decisions for the bits below the highest: D = 79 is for all that would come after

HUFFMAN_BITS = 10  # codes up to here take one look-up
RANGE_BUCKETS = 1 << 8  # of the 2^14 that frequencies sum to, 64 at a time


def decoder_bytes(record: LayerRecord, *, block_weights: int = 1 << MAX_BLOCK_LOG) -> int:
    """Of one tensor, while it is read from first to last weight. block_weights: of a whole block of the file; it counts where
    rows are longer."""
    centroids = 2 * record.n_codes if record.kind == Kind.SORTED_F16 else 0
    if record.position_mode == PositionMode.LEVELS:
        return centroids + _context_bytes(record, block_weights)
    positions = _stream_bytes(record.positions, POSITION_ALPHABET[record.position_mode])
    return centroids + positions + _stream_bytes(record.codes, record.n_codes)


def _stream_bytes(stream: Stream | None, alphabet: int) -> int:
    coder = codecs.CODER_IDS[stream.coder_id] if stream is not None else ""
    if stream is None or coder not in ("huffman", "range"):
        return 0
    model, _ = codecs.coder_by_id(stream.coder_id).unpack_model(stream.model, 0, alphabet)
    n_present = int(np.count_nonzero(model))
    if coder == "huffman":  # a table by the next bits, and the symbols in the order of their codes
        return (4 << min(int(model.max()), HUFFMAN_BITS)) + 2 * n_present
    return 2 * (2 * n_present + 1 + RANGE_BUCKETS)  # symbols, sums of frequencies, where to begin to look


def _context_bytes(record: LayerRecord, block_weights: int) -> int:
    """The counters are those of decisions and contexts that the layer's levels can come to."""
    from compress.codecs import context

    assert record.positions is not None
    model, _ = context.unpack_model(record.positions.model, 0)
    largest = max(record.extent)
    n_bits = max(largest.bit_length() - 1, 0)  # of a magnitude, below its highest
    n_decisions = n_bits + 2  # zero or not, and the number of bits
    if n_bits:
        n_decisions += 1 + min(CODED_ONE_BY_ONE, 2 * 2**n_bits - n_bits - 3)
    log = _log(max(256 * model.mean, 4096 * largest) >> 7)  # of a mean of magnitudes, at most
    excess = max(min(MAX_LOG, 2 * log - _log(2 * model.mean)), 0)
    n_contexts = (log // 2 + 1) ** 2 + N_NEAR + N_EXPECTED * (excess // 2 + 1)
    if model.context_set == context.NO_CONTEXT:
        n_contexts, n_signs = 3, 3
    else:
        n_signs = N_SIGNS
    columns = min(context.Geometry.of(record.dims).columns, block_weights, record.n_weights)
    counters = COUNTER_BYTES * (n_contexts * n_decisions + n_signs)
    return counters + MIXER_BYTES * (n_decisions + 1) + COLUMN_BYTES * columns + TABLE_BYTES + STATE_BYTES


def _log(v: int) -> int:
    """log(v) of docs/FORMAT.md."""
    v = min(v, 2047)
    octave = v.bit_length() - 1
    return 0 if v < 2 else min(MAX_LOG, 4 * octave + (4 * v >> octave & 3))
