"""A second decoder of the portable profile, from docs/FORMAT.md alone: the standard library, no line shared with the package.

It is slow, checks little, and reads like the page; test_format_doc.py holds it against every golden file. Whoever writes a
decoder in another language may start here.
"""

import struct
from itertools import islice

import plain_context


class Cursor:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, n):
        self.at += n
        return self.data[self.at - n : self.at]

    def u8(self):
        return self.take(1)[0]

    def varint(self):
        value = shift = 0
        while True:
            byte = self.u8()
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value


def bits_of(data):
    """The bits of each byte, the highest first."""
    return (byte >> i & 1 for byte in data for i in range(7, -1, -1))


def number(bits, n):
    value = 0
    for bit in islice(bits, n):
        value = value << 1 | bit
    return value


def decode(data):
    """Name -> (kind, shape, weights in C order): integers for kind 2, floats for the others."""
    magic, version, _, block_log, _, file_size, metadata_size, table_size = struct.unpack_from("<4sBBBBQII", data)
    assert (magic, file_size) == (b"SQZ\x1a", len(data)) and version in (1, 2)
    table = Cursor(data[24 + metadata_size :][:table_size])
    payloads = Cursor(data[24 + metadata_size + table_size + 4 :])
    name, layers = "", []
    while table.at < table_size:
        name, layer = layer_record(table, name, 1 << block_log)
        layers.append((name, layer))
    return {name: (layer["kind"], layer["dims"], weights(layer, payloads)) for name, layer in layers}


def layer_record(table, previous, block_size):
    n_shared, suffix_size = table.u8(), table.u8()
    name = previous[:n_shared] + table.take(suffix_size).decode()
    kind_and_dims = table.u8()
    kind = kind_and_dims & 15
    dims = [table.varint() for _ in range(kind_and_dims >> 4)]
    layer = {"kind": kind, "dims": dims, "blocks": []}
    if kind >= 3:
        table.take(4)  # Values_CRC
        mode, n_codes = values_and_streams(table, layer)
    n_weights = 1
    for dim in dims:
        n_weights *= dim
    for start in range(0, n_weights, block_size):
        n = min(block_size, n_weights - start)
        block = {"n": n, "nonzero": n, "positions": 0, "gaps": 0, "codes": 0}
        layer["blocks"].append(block)
        if kind >= 3:
            if mode:
                block["nonzero"] = table.varint()
                if not block["nonzero"]:
                    continue
                block["positions"] = table.varint()
                block["gaps"] = table.varint() if mode == 3 else 0
            block["codes"] = table.varint() if n_codes > 1 and mode != 4 else 0
        table.take(4)  # Payload_CRC
    return name, layer


def values_and_streams(table, layer):
    if layer["kind"] >= 7:
        layer["values"] = []
    elif layer["kind"] == 5:
        (step,) = struct.unpack("<f", table.take(4))
        n_negative, n_positive = table.varint(), table.varint()
        levels = [level for level in range(-n_negative, n_positive + 1) if level]
        # level * step is exact in a Python float; packing it rounds once to binary32
        layer["values"] = [struct.unpack("<f", struct.pack("<f", level * step))[0] for level in levels]
    else:
        n_centroids = table.varint()
        if layer["kind"] == 6:
            layer["values"] = sorted_centroids(table, n_centroids)
        else:
            form, size = ("e", 2) if layer["kind"] == 3 else ("f", 4)
            layer["values"] = list(struct.unpack(f"<{n_centroids}{form}", table.take(size * n_centroids)))
    n_codes = len(layer["values"])
    mode_and_coder = table.u8()
    mode = layer["mode"] = mode_and_coder & 15
    if mode:
        layer["positions"] = (mode_and_coder >> 4, table.take(table.varint()), {1: 2, 2: 256, 3: 16, 4: 0}[mode])
    if n_codes > 1 and mode != 4:
        layer["codes"] = (table.u8(), table.take(table.varint()), n_codes)
    return mode, n_codes


def sorted_centroids(table, n_centroids):
    (key,) = struct.unpack("<H", table.take(2))
    order = table.u8()
    start, keys = table.at, [key]
    bits, n_bits = bits_of(table.data[start:]), 0
    for _ in range(n_centroids - 1):
        n_zeros = 0
        while next(bits) == 0:
            n_zeros += 1
        m = 1 << (n_zeros + order) | number(bits, n_zeros + order)
        n_bits += 2 * n_zeros + order + 1
        keys.append(keys[-1] + m - (1 << order))
    table.take((n_bits + 7) // 8)
    halves = [key - 32768 if key >= 32768 else 65535 - key for key in keys]
    return list(struct.unpack(f"<{n_centroids}e", struct.pack(f"<{n_centroids}H", *halves)))


def weights(layer, payloads):
    out = []
    for block in layer["blocks"]:
        n, n_nonzero = block["n"], block["nonzero"]
        if layer["kind"] < 3:
            form, size = [("e", 2), ("f", 4), ("q", 8)][layer["kind"]]
            out += struct.unpack(f"<{n}{form}", payloads.take(size * n))
            continue
        positions = payloads.take(block["positions"])
        if layer.get("mode") == 4:
            out += level_values(layer, positions, n) if n_nonzero else [0.0] * n
            continue
        mask = block_mask(layer, block, positions) if n_nonzero else [0] * n
        if layer["kind"] >= 7:
            form, size = [("e", 2), ("f", 4)][layer["kind"] - 7]
            nonzero = iter(struct.unpack(f"<{n_nonzero}{form}", payloads.take(size * n_nonzero)))
        else:
            codes = payloads.take(block["codes"])
            symbols = stream(codes, *layer["codes"], n_nonzero) if "codes" in layer else [0] * n_nonzero
            nonzero = iter([layer["values"][symbol] for symbol in symbols])
        out += [next(nonzero) if bit else 0.0 for bit in mask]
    return out


def level_values(layer, data, n):
    levels, _ = plain_context.decode(data, layer["positions"][1], layer["dims"], n)
    n_below = sum(value < 0 for value in layer["values"])
    return [layer["values"][n_below + level - (level > 0)] if level else 0.0 for level in levels]


def block_mask(layer, block, data):
    n, mode = block["n"], layer["mode"]
    if mode == 0:
        return [1] * n
    if mode == 1:
        return stream(data, *layer["positions"], n)
    if mode == 2:
        symbols = stream(data, *layer["positions"], (n + 7) // 8)
        return [symbols[i // 8] >> i % 8 & 1 for i in range(n)]
    mask = []
    for gap in stream(data, *layer["positions"], block["gaps"]):
        mask += [0] * gap + [1] * (gap < 15)
    return mask + [0] * (n - len(mask))


def stream(data, coder, model, alphabet, n_symbols):
    return [stored, huffman, range_coder][coder](data, model, alphabet, n_symbols)


def stored(data, _, alphabet, n_symbols):
    bits, width = bits_of(data), (alphabet - 1).bit_length()
    return [number(bits, width) for _ in range(n_symbols)]


def huffman(data, model, alphabet, n_symbols):
    nibbles = (nibble for byte in model for nibble in (byte >> 4, byte & 15))
    lengths, kraft = [], 0
    while len(lengths) < alphabet and kraft < 1 << 15:
        length = next(nibbles)
        if length == 0 and alphabet > 16:
            run = shift = 0
            while True:
                group = next(nibbles)
                run |= (group & 7) << shift
                shift += 3
                if group < 8:
                    break
            lengths += [0] * (run + 1)
        else:
            lengths.append(length)
            kraft += (1 << 15 >> length) if length else 0
    symbol_of, code, previous = {}, 0, 0
    for length, symbol in sorted((length, symbol) for symbol, length in enumerate(lengths) if length):
        code <<= length - previous
        symbol_of[length, code] = symbol
        code, previous = code + 1, length
    bits, out = bits_of(data), []
    while len(out) < n_symbols:
        length = code = 0
        while (length, code) not in symbol_of:
            length, code = length + 1, code << 1 | next(bits)
        out.append(symbol_of[length, code])
    return out


def range_coder(data, model, alphabet, n_symbols):
    values, frequencies = Cursor(model), []
    while sum(frequencies) < 1 << 14 and len(frequencies) < alphabet - 1:
        frequency = values.varint()
        frequencies += [frequency] if frequency else [0] * (values.varint() + 1)
    if sum(frequencies) < 1 << 14:
        frequencies.append((1 << 14) - sum(frequencies))
    present = [symbol for symbol, frequency in enumerate(frequencies) if frequency]
    if len(present) == 1:
        return present * n_symbols
    below = [sum(frequencies[:symbol]) for symbol in range(len(frequencies))]
    source = Cursor(data + bytes(3))
    code, span, out = int.from_bytes(source.take(4), "big"), (1 << 32) - 1, []
    for _ in range(n_symbols):
        unit = span >> 14
        symbol = max(s for s in present if unit * below[s] <= code)
        code -= unit * below[symbol]
        span = span - unit * below[symbol] if symbol == present[-1] else unit * frequencies[symbol]
        while span < 1 << 24:
            code, span = code << 8 | source.u8(), span << 8
        out.append(symbol)
    return out
