"""What `squeeze-compress export` shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from compress.display.console import console_for

if TYPE_CHECKING:
    from compress.export.c import CProject
    from compress.export.onnx import OnnxFile
    from compress.export.web import WebPage


def onnx(made: OnnxFile) -> None:
    shape = ", ".join(map(str, made.shape))
    _print(
        f"{made.path}: {made.size_bytes:,} bytes; {made.source}: {made.source_bytes:,} bytes: "
        "ONNX holds every weight as float32, zeros too",
        f"opset {made.opset}; image (N, {shape}) -> logits (N, {made.n_classes}); metadata_props say what an image must be",
        f"onnxruntime {made.onnxruntime} gives PyTorch's logits for {made.n_checked} images of noise: largest difference "
        f"{made.largest_difference:.2g}, allowed {made.allowed:.2g}",
    )


def c(made: CProject) -> None:
    _print(
        f"{made.path}: a C project for {made.target}: make -C {made.path} run",
        f"the file {made.model_bytes:,} bytes; RAM for activations of {made.activations} bits, and to decode weights as they are "
        f"needed, at most {made.memory_bytes:,} bytes",
    )
    if made.calibrated_on:
        _print(f"activations calibrated on {made.calibrated_on}")
    if made.flash is not None and made.ram is not None:
        _print(
            f"memory.ld has {made.flash:,} bytes of flash and {made.ram:,} of RAM; the linker says by how much they are too few"
        )
    _print(f"the example classifies {made.picture}")


def web(made: WebPage) -> None:
    parts = ", ".join(f"{name} {size:,}" for name, size in made.sizes.items())
    _print(
        f"{made.path}: {made.total_bytes:,} bytes to fetch: {parts}",
        f"to see it: python -m http.server --bind 127.0.0.1 --directory {made.path} 8000, then http://127.0.0.1:8000",
    )


def _print(*lines: str) -> None:
    for line in lines:
        console_for().print(line, markup=False, soft_wrap=True)
