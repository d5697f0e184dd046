"""The stream of docs/DELTA.md's symbol form, decoded from that page alone, upon plain_context.py's table and range decoder."""

import math
from collections import defaultdict

from plain_context import SQUASHED, STRETCH, log


class Decisions:
    """bits: the ideal length of what was decoded."""

    def __init__(self, data):
        self.data, self.at = data + bytes(3), 4
        self.code, self.span, self.bits = int.from_bytes(self.data[:4], "big"), (1 << 32) - 1, 0.0
        self.counters = defaultdict(lambda: [1 << 21, 0])
        self.weights = defaultdict(lambda: [22000] * 3)

    def take(self, bound):
        bit = int(self.code < bound)
        self.bits -= math.log2((bound if bit else self.span - bound) / self.span)
        if bit:
            self.span = bound
        else:
            self.code, self.span = self.code - bound, self.span - bound
        while self.span < 1 << 24:
            self.code, self.span = self.code << 8 | self.data[self.at], self.span << 8
            self.at += 1
        return bit

    def decide(self, decision, contexts):
        counters = [self.counters[j, decision, context] for j, context in enumerate(contexts)]
        w = self.weights[decision]
        y = [STRETCH[q >> 10] for q, _ in counters]
        p = SQUASHED[2047 + min(2047, max(-2047, sum(a * b for a, b in zip(w, y, strict=True)) >> 16))]
        bit = self.take((self.span >> 12) * p)
        for j, counter in enumerate(counters):
            w[j] += (y[j] * (4096 * bit - p) + 8192) >> 14
            counter[0] += ((4194304 * bit - counter[0]) * (131072 // (2 * counter[1] + 3))) >> 16
            counter[1] = min(1000, counter[1] + 1)
        return bit


def decode(data, old, dims):
    """The new integers of a layer, and their ideal length in bits."""
    columns = math.prod(dims[1:])
    coder, new = Decisions(data), []
    column_share, column_rise, row_share, row_rise = defaultdict(int), defaultdict(lambda: 32768), 0, 32768
    for i, before in enumerate(old):
        c, r = i % columns, i // columns
        level = min(5, max(-5, before))
        changed, v = coder.decide(0, (level, log(row_share >> 5), log(column_share[c] >> 5))), 0
        if changed:
            rises = coder.decide(1, (level, row_rise >> 12, column_rise[c] >> 12))
            n_bits = 0
            while coder.decide(2 + n_bits, (level, 0, 0)):
                n_bits += 1
            v = 1
            for k in range(n_bits):
                v = 2 * v + (coder.decide(35 + n_bits, (level, 0, 0)) if k == 0 else coder.take(coder.span >> 1))
            v = v if rises else -v
            column_rise[c] += (65536 * rises - column_rise[c]) >> 3
            row_rise += (65536 * rises - row_rise) >> 4
        new.append(before + v)
        column_share[c] += ((65536 * changed - column_share[c]) * (65536 // (min(r, 30) + 2))) >> 16
        row_share += ((65536 * changed - row_share) * (65536 // (min(c, 60) + 6))) >> 16
    return new, coder.bits
