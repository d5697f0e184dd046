"""What each byte of a file is for, module by module. The parts sum to the file's size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from compress.artifact.inspect import Row
from compress.artifact.layout import PositionMode

LEVELS = "levels (positions and codes in one)"
POSITIONS = "positions (mask)"
CODES = "codes"
RAW = "weights as they are"
BIASES = "biases and other vectors"
CODEBOOKS = "codebooks and steps"
MODELS = "coder models"
RECORDS = "header, table, checksums"
PARTS = (LEVELS, POSITIONS, CODES, RAW, BIASES, CODEBOOKS, MODELS, RECORDS)
AROUND = "(header, metadata)"  # and the file's SHA-256: what belongs to no module


@dataclass(frozen=True)
class ModuleBytes:
    """name: of the module whose tensors these are, for instance "features.3.squeeze". bytes_of: by part, those of PARTS that
    it has."""

    name: str
    bytes_of: dict[str, int]

    @property
    def size_bytes(self) -> int:
        return sum(self.bytes_of.values())


def module_of(tensor: str) -> str:
    """ "features.0.weight" -> "features.0"; a tensor of no module is its own."""
    return tensor.rpartition(".")[0] or tensor


def by_module(rows: Sequence[Row]) -> list[ModuleBytes]:
    """rows: of one file, as inspect gives them. The modules in the file's order, and last what is around them."""
    found: dict[str, dict[str, int]] = {}
    for row in rows:
        own = found.setdefault(module_of(row.name) if row.kind else AROUND, {})
        for part, n_bytes in _parts(row).items():
            if n_bytes:
                own[part] = own.get(part, 0) + n_bytes
    found[AROUND] = found.pop(AROUND)
    return [ModuleBytes(name, {part: own[part] for part in PARTS if part in own}) for name, own in found.items()]


def total(modules: Sequence[ModuleBytes]) -> ModuleBytes:
    """Of all modules; its name is "all"."""
    sums = {part: sum(module.bytes_of.get(part, 0) for module in modules) for part in PARTS}
    return ModuleBytes("all", {part: n_bytes for part, n_bytes in sums.items() if n_bytes})


def _parts(row: Row) -> dict[str, int]:
    around = {CODEBOOKS: row.codebook_bytes, MODELS: row.model_bytes, RECORDS: row.table_bytes}
    if row.kind and len(row.shape) < 2:
        return {BIASES: row.payload_bytes, **around}
    in_one = row.positions.startswith(PositionMode.LEVELS.name.lower())
    return {(LEVELS if in_one else POSITIONS): row.positions_bytes, CODES: row.codes_bytes, RAW: row.raw_bytes, **around}
