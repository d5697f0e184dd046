"""native/ as a shared library, called through ctypes."""

from __future__ import annotations

import ctypes
import functools
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np

NATIVE = Path(__file__).parent.parent / "native"
COMPILERS = [name for name in ("gcc", "clang") if shutil.which(name)]
WARNINGS = ["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Werror"]
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
RESIDENT, STREAMED, STREAMED_8, RESIDENT_8 = range(4)  # sqz_mode
OK, MEMORY = 0, 2  # sqz_status
CANARY = 0xA5
SIZE_OF_STRUCTS = 1 << 14  # room for an sqz_file, or an sqz_net


@functools.cache
def library(*options: str) -> ctypes.CDLL:
    """Of all sources, by the first compiler that there is."""
    folder = Path(tempfile.mkdtemp(prefix="sqz-"))
    sources = sorted(map(str, NATIVE.glob("sqz*.c")))
    target = folder / "libsqz.so"
    command = [COMPILERS[0], *WARNINGS, "-O2", "-shared", "-fPIC", *options, "-o", str(target), *sources, "-lm"]
    subprocess.run(command, check=True)
    made = ctypes.CDLL(str(target))
    for name in ("sqz_net_memory", "sqz_net_weights_size", "sqz_required_memory", "sqz_net_n_ranges", "sqz_crop_memory"):
        getattr(made, name).restype = ctypes.c_size_t
    made.sqz_status_name.restype = ctypes.c_char_p
    shutil.rmtree(folder)
    return made


def build(target: Path, main: list[Path], *options: str, compiler: str = "") -> Path:
    """A program of these sources and all of the library's."""
    sources = map(str, [*main, *sorted(NATIVE.glob("sqz*.c"))])
    command = [compiler or COMPILERS[0], *WARNINGS, "-Wconversion", "-O1", *options, "-o", str(target), *sources, "-lm"]
    subprocess.run(command, check=True)
    return target


class Image(ctypes.Structure):
    _fields_ = (("pixels", ctypes.c_void_p), ("values", ctypes.c_void_p))


class Net:
    """A file's net. Every buffer that the library gets is as large as it asks for, with bytes behind it that must stay."""

    def __init__(self, data: bytes, *options: str) -> None:
        self.lib = library(*options)
        self._data = np.frombuffer(data, np.uint8)
        self._file, self._net = (np.zeros(SIZE_OF_STRUCTS, np.uint8) for _ in range(2))
        self.check(self.lib.sqz_open(pointer(self._file), pointer(self._data), ctypes.c_size_t(len(data)), ctypes.c_uint64(0)))
        self.check(self.lib.sqz_net_open(pointer(self._net), pointer(self._file)))
        self._weights: np.ndarray | None = None
        self._memory: dict[int, np.ndarray] = {}

    def check(self, status: int) -> None:
        if status != OK:
            raise ValueError(self.lib.sqz_status_name(status).decode())

    def memory(self, mode: int) -> int:
        return self.lib.sqz_net_memory(pointer(self._net), mode)

    @property
    def n_ranges(self) -> int:
        return self.lib.sqz_net_n_ranges(pointer(self._net))

    @property
    def weights(self) -> np.ndarray:
        if self._weights is None:
            size = self.lib.sqz_net_weights_size(pointer(self._net))
            work_size = self.lib.sqz_required_memory(pointer(self._file), None)
            weights, work = guarded(size), guarded(work_size)
            status = self.lib.sqz_net_load(
                pointer(self._net), pointer(weights), ctypes.c_size_t(size), pointer(work), ctypes.c_size_t(work_size)
            )
            self.check(status)
            untouched(weights, size)
            untouched(work, work_size)
            self._weights = weights
        return self._weights

    def run(
        self,
        n_classes: int,
        mode: int,
        *,
        pixels: np.ndarray | None = None,
        values: np.ndarray | None = None,
        ranges: np.ndarray | None = None,
        found: np.ndarray | None = None,
        less: int = 0,
    ) -> np.ndarray:
        """The logits. pixels: (h, w, c) uint8; or values: (c, h, w) float32. found: ranges to raise. less: bytes of memory that
        are missing."""
        size = self.memory(mode) - less
        if size not in self._memory:
            self._memory = {size: guarded(size)}
        memory, logits = self._memory[size], guarded(4 * n_classes)
        image = Image(pointer(pixels), pointer(values))
        weights = pointer(self.weights) if mode in (RESIDENT, RESIDENT_8) else None
        call = self.lib.sqz_net_run if found is None else self.lib.sqz_net_calibrate
        ranges_ = pointer(ranges if found is None else found)
        status = call(
            *(pointer(self._net), mode, weights, ranges_, ctypes.byref(image)),
            *(pointer(memory), ctypes.c_size_t(size), pointer(logits)),
        )
        untouched(memory, size)
        untouched(logits, 4 * n_classes)
        self.check(status)
        return logits[: 4 * n_classes].view(np.float32).copy()


def pointer(array: np.ndarray | None) -> ctypes.c_void_p | None:
    return None if array is None else array.ctypes.data_as(ctypes.c_void_p)


def guarded(size: int) -> np.ndarray:
    return np.full(size + 64, CANARY, np.uint8)


def untouched(buffer: np.ndarray, size: int) -> None:
    assert (buffer[size:] == CANARY).all(), "written past the end"
