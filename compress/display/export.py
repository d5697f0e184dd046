"""What `squeeze-compress export` shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from compress.display.console import console_for

if TYPE_CHECKING:
    from compress.export.onnx import OnnxFile


def onnx(made: OnnxFile) -> None:
    shape = ", ".join(map(str, made.shape))
    for line in (
        f"{made.path}: {made.size_bytes:,} bytes; {made.source}: {made.source_bytes:,} bytes: "
        "ONNX holds every weight as float32, zeros too",
        f"opset {made.opset}; image (N, {shape}) -> logits (N, {made.n_classes}); metadata_props say what an image must be",
        f"onnxruntime {made.onnxruntime} gives PyTorch's logits for {made.n_checked} images of noise: largest difference "
        f"{made.largest_difference:.2g}, allowed {made.allowed:.2g}",
    ):
        console_for().print(line, markup=False, soft_wrap=True)
