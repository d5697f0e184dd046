"""A codebook in the table: its centroids as they are, or, for a sorted float16 codebook, the distances between them.

Sorted_Codebook: First_Key (u16), Golomb_Order (u8, 0 to 15), then a code for each further centroid.
The key of a float16 with bits u is u + 2^15 if its sign is plus, else 2^16 - 1 - u: an integer that rises with the value. A code
is the distance d >= 0 from the key before, as an exponential Golomb code of order K (Teuhola 1978): m = d + 2^K in binary, its
highest bit first, after as many zeros as m has bits more than K + 1. Bytes fill from their highest bit; the last is filled up
with zeros. 32 centroids take about 45 bytes, not 64.
Example: 0.5, 0.5625, 0.625 (bits 3800 3880 3900) have the keys b800 b880 b900. With order 6, a distance of 128 is m = 192, the
nine bits 0 1100 0000, and the whole is `00 b8 06 60 30 00`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from compress.errors import CorruptArtifact

MAX_ORDER = 15
MAX_KEY = (1 << 16) - 1
LONGEST_CODE = 33  # bits: 16 zeros, and m of 17
PIECE = 4096  # bits that are looked at as text: a code of theirs takes half a microsecond


def keys_of(codebook: npt.NDArray[np.float16]) -> npt.NDArray[np.int64]:
    bits = codebook.view(np.uint16).astype(np.int64)
    return np.where(bits < 0x8000, bits + 0x8000, MAX_KEY - bits)


def is_sorted(codebook: npt.NDArray[np.float16]) -> bool:
    return len(codebook) > 0 and bool((np.diff(keys_of(codebook)) >= 0).all())


def pack(codebook: npt.NDArray[np.float16]) -> bytes:
    """codebook: float16, shape (n_centroids,), sorted, at least one."""
    keys = keys_of(codebook)
    distances = np.diff(keys).tolist()
    order = min(range(MAX_ORDER + 1), key=lambda k: sum(2 * (d + (1 << k)).bit_length() - k for d in distances))
    bits = "".join(_code(distance, order) for distance in distances)
    n_bytes = (len(bits) + 7) // 8
    packed = int(bits.ljust(8 * n_bytes, "0") or "0", 2).to_bytes(n_bytes, "big")
    return int(keys[0]).to_bytes(2, "little") + bytes([order]) + packed


def _code(distance: int, order: int) -> str:
    m = distance + (1 << order)
    return "0" * (m.bit_length() - order - 1) + f"{m:b}"


def unpack(data: bytes, offset: int, n_centroids: int) -> tuple[npt.NDArray[np.float16], int]:
    """The codebook at `offset`, and the offset after it."""
    if n_centroids == 0:
        raise CorruptArtifact("a sorted codebook without a centroid")
    if len(data) < offset + 3:
        raise CorruptArtifact("the table ends inside a codebook")
    key, order = int.from_bytes(data[offset : offset + 2], "little"), data[offset + 2]
    if order > MAX_ORDER:
        raise CorruptArtifact(f"codebook: Golomb order {order}, at most {MAX_ORDER} is allowed")
    keys, at = [key], 8 * (offset + 3)  # at: in bits
    bits, start = "", at  # a piece of the data as text, and where it begins; zeros after the end of the data
    while len(keys) < n_centroids:
        if at + LONGEST_CODE > start + len(bits):
            bits, start = f"{_bits(data, at, PIECE):0{PIECE}b}", at
        here = at - start
        if order == 0 and bits[here] == "1":  # the same key again, in one bit: as many as follow
            end_of_run = bits.find("0", here)
            n_same = min((end_of_run if end_of_run >= 0 else len(bits)) - here, n_centroids - len(keys))
            keys += [key] * n_same
            at += n_same
            continue
        first = bits.find("1", here, here + LONGEST_CODE)
        n_zeros = LONGEST_CODE if first < 0 else first - here
        out_of_range = n_zeros + order > 16  # then d >= 2^17 - 2^15
        size = 17 - order if out_of_range else 2 * n_zeros + order + 1
        if at + size > 8 * len(data):
            raise CorruptArtifact("the table ends inside a codebook")
        if out_of_range:
            raise CorruptArtifact(f"codebook: a centroid after number {len(keys)} is out of range")
        key += int(bits[first : here + size], 2) - (1 << order)
        at += size
        if key > MAX_KEY:
            raise CorruptArtifact(f"codebook: a centroid after number {len(keys)} is out of range")
        keys.append(key)
    end = (at + 7) // 8
    if _bits(data, at, 8 * end - at):
        raise CorruptArtifact("codebook: the bits after the last centroid are not zero")
    rising = np.array(keys, np.int64)
    return np.where(rising >= 0x8000, rising - 0x8000, MAX_KEY - rising).astype(np.uint16).view(np.float16), end


def _bits(data: bytes, at: int, n_bits: int) -> int:
    """n_bits from bit `at` on, the highest first; zeros after the end of the data."""
    first, end = at // 8, (at + n_bits + 7) // 8
    return int.from_bytes(data[first:end].ljust(end - first, b"\0"), "big") >> (8 * end - at - n_bits) & ((1 << n_bits) - 1)
