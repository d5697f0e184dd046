import platform

import numpy as np
import psutil
import torch

from compress.measure import cost


def test_peak_memory_is_in_bytes():
    resident = psutil.Process().memory_info().rss
    assert 0.5 * resident < cost.peak_memory_bytes() < 100 * resident


def test_peak_memory_never_falls():
    before = cost.peak_memory_bytes()
    held = np.ones(before // 8 + (8 << 20) // 8)  # as much as was ever resident, and 8 MiB
    during = cost.peak_memory_bytes()
    del held
    assert during > before and cost.peak_memory_bytes() >= during


def test_versions_name_all_that_a_result_depends_on():
    versions = dict(part.split(" ", 1) for part in cost.versions().split("; "))
    assert list(versions) == ["squeeze-compress", "torch", "numpy", "numba", "python"]
    assert versions["numpy"] == np.__version__ and versions["python"] == platform.python_version()
    assert torch.__version__.startswith(versions["torch"].split("+")[0])
