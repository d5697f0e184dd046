"""A .sqzd file: what makes one .sqz file of another (docs/DELTA.md), made. delta_apply.py applies it.

The block form copies what is the same and carries the rest; applying it takes no coder and little memory, whatever the sizes.
The symbol form codes the weights that have another index; it is smaller after a little tuning, and takes the encoder. `auto` is
the smaller of both.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from compress.artifact import block_delta, checksums, reader
from compress.artifact.compare import value_difference
from compress.artifact.delta_layout import BODY_OFFSET, CRC_SIZE, DeltaHeader, Form, pack_header, pack_instructions
from compress.atomic import write_atomically
from compress.errors import InputError
from compress.layer import Layer

FormName = Literal["auto", "block", "symbol"]


@dataclass(frozen=True)
class Delta:
    """A whole .sqzd file in memory, and what was found out while it was made."""

    data: bytes
    form: Form
    new_size: int
    block_size: int | None  # bytes of the whole .sqzd in that form; None where it was not made
    symbol_size: int | None
    n_compared: int  # values of NEW in tensors that both files have, in one shape; n_changed of them are others in the base
    n_changed: int
    no_symbol: str  # why it was not made, where `auto` would have

    @property
    def size_bytes(self) -> int:
        return len(self.data)

    @property
    def saves_bytes(self) -> bool:
        """Against sending NEW."""
        return self.size_bytes < self.new_size

    def to_json(self) -> dict[str, object]:
        """Everything but the bytes."""
        facts = {name: value for name, value in vars(self).items() if name != "data"}
        return {"size_bytes": self.size_bytes, "saves_bytes": self.saves_bytes, **facts, "form": self.form.name.lower()}


def make(old: str | os.PathLike[str], new: str | os.PathLike[str], *, form: FormName = "block") -> Delta:
    """The delta that makes the file `new` of the file `old`; both are decoded and checked whole.

    Raises ArtifactError for a file that is not accepted, InputError where `form` is symbol and cannot be made."""
    base, base_layers = _checked(old)
    target, target_layers = _checked(new)
    block = symbol = None
    no_symbol = ""
    if form != "symbol":
        parts = (reader.parse(data, reader.NO_LIMIT) for data in (base, target))
        block = _file(Form.BLOCK, pack_instructions(block_delta.instructions(*parts)), base, target)
    if form != "block":
        from compress.artifact import symbol_delta  # with numba

        try:
            symbol = _file(Form.SYMBOL, symbol_delta.make(base, target), base, target)
        except InputError as error:
            if form == "symbol":
                raise InputError(f"{new}: {error}") from error
            no_symbol = str(error)
    data = symbol if block is None or (symbol is not None and len(symbol) < len(block)) else block
    assert data is not None
    n_compared, n_changed = _changed(base_layers, target_layers)
    return Delta(
        data,
        Form.SYMBOL if data is symbol else Form.BLOCK,
        len(target),
        None if block is None else len(block),
        None if symbol is None else len(symbol),
        n_compared,
        n_changed,
        no_symbol,
    )


def write(path: str | os.PathLike[str], delta: Delta) -> None:
    """`path` holds either the whole delta or what it held before, at every moment."""
    try:
        write_atomically(Path(path), delta.data)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from error


def _checked(path: str | os.PathLike[str]) -> tuple[bytes, dict[str, Layer]]:
    with reader.named(path):
        data = reader.read_file(path)
    return data, reader.read_bytes(data, name=str(path)).layers


def _changed(base: Mapping[str, Layer], new: Mapping[str, Layer]) -> tuple[int, int]:
    """n_compared and n_changed of a Delta."""
    n_compared = n_changed = 0
    for name, layer in new.items():
        was = base.get(name)
        if was is None or was.shape != layer.shape:
            continue
        before, after = was.values(), layer.values()
        n_compared += after.size
        n_changed += after.size
        if before.dtype == after.dtype:
            n_changed -= value_difference(before, after).n_identical
    return n_compared, n_changed


def _file(form: Form, body: bytes, base: bytes, new: bytes) -> bytes:
    size = BODY_OFFSET + len(body) + CRC_SIZE
    header = DeltaHeader(form, size, len(base), len(new), checksums.sha256(base), checksums.sha256(new))
    return pack_header(header) + body + checksums.crc32c(body).to_bytes(CRC_SIZE, "little")
