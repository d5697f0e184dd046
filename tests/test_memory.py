import ctypes
import sys
from types import SimpleNamespace

import pytest

from compress.models import memory

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3


def keep(monkeypatch, libc):
    """keep_freed_memory with another C library, asked as if for the first time."""
    monkeypatch.setattr(ctypes, "CDLL", lambda name: libc)
    return memory.keep_freed_memory.__wrapped__()


def glibc(calls, refused=()):
    return SimpleNamespace(mallopt=lambda *call: calls.append(call) or int(call not in refused))


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's switch")
@pytest.mark.parametrize("largest", [1 << 30, 1 << 25])
def test_both_thresholds_are_raised_as_far_as_this_glibc_allows(monkeypatch, largest):
    calls = []
    refused = {(M_MMAP_THRESHOLD, 1 << 30)} if largest < 1 << 30 else set()
    assert keep(monkeypatch, glibc(calls, refused))
    assert calls[-2:] == [(M_MMAP_THRESHOLD, largest), (M_TRIM_THRESHOLD, 1 << 30)]


def test_without_glibc(monkeypatch):
    assert not keep(monkeypatch, SimpleNamespace())  # musl
    calls = []
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not keep(monkeypatch, glibc(calls)) and calls == []


def test_once_a_process(monkeypatch):
    calls = []
    monkeypatch.setattr(ctypes, "CDLL", lambda name: glibc(calls))
    memory.keep_freed_memory.cache_clear()
    try:
        assert memory.keep_freed_memory() == memory.keep_freed_memory() == (sys.platform == "linux")
        assert len(calls) in (0, 2)
    finally:
        memory.keep_freed_memory.cache_clear()
