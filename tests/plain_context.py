"""The coder `context`, decoded from docs/FORMAT.md alone: a part of plain_decoder.py. It also adds up the ideal length."""

import math
from collections import defaultdict

LOGISTIC = [1, 2, 4, 6, 10, 17, 28, 45, 74, 120, 194, 311, 488, 747, 1102, 1546, 2048,
            2550, 2994, 3349, 3608, 3785, 3902, 3976, 4022, 4051, 4068, 4079, 4086, 4090, 4092, 4094, 4095]  # fmt: skip


def squash(x):
    a, b = (x >> 7) + 16, x & 127
    return (LOGISTIC[a] * (128 - b) + LOGISTIC[a + 1] * b + 64) >> 7


SQUASHED = [squash(x) for x in range(-2047, 2048)]
STRETCH = [next((x for x in range(-2047, 2048) if SQUASHED[x + 2047] >= q), 2047) for q in range(4096)]


def log(v):
    v = min(v, 2047)
    e = v.bit_length() - 1
    return 0 if v < 2 else min(47, 4 * e + ((4 * v >> e) & 3))


def s(v):
    return 1 if v > 0 else 2 if v < 0 else 0


class Decisions:
    """The range decoder with its counters and mixing weights. bits: the ideal length of what was decoded."""

    def __init__(self, data):
        self.data, self.at = data + bytes(3), 4
        self.code, self.span, self.bits = int.from_bytes(self.data[:4], "big"), (1 << 32) - 1, 0.0
        self.counters = defaultdict(lambda: [1 << 21, 0])
        self.weights = defaultdict(lambda: [24000] * 3)

    def decide(self, decision, contexts):
        counters = [self.counters[j, decision, context] for j, context in enumerate(contexts)]
        w = self.weights[decision]
        y = [STRETCH[q >> 10] for q, _ in counters]
        p = squash(min(2047, max(-2047, sum(a * b for a, b in zip(w, y, strict=True)) >> 16)))
        bound = (self.span >> 12) * p
        bit = int(self.code < bound)
        if bit:
            self.span = bound
        else:
            self.code, self.span = self.code - bound, self.span - bound
        while self.span < 1 << 24:
            self.code, self.span = self.code << 8 | self.data[self.at], self.span << 8
            self.at += 1
        self.bits -= math.log2((p if bit else 4096 - p) / 4096)
        for j, counter in enumerate(counters):
            w[j] += (4 * y[j] * (4096 * bit - p) + 8192) >> 14
            counter[0] += ((4194304 * bit - counter[0]) * (131072 // (2 * counter[1] + 3))) >> 16
            counter[1] = min(250, counter[1] + 1)
        return bit


def decode(data, model, dims, n):
    """The n levels of a block, and their ideal length in bits."""
    context_set, mean = model[0], sum((byte & 127) << 7 * i for i, byte in enumerate(model[1:]))
    columns, kernel = math.prod(dims[1:]), math.prod(dims[2:])
    width = dims[-1] if len(dims) > 2 else 1
    coder, levels = Decisions(data), []
    mag, avg, tap, row = [256 * mean] * columns, [0] * columns, [0] * 8, 0
    for i in range(n):
        c, r = i % columns, i // columns
        p = c % kernel
        px = p % width
        row = 256 * mean if c == 0 else row
        above = levels[i - columns] if r > 0 else 0
        above2 = levels[i - 2 * columns] if r > 1 else 0
        left = levels[i - 1] if px > 0 or (kernel == 1 and c > 0) else 0
        left2 = levels[i - 2] if px > 1 or (kernel == 1 and c > 1) else 0
        up = levels[i - width] if kernel > 1 and p >= width else 0
        corner = levels[i - width - 1] if kernel > 1 and p >= width and px > 0 else 0
        so_far = sum(levels[i - p : i])
        x = [16 * level for level in (above, above2, left, left2, up, corner, so_far)] + [avg[c] >> 8]
        prediction = sum(a * b for a, b in zip(tap, x, strict=True)) >> 16
        expected = min(15, abs(prediction) * (262144 // mean) >> 16)
        a, b, m = log(mag[c] >> 7), log(row >> 7), log(2 * mean)
        contexts = [24 * (a >> 1) + (b >> 1), 16 * min(3, abs(left)) + 4 * min(3, abs(left2)) + min(3, abs(up)),
                    24 * expected + (min(47, max(0, a + b - m)) >> 1)]  # fmt: skip
        v = 0
        if coder.decide(0, contexts if context_set else [0, 0, 0]):
            n_bits = 0
            while coder.decide(2 + n_bits, contexts if context_set else [0, 0, 0]):
                n_bits += 1
            v = 1
            for _ in range(n_bits):
                v = 2 * v + coder.decide(min(79, 13 + 2**n_bits + v), contexts if context_set else [0, 0, 0])
            contexts = [9 * s(above) + 3 * s(above2) + s(left), 9 * (9 * s(left) + 3 * s(left2) + s(up)) + min(8, p),
                        4 * (16 + expected if prediction >= 0 else 16 - expected) + min(4, v) - 1]  # fmt: skip
            v = -v if coder.decide(1, contexts if context_set else [0, 0, 0]) else v
        levels.append(v)
        error = 16 * v - prediction
        gain = (65536 * abs(error)) // (14 * mean * mean + sum(each * each for each in x)) * (1 if error >= 0 else -1)
        tap = [a + ((gain * b) >> 5) for a, b in zip(tap, x, strict=True)]
        rate = 65536 // (min(r, 14) + 2)
        mag[c] += ((4096 * abs(v) - mag[c]) * rate) >> 16
        avg[c] += ((4096 * v - avg[c]) * rate) >> 16
        row += ((4096 * abs(v) - row) * (65536 // (min(c, 40) + 6))) >> 16
    return levels, coder.bits
