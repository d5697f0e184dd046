import pytest

from compress.gate.changes import changes
from compress.gate.limits import ArtifactLimits


def told(old, new):
    as_limits = [{f"{name}.sqz": ArtifactLimits.model_validate(fields) for name, fields in each.items()} for each in (old, new)]
    return [str(change) for change in changes(*as_limits)]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ({"max_bytes": 5000}, {"max_bytes": 6000}, "max_bytes 5,000 -> 6,000 (LOOSER)"),
        ({"max_bytes": 5000}, {"max_bytes": 4000}, "max_bytes 5,000 -> 4,000 (tighter)"),
        ({"max_growth": 5}, {"max_growth": 4}, "max_growth 5 -> 4 (tighter)"),
        ({"max_growth": "0.5%"}, {"max_growth": "1%"}, "max_growth 0.5% -> 1% (LOOSER)"),
        ({"max_growth": "0.5%"}, {"max_growth": 5}, "max_growth 0.5% -> 5 (LOOSER)"),
        ({"min_top1": 0.5}, {"min_top1": 0.4}, "min_top1 0.5 -> 0.4 (LOOSER)"),
        ({"min_top1": 0.5}, {"min_top1": 0.6}, "min_top1 0.5 -> 0.6 (tighter)"),
        ({"min_top1": {"a": 0.5}}, {"min_top1": {"a": 0.4}}, "min_top1.a 0.5 -> 0.4 (LOOSER)"),
        ({"max_drop": 0.5}, {"max_drop": 0.4}, "max_drop 0.5 -> 0.4 (tighter)"),
        ({"max_seconds": 5}, {"max_seconds": 7.5}, "max_seconds 5.0 -> 7.5 (LOOSER)"),
    ],
)
def test_a_field(old, new, expected):
    assert told({"net": old}, {"net": new}) == [f"net.sqz: {expected}"]


def test_what_comes_and_goes():
    both = {"max_bytes": 10, "min_top1": {"a": 0.5, "b": 0.5}}
    assert told({"net": both}, {"net": both}) == []
    assert told({"net": both}, {"net": {"max_bytes": 10, "min_top1": {"a": 0.5}}}) == ["net.sqz: min_top1.b 0.5 -> none (LOOSER)"]
    assert told({"net": {"max_bytes": 10}, "gone": {"max_bytes": 10}}, {"net": {"max_bytes": 10}, "new": {"max_drop": 1}}) == [
        "gone.sqz: max_bytes 10 -> none (LOOSER)",
        "new.sqz: max_drop none -> 1.0 (tighter)",
    ]
    assert told({"net": {"min_top1": 0.5, "max_bytes": 1}}, {"net": {"min_top1": {"a": 0.5}, "max_bytes": 1}}) == [
        "net.sqz: min_top1 0.5 -> none (LOOSER)",
        "net.sqz: min_top1.a none -> 0.5 (tighter)",
    ]
