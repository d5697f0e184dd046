"""An applier of the block form, made from docs/DELTA.md alone. It checks only what says that it got it right."""

import hashlib


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        value, shift, at = value | (byte & 127) << shift, shift + 7, at + 1
        if byte < 128:
            return value, at


def apply(base, delta):
    assert delta[:6] == b"SQD\x1a\x01\x00" and hashlib.sha256(base).digest() == delta[32:64]
    new, at, end = b"", 100, int.from_bytes(delta[8:16], "little") - 4
    while at < end:
        head, at = varint(delta, at)
        length = head >> 1
        if head & 1:
            offset, at = varint(delta, at)
            new += base[offset : offset + length]
        else:
            new, at = new + delta[at : at + length], at + length
    assert hashlib.sha256(new).digest() == delta[64:96] and len(new) == int.from_bytes(delta[24:32], "little")
    return new
