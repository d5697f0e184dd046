import threading

import pytest

from compress.release.places.deadline import within


def test_what_comes_in_time():
    assert within(5, lambda: 1) == 1 and within(5, lambda: None) is None
    with pytest.raises(KeyError):
        within(5, lambda: {}[1])


@pytest.mark.parametrize("ends_well", [True, False])
def test_what_does_not(ends_well):
    """Its thread is told, when the function has ended after all, and with what."""
    go_on, told, results = threading.Event(), threading.Event(), []

    def function():
        go_on.wait()
        return 1 if ends_well else {}[1]

    def late(result):
        results.append(result)
        told.set()

    for seconds in (0, 0.01, -1):
        with pytest.raises(TimeoutError):
            within(seconds, function)
    with pytest.raises(TimeoutError):
        within(0.01, function, late=late)
    assert not results
    go_on.set()
    assert told.wait(5) and results == [1 if ends_well else None]
    assert within(5, function, late=late) == 1 if ends_well else True
    assert len(results) == 1, "in time is not late"
