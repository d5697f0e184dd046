import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compress.codecs.scatter import scatter


@given(st.lists(st.booleans(), max_size=50))
def test_is_indexing_by_the_mask(bits):
    mask = np.array(bits, bool)
    codes = np.arange(1, mask.sum() + 1, dtype=np.int32)
    expected, out = np.zeros(len(mask), np.int32), np.full(len(mask), 7, np.int32)
    expected[mask] = codes
    scatter(mask, codes, out)
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("n_codes", [0, 1, 3])
def test_another_count_of_codes_is_refused(n_codes):
    with pytest.raises(ValueError, match=f"{n_codes} codes for 2 places"):
        scatter(np.array([True, False, True]), np.ones(n_codes, np.int32), np.zeros(3, np.int32))
