import platform

import numpy as np
import torch

from compress.measure import cost


def test_peak_memory_is_in_bytes():
    held = np.ones((64 << 20) // 8)  # 64 MiB resident: kibibytes would read far under it, bytes taken for kibibytes far over
    assert held.nbytes < cost.peak_memory_bytes() < 1000 * held.nbytes


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
