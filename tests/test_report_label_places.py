import pytest
from hypothesis import given
from hypothesis import strategies as st

from compress.report.label_places import GAP, Box, Label, place_labels

FRAME = Box(0, 0, 400, 250)


@given(st.lists(st.tuples(st.text("abc", min_size=1, max_size=20), st.integers(0, 400), st.integers(0, 250)), max_size=30))
def test_no_label_lies_on_another_on_a_point_or_outside(found):
    labels = [Label(*each) for each in found]
    taken = [Box(label.x - 3, label.y - 3, label.x + 3, label.y + 3) for label in labels]
    placed = place_labels(labels, taken, [], FRAME, 8)
    assert len(placed) == len(labels)
    boxes = [box for box in placed if box is not None]
    for i, box in enumerate(boxes):
        assert FRAME.holds(box)
        assert not any(box.overlaps(other) for other in [*boxes[:i], *taken])


def test_a_label_stands_right_of_its_point_and_at_the_edge_left_of_it():
    alone, at_the_edge = place_labels([Label("name", 100, 100), Label("name", 399, 50)], [], [], FRAME, 8)
    assert alone.left == 100 + GAP and (alone.bottom + alone.top) / 2 == 100
    assert at_the_edge.right == pytest.approx(399 - GAP)


def test_where_there_is_no_room_there_is_no_label():
    assert place_labels([Label("x" * 100, 100, 100)], [], [], FRAME, 8) == [None]
    assert place_labels([Label("name", 100, 100)], [FRAME], [], FRAME, 8) == [None]


def test_a_label_lies_on_a_bar_only_where_it_must():
    bar = Box(110, 0, 112, 250)
    [beside] = place_labels([Label("name", 100, 100)], [], [bar], FRAME, 8)
    assert not beside.overlaps(bar)
    [upon] = place_labels([Label("name", 100, 100)], [], [FRAME], FRAME, 8)
    assert upon.left == 100 + GAP
