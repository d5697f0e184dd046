import pytest
from hypothesis import given
from hypothesis import strategies as st

from compress.report.label_places import GAP, Box, Label, Placed, place_labels

FRAME = Box(0, 0, 400, 250)
places = st.lists(st.tuples(st.text("abc", min_size=1, max_size=20), st.integers(0, 400), st.integers(0, 250)), max_size=30)


def labels_of(found):
    return [Label(str(number), *each) for number, each in enumerate(found, start=1)]


@given(places)
def test_no_label_lies_on_another_on_a_point_or_outside(found):
    labels = labels_of(found)
    taken = [Box(label.x - 3, label.y - 3, label.x + 3, label.y + 3) for label in labels]
    placed = place_labels(labels, taken, [], FRAME, 8)
    boxes = [each.box for each in placed]
    for i, box in enumerate(boxes):
        assert FRAME.holds(box)
        assert not any(box.overlaps(other) for other in [*boxes[:i], *taken])


@given(places, st.lists(st.tuples(st.integers(0, 400), st.integers(0, 250)), max_size=5))
def test_no_point_is_anonymous_however_full_the_plot_is(found, corners):
    labels = labels_of(found)
    taken = [Box(x - 200, y - 200, x + 200, y + 200) for x, y in corners]
    placed = place_labels(labels, taken, [], FRAME, 8)
    assert [each.text.partition(" ")[0] for each in placed] == [label.number for label in labels]
    assert all(FRAME.holds(each.box) for each in placed)


def test_a_label_stands_right_of_its_point_and_at_the_edge_left_of_it():
    labels = [Label("1", "name", 100, 100), Label("2", "name", 399, 50)]
    alone, at_the_edge = place_labels(labels, [], [], FRAME, 8)
    assert alone.text == "1 name" and alone.box.left == 100 + GAP and (alone.box.bottom + alone.box.top) / 2 == 100
    assert at_the_edge.text == "2 name" and at_the_edge.box.right == pytest.approx(399 - GAP)


def test_where_a_name_has_no_room_there_is_its_number():
    [placed] = place_labels([Label("7", "x" * 100, 100, 100)], [], [], FRAME, 8)
    assert placed.text == "7" and placed.box.left == 100 + GAP


def test_a_number_goes_as_far_as_it_must():
    crowd = Box(60, 60, 140, 140)
    [placed] = place_labels([Label("7", "x" * 100, 100, 100)], [crowd], [], FRAME, 8)
    assert not placed.box.overlaps(crowd) and 40 <= placed.box.distance(100, 100) < 50


def test_where_all_is_taken_a_number_lies_beside_its_point():
    height, width = 10, 0.62 * 8
    [placed] = place_labels([Label("7", "name", 400, 250)], [FRAME], [], FRAME, 8)
    assert placed == Placed("7", Box(400 - width, 250 - height, 400, 250))


def test_a_label_lies_on_a_bar_only_where_it_must():
    bar = Box(110, 0, 112, 250)
    [beside] = place_labels([Label("1", "name", 100, 100)], [], [bar], FRAME, 8)
    assert not beside.box.overlaps(bar)
    [upon] = place_labels([Label("1", "name", 100, 100)], [], [FRAME], FRAME, 8)
    assert upon.text == "1 name" and upon.box.left == 100 + GAP


@pytest.mark.parametrize(("x", "y", "distance"), [(5, 5, 0), (0, 0, 0), (13, 5, 3), (5, -2, 2), (13, 14, 5)])
def test_distance(x, y, distance):
    assert Box(0, 0, 10, 10).distance(x, y) == distance
