import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from compress.report.intervals import wilson


@given(st.integers(1, 2000), st.data())
def test_wilson_is_scipys(n, data):
    right = data.draw(st.integers(0, n))
    expected = binomtest(right, n).proportion_ci(0.95, "wilson")
    assert wilson(right / n, n) == pytest.approx((expected.low, expected.high), abs=1e-6)


def test_known_interval():
    assert wilson(0.0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)  # not (0, 0)


@pytest.mark.parametrize(("share", "n"), [(0.5, 0), (1.1, 10), (float("nan"), 10)])
def test_what_is_no_share_is_refused(share, n):
    with pytest.raises(ValueError, match="a share of"):
        wilson(share, n)
