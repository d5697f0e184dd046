"""A .sqz file as a C project that builds and runs as it is: the file as an array, the runtime, an example, a Makefile."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from pydantic import ValidationError

from compress.artifact.reader import parse, read_bytes, read_file
from compress.atomic import write_atomically
from compress.convention import InputConvention
from compress.data import bundled
from compress.data.preprocess import centre_crop, open_image
from compress.data.sets import tuning_set
from compress.errors import InputError
from compress.export import runtime
from compress.export.load import from_artifact
from compress.export.ranges import activation_ranges
from compress.models.squeezenet import Fire, SqueezeNet
from compress.recipe import Source

TARGETS = ("host", "cortex-m7")
SMALL = {"host": False, "cortex-m7": True}
BATCHES, BATCH_SIZE, MIN_AREA, SEED = 16, 8, 0.3, 0  # of the crops that activations of 8 bits are calibrated on
EXAMPLE = "coffee.png"  # a bundled photograph that nothing is tuned on
STACK_SIZE = 8192
LINE = 20  # bytes of an array on a line
KEPT = "model.h"  # a folder that has it was written here before


@dataclass(frozen=True)
class CProject:
    """What was written. memory_bytes: RAM for activations and work. picture: what the example classifies."""

    path: Path
    target: str
    activations: int
    model_bytes: int
    memory_bytes: int
    flash: int | None
    ram: int | None
    calibrated_on: str
    picture: str
    files: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"path": str(self.path)}


@dataclass(frozen=True)
class Device:
    """flash, ram: bytes that there are."""

    flash: int = 2 << 20
    ram: int = 1 << 20


def to_c(
    path: Path,
    output: Path,
    *,
    target: str = "host",
    activations: int = 32,
    calibrate: str = "bundled",
    picture: Path | None = None,
    device: Device | None = None,
) -> CProject:
    """Write the project into the folder `output`, which is new, empty, or one that was written here before.

    target: one of TARGETS. activations: bits of one, 32 or 8. calibrate: where the pictures come from whose largest activations 8
    bits must hold: `bundled` or `folder:PATH`. picture: what the example classifies. device: of a target without an
    operating system. Raises InputError for a net that the runtime does not run, and for a folder that holds something else.
    """
    data = read_file(path)
    artifact = read_bytes(data)
    loaded = from_artifact(artifact, str(path))
    net = loaded.net
    if not isinstance(net, SqueezeNet):
        raise InputError(f"{path}: metadata.architecture: the C runtime runs SqueezeNet, this is {type(net).__name__}")
    if any(fire.bypass is not None and list(fire.bypass.parameters()) for fire in _fires(net)) and activations == 8:
        raise InputError(f"{path}: metadata.architecture: 1x1 bypasses may be negative, and have no activations of 8 bits")
    _check_folder(output)
    stored = InputConvention.from_metadata(artifact.metadata.get("input", {}), str(path))
    ranges, calibrated_on = _ranges(net, loaded.preprocess.convention, calibrate) if activations == 8 else ([], "")
    memory = runtime.streamed_memory(
        net.spec, stored.size, parse(data, len(data) << 8).records, value_bytes=activations // 8, small=SMALL[target]
    )
    pixels, shown = _picture(picture, stored)
    names = loaded.class_names or tuple(map(str, range(net.spec.classes)))
    settings = {
        "MODEL_SIZE": len(data),
        "MODEL_SIDE": stored.size,
        "MODEL_CHANNELS": len(stored.channels),
        "MODEL_CLASSES": len(names),
        "MODEL_MEMORY": memory,
        "MODEL_MODE": "SQZ_STREAMED_8" if activations == 8 else "SQZ_STREAMED",
    }
    made = {
        "model.h": _header(settings, artifact.sha256, len(ranges)),
        "model.c": _source(data, ranges, pixels, names),
        **{source.name: source.read_bytes() for source in runtime.sources()},
        **{template.name: template.read_bytes() for template in sorted((runtime.folder() / "export" / target).iterdir())},
    }
    if target != "host":
        device = device or Device()
        made["memory.ld"] = _memory_script(device)
    output.mkdir(parents=True, exist_ok=True)
    for name, content in made.items():
        write_atomically(output / name, content)
    shutil.copyfile(path, output / "model.sqz")
    flash, ram = (device.flash, device.ram) if device is not None and target != "host" else (None, None)
    files = (*sorted(made), "model.sqz")
    return CProject(output, target, activations, len(data), memory, flash, ram, calibrated_on, shown, files)


def _fires(net: SqueezeNet) -> list[Fire]:
    return [module for module in net.features if isinstance(module, Fire)]


def _check_folder(output: Path) -> None:
    if output.exists() and not output.is_dir():
        raise InputError(f"{output}: is a file; a C project is a folder")
    if output.is_dir() and any(output.iterdir()) and not (output / KEPT).is_file():
        raise InputError(f"{output}: holds other files; name a new folder, or an empty one")


def _ranges(net: SqueezeNet, convention: InputConvention, calibrate: str) -> tuple[list[float], str]:
    try:
        found = tuning_set([Source(source=calibrate)], convention.size, MIN_AREA, convention)
    except (InputError, ValidationError) as error:
        reason = str(error) if isinstance(error, InputError) else f"data.tune: {calibrate!r} must be bundled or folder:PATH"
        raise InputError(reason.replace("data.tune", "calibrate", 1)) from error
    batches = itertools.islice(found.batches(BATCH_SIZE, SEED), BATCHES)
    return activation_ranges(net, batches), found.description


def _picture(picture: Path | None, convention: InputConvention) -> tuple[npt.NDArray[np.uint8], str]:
    """(h, w, c), as the net takes it."""
    mode = "L" if convention.channels == "L" else "RGB"
    place = picture or bundled.paths({EXAMPLE: bundled.TEST[EXAMPLE]})[0]
    image: Image.Image = open_image(place, mode)
    return np.asarray(centre_crop(image, resize=convention.resize, size=convention.size), np.uint8), place.name


def _header(settings: dict[str, Any], sha256: str, n_ranges: int) -> bytes:
    defines = "".join(f"#define {name} {value}\n" for name, value in settings.items())
    return (
        f"/* Made by squeeze-compress of the .sqz file {sha256}. MODEL_MEMORY: bytes that sqz_net_run needs. */\n\n"
        "#ifndef MODEL_H\n#define MODEL_H\n\n#include <stdint.h>\n\n"
        f"{defines}\n"
        "extern const uint8_t model[MODEL_SIZE];\n"
        f"extern const float model_ranges[{max(1, n_ranges)}]; /* largest activations, for 8 bits */\n"
        "extern const uint8_t model_picture[MODEL_SIDE * MODEL_SIDE * MODEL_CHANNELS]; /* an example */\n"
        "extern const char *const model_classes[MODEL_CLASSES];\n\n#endif\n"
    ).encode()


def _source(data: bytes, ranges: Sequence[float], pixels: npt.NDArray[np.uint8], names: Sequence[str]) -> bytes:
    values = ", ".join(f"{np.float32(value)!s}f" for value in ranges) or "0.0f"
    quoted = ",\n".join(f"    {_quoted(name)}" for name in names)
    return (
        '#include "model.h"\n\n'
        f"const uint8_t model[MODEL_SIZE] = {{\n{_bytes(data)}}};\n\n"
        f"const float model_ranges[{max(1, len(ranges))}] = {{{values}}};\n\n"
        f"const uint8_t model_picture[MODEL_SIDE * MODEL_SIDE * MODEL_CHANNELS] = {{\n{_bytes(pixels.tobytes())}}};\n\n"
        f"const char *const model_classes[MODEL_CLASSES] = {{\n{quoted}}};\n"
    ).encode()


def _bytes(data: bytes) -> str:
    lines: Iterable[bytes] = (data[i : i + LINE] for i in range(0, len(data), LINE))
    return "".join(f"    {', '.join(map(str, line))},\n" for line in lines)


def _quoted(name: str) -> str:
    """A C string of printable ASCII and octal escapes."""
    plain = "".join(chr(b) if 32 <= b < 127 and chr(b) not in '"\\?' else f"\\{b:03o}" for b in name.encode())
    return f'"{plain}"'


def _memory_script(device: Device) -> bytes:
    """Where QEMU's mps2-an500 has its memory; a product's linker script has its part's own places."""
    return (
        "/* The part's memory. The linker says by how much a net is too large for it. */\n"
        "MEMORY\n{\n"
        f"  FLASH (rx) : ORIGIN = 0x00000000, LENGTH = {device.flash}\n"
        f"  RAM (rwx)  : ORIGIN = 0x20000000, LENGTH = {device.ram}\n"
        "}\n"
        f"STACK_SIZE = {STACK_SIZE};\n"
    ).encode()
