import os

import pytest

from compress.cores import n_cores


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system binds no process to cores")
def test_cores_that_the_process_is_not_bound_to_are_not_counted():
    before = os.sched_getaffinity(0)
    assert n_cores() == len(before)
    os.sched_setaffinity(0, {min(before)})
    try:
        assert n_cores() == 1
    finally:
        os.sched_setaffinity(0, before)


@pytest.mark.parametrize(("of_machine", "expected"), [(6, 6), (None, 1)])
def test_where_the_system_does_not_tell_all_of_the_machine_are_counted(monkeypatch, of_machine, expected):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: of_machine)
    assert n_cores() == expected
