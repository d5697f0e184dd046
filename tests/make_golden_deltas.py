"""Makes the .sqzd files of tests/golden/ (must apply for ever) and tests/golden_bad/ (must be refused). Run once a delta version:

    python tests/make_golden_deltas.py        # adds what is missing, refuses to change what is there

tests/golden/deltas.json names the base and NEW of each golden delta, both golden .sqz files. A bad one has a row in
golden_bad/expected_deltas.json: its base, the class of the error and a part of its message; it is wrong in one way only. All are
of the block form: the symbol form is for one version of the encoder, and not for keeping.
"""

from __future__ import annotations

import json
import sys

from delta_file import file_of, with_header
from make_golden import GOLDEN, GOLDEN_BAD

from compress.artifact import delta
from compress.artifact.delta_layout import Copy, Instruction, Literal, pack_instructions

BASE = "coder_range.sqz"  # of the bad ones
MADE = {  # by this version's maker, which may come to cut NEW elsewhere
    "delta_same": ("every_kind.sqz", "every_kind.sqz"),
    "delta_other_coder": ("coder_huffman.sqz", "coder_range.sqz"),
    "delta_other_blocks": ("levels.sqz", "levels_blocks.sqz"),
    "delta_unrelated": ("sparse_blocks.sqz", "extremes.sqz"),
}


def golden(name: str) -> bytes:
    return (GOLDEN / name).read_bytes()


def by_hand() -> dict[str, tuple[str, str, bytes]]:
    """Name -> base, NEW, delta: what the page allows and no maker here writes."""
    base, new = golden("coder_huffman.sqz"), golden("coder_range.sqz")
    singles: list[Instruction] = [
        Copy(base.index(new[i : i + 1]), 1) if new[i : i + 1] in base else Literal(new[i : i + 1]) for i in range(len(new))
    ]
    halves: list[Instruction] = [Literal(new[: len(new) // 2]), Literal(new[len(new) // 2 :])]
    return {
        "delta_bytes_from_anywhere": ("coder_huffman.sqz", "coder_range.sqz", file_of(pack_instructions(singles), base, new)),
        "delta_all_literal": ("coder_huffman.sqz", "coder_range.sqz", file_of(pack_instructions(halves), base, new)),
    }


def bad_deltas() -> dict[str, tuple[bytes, str, str]]:
    """Name -> bytes, class of the error, a part of its message. Every other checksum and length fits."""
    base, new = golden(BASE), b"new file!"
    good = file_of(pack_instructions([Literal(new)]), base, new)

    def body(text: str) -> bytes:
        return file_of(bytes.fromhex(text), base, new)

    damaged = bytearray(good)
    damaged[101] ^= 1
    corrupt, limit = "CorruptArtifact", "LimitExceeded"
    return {
        "delta_empty": (b"", corrupt, "an empty file"),
        "delta_magic": (with_header(good, 0, b"SQZ\x1a"), corrupt, "not a .sqzd file: begins with 53 51 5a 1a"),
        "delta_version": (with_header(good, 4, b"\2"), "UnsupportedVersion", "delta version 2, this reader knows 1"),
        "delta_form": (with_header(good, 5, b"\2"), corrupt, "form 2, allowed 0 (block) and 1 (symbol)"),
        "delta_reserved": (with_header(good, 6, b"\1"), corrupt, "reserved bytes are 1, must be 0"),
        "delta_header_crc": (good[:96] + bytes(4) + good[100:], corrupt, "the header is damaged: CRC-32C"),
        "delta_no_body": (good[:103], corrupt, "truncated: 103 bytes, header and checksums alone take 104"),
        "delta_truncated": (good[:-1], corrupt, f"truncated: {len(good) - 1} bytes, the header declares {len(good)}"),
        "delta_too_long": (good + b"\0", corrupt, f"too long: {len(good) + 1} bytes, the header declares {len(good)}"),
        "delta_base_empty": (with_header(good, 16, bytes(8)), corrupt, "base of 0 and new file of 9 bytes, neither can be"),
        "delta_base_large": (with_header(good, 16, b"\xff" * 8), limit, "the base is of 18,446,744,073,709,551,615 bytes"),
        "delta_base_size": (with_header(good, 16, bytes([len(base) % 256 ^ 1])), corrupt, "that of its SHA-256 has 850"),
        "delta_new_empty": (with_header(good, 24, bytes(8)), corrupt, "new file of 0 bytes, neither can be empty"),
        "delta_new_large": (with_header(good, 24, (1 << 30 | 1).to_bytes(8, "little")), limit, "of 1,073,741,825 bytes, at most"),
        "delta_wrong_base": (with_header(good, 32, bytes(32)), "WrongBase", "is for the base of SHA-256 00000000"),
        "delta_wrong_new": (with_header(good, 64, bytes(32)), corrupt, "makes a file of SHA-256"),
        "delta_body_crc": (bytes(damaged), corrupt, "the body is damaged: CRC-32C"),
        "delta_no_instruction": (body(""), corrupt, "instructions make 0 bytes, the header declares a new file of 9"),
        "delta_instruction_empty": (body("00"), corrupt, "an instruction of no bytes, at byte 0"),
        "delta_copy_empty": (body("01 00"), corrupt, "an instruction of no bytes, at byte 0"),
        "delta_literal_cut": (body("12 61"), corrupt, "the instructions end inside one, 8 bytes short"),
        "delta_copy_cut": (body("13"), corrupt, "the instructions end inside one, 1 bytes short"),
        "delta_copy_past_base": (body("13 ca 06"), corrupt, "a copy of bytes 842 to 851 of a base of 850"),
        "delta_copy_far": (body("13 ff ff ff ff 7f"), corrupt, "a copy of bytes 34,359,738,367 to 34,359,738,376"),
        "delta_literal_long": (body("14 61"), corrupt, "make at least 10 bytes, the header declares a new file of 9"),
        "delta_length_huge": (body("fe ff ff ff 7f"), corrupt, "make at least 17,179,869,183 bytes"),
        "delta_one_too_many": (body("13 00 02 61"), corrupt, "make at least 10 bytes, the header declares a new file of 9"),
        "delta_too_few": (body("11 00"), corrupt, "instructions make 8 bytes, the header declares a new file of 9"),
        "delta_varint_long": (body("93 80 80 80 80 80"), "CorruptStream", "longer than 5 bytes"),
        "delta_varint_padded": (body("93 00"), "CorruptStream", "2 bytes for 19, which needs fewer"),
    }


def main() -> None:
    changed = [*add_golden(), *add_bad()]
    if changed:
        sys.exit(f"not overwritten, though they would differ: {', '.join(changed)}")


def add_golden() -> list[str]:
    """Deltas that exist and would differ. Those that a maker made may: they must apply, not be made again."""
    changed = []
    hand = by_hand()
    pairs = {**MADE, **{name: (base, new) for name, (base, new, _) in hand.items()}}
    for name, (base, new) in pairs.items():
        path = GOLDEN / f"{name}.sqzd"
        data = hand[name][2] if name in hand else delta.make(GOLDEN / base, GOLDEN / new, form="block").data
        if not path.exists():
            path.write_bytes(data)
        elif name in hand and path.read_bytes() != data:
            changed.append(path.name)
    rows = {f"{name}.sqzd": {"base": base, "new": new} for name, (base, new) in sorted(pairs.items())}
    (GOLDEN / "deltas.json").write_text(json.dumps(rows, indent=1) + "\n")
    return changed


def add_bad() -> list[str]:
    changed = []
    table = GOLDEN_BAD / "expected_deltas.json"
    expected = json.loads(table.read_text()) if table.exists() else {}
    for name, (data, error, message) in bad_deltas().items():
        path = GOLDEN_BAD / f"{name}.sqzd"
        row = {"base": BASE, "error": error, "message": message}
        if not path.exists():
            path.write_bytes(data)
            expected[path.name] = row
        elif path.read_bytes() != data or expected[path.name] != row:
            changed.append(path.name)
    table.write_text(json.dumps(expected, indent=1) + "\n")
    return changed


if __name__ == "__main__":
    main()
