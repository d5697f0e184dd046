"""What holds for every coder, and the table of them."""

import os
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest

from compress import codecs
from compress.codecs.jit import jit
from compress.errors import CorruptArtifact, CorruptStream


@pytest.mark.parametrize("alphabet", [1, 2, 16, 256, 257, 4096])
@pytest.mark.parametrize("name", codecs.CODERS)
def test_round_trip_through_the_packed_model(name, alphabet):
    coder = codecs.coder(name)
    symbols = np.minimum(np.random.default_rng(alphabet).geometric(0.05, 5000) - 1, alphabet - 1).astype(np.uint32)
    model = coder.build_model(np.bincount(symbols, minlength=alphabet))
    again, end = coder.unpack_model(b"??" + coder.pack_model(model) + b"??", 2, alphabet)
    assert end == 2 + len(coder.pack_model(model))
    data = coder.encode(symbols, model)
    decoded = coder.decode(data, again, len(symbols))
    np.testing.assert_array_equal(decoded, symbols)
    assert decoded.dtype == (np.uint8 if alphabet <= 256 else np.uint16)
    assert coder.encode(symbols.astype(np.uint16)[::-1][::-1], again) == data


@pytest.mark.parametrize("name", codecs.CODERS)
def test_no_symbols_are_no_bytes(name):
    coder = codecs.coder(name)
    model = coder.build_model(np.zeros(10, np.int64))
    again, _ = coder.unpack_model(coder.pack_model(model), 0, 10)
    np.testing.assert_array_equal(again, model)
    assert coder.encode(np.zeros(0, np.uint8), model) == b""
    assert coder.decode(b"", model, 0).tolist() == []
    with pytest.raises(CorruptStream, match=name):
        coder.decode(b"\0", model, 0)


@pytest.mark.parametrize("name", codecs.CODERS)
def test_what_is_not_symbols_is_refused(name):
    coder = codecs.coder(name)
    model = coder.build_model(np.ones(10, np.int64))
    with pytest.raises(ValueError, match="span \\[3, 10\\], the alphabet is \\[0, 9\\]"):
        coder.encode(np.array([3, 10]), model)
    with pytest.raises(ValueError, match="1-D array of integers, got float64"):
        coder.encode(np.zeros(3), model)
    with pytest.raises(ValueError, match="1 to 65536 symbols, got 0"):
        coder.build_model(np.zeros(0, np.int64))


def test_table_of_coders():
    assert codecs.CODERS == {"stored": 0, "huffman": 1, "range": 2, "zstd": 3}  # stored in files: never to change
    assert list(codecs.MODULES) == list(codecs.CODERS)
    assert set(codecs.PORTABLE) == set(codecs.CODERS) - {"zstd"}
    for name, coder_id in codecs.CODERS.items():
        assert codecs.coder_by_id(coder_id) is codecs.coder(name)
    with pytest.raises(ValueError, match="coder must be one of stored, huffman, range, zstd, got 'lzma'"):
        codecs.coder("lzma")
    with pytest.raises(CorruptArtifact, match="coder id is 4, must be one of 0, 1, 2, 3"):
        codecs.coder_by_id(4)


def test_stored_files_are_read_without_numba():
    script = (
        "import sys; from compress import codecs; codecs.coder('stored'), codecs.coder('zstd'); sys.exit('numba' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_kernels_are_the_same_without_a_compiler():
    """As a fuzzer runs them, and whoever has numba's NUMBA_DISABLE_JIT set: integers of numpy wrap where Python's do not."""
    script = """
import json
from make_golden import GOLDEN, digests
from compress.artifact import reader
for name in ("coder_huffman", "coder_range", "sparse_raw_range"):
    assert digests(reader.read(GOLDEN / f"{name}.sqz")) == json.loads((GOLDEN / f"{name}.json").read_text())["tensors"], name
"""
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(Path(__file__).parent)}
    subprocess.run([sys.executable, "-W", "error", "-c", script], check=True, env=environment)


@pytest.mark.parametrize("name", codecs.CODERS)
def test_a_decoder_of_many_streams_is_decode(name):
    coder = codecs.coder(name)
    model = coder.build_model(np.array([5, 0, 3, 1]))
    decoder = coder.decoder(model)
    for symbols in ([0, 2, 3], [], [3], [0] * 100):
        np.testing.assert_array_equal(decoder(coder.encode(np.array(symbols, np.uint8), model), len(symbols)), symbols)


def add_one(value):
    return value + 1


def failing_cache(error):
    """numba.njit where a cache cannot be kept."""

    def njit(signature, **options):
        if options.pop("cache", False):
            raise error
        return real_njit(signature, **options)

    real_njit = numba.njit
    return njit


@pytest.mark.parametrize(
    "error", [RuntimeError("cannot cache function 'add_one': no locator available"), OSError(28, "No space left")]
)
def test_kernel_compiles_without_a_cache(monkeypatch, error):
    monkeypatch.setattr(numba, "njit", failing_cache(error))
    assert jit("int64(int64)")(add_one)(41) == 42


def test_other_errors_of_numba_pass(monkeypatch):
    monkeypatch.setattr(numba, "njit", failing_cache(RuntimeError("something else")))
    with pytest.raises(RuntimeError, match="something else"):
        jit("int64(int64)")(add_one)
