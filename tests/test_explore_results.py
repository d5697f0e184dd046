"""Results: the table, and files that are read again."""

import csv
import io
from dataclasses import replace

from explore_points import points_of

from compress.explore import cost, inputs, results


def result(index, size_bytes, top1, **changes):
    about = {"index": index, "label": "", "fields": {}, "recipe_sha256": "", "parameters": 1, "fp32_bytes": 4, "macs": 1}
    return results.Result(**about | {"size_bytes": size_bytes, "top1": top1} | changes)


def test_the_table_has_a_column_a_field(tmp_path):
    points = points_of(tmp_path)
    [net, *_] = cost.nets_of(points, tmp_path)
    failed = results.of_failure(points[0], net, 'a "comma", here', 3.21)
    found = [failed, result(1, 10, 0.5, fields={"prune.density": {"*": 0.5}})]
    rows = list(csv.DictReader(io.StringIO(results.table(found))))
    assert rows[0]["model.squeeze_ratio"] == "0.125" and rows[0]["quantize.bits"] == "2" and rows[0]["prune.density"] == ""
    assert rows[0]["error"] == 'a "comma", here' and rows[0]["size_bytes"] == "" and rows[0]["seconds"] == "3.2"
    assert rows[0]["parameters"] == str(net.parameters) and rows[0]["recipe_sha256"] == points[0].recipe.digest()
    assert rows[1]["prune.density"] == '{"*": 0.5}' and rows[1]["top1"] == "0.5" and rows[1]["index"] == "1"


def test_a_result_is_read_again_by_its_recipe(tmp_path):
    first, second = points_of(tmp_path)[:2]
    found = replace(results.of_failure(first, None, "no", 1.0), inputs=inputs.digest(first.recipe))
    results.write(tmp_path, found)
    assert results.read(tmp_path, first) == found and results.read(tmp_path, second) is None
    moved = replace(first, index=7, fields={"seed": 0}, label="seed 0")  # the same recipe in a space that was changed
    again = results.read(tmp_path, moved)
    assert (again.index, again.label, again.fields, again.error) == (7, "seed 0", {"seed": 0}, "no")


def test_a_result_of_other_files_is_not_read(tmp_path, monkeypatch):
    """Which a variable names, or that were replaced since; the same files elsewhere are the same."""
    weights, one, two, moved = (tmp_path / name for name in ("net.pt", "one", "two", "moved"))
    weights.write_bytes(b"one")
    for folder, size in ((one, 5), (two, 6), (moved, 5)):
        (folder / "cat").mkdir(parents=True)
        (folder / "cat" / "a.png").write_bytes(b"0" * size)
    source = f"{{data: {{tune: 'folder:$PICTURES', test: 'folder:b'}}, train: null, weights: {weights}, classes: null}}"
    [point] = points_of(tmp_path, f"name: tiny\nrecipe: digits\npoints: [{source}]\n")
    monkeypatch.setenv("PICTURES", str(one))
    found = replace(results.of_failure(point, None, "no", 1.0), inputs=inputs.digest(point.recipe))
    results.write(tmp_path, found)
    assert results.read(tmp_path, point) == found
    for other in (two, tmp_path / "none"):
        monkeypatch.setenv("PICTURES", str(other))
        assert results.read(tmp_path, point) is None
    monkeypatch.setenv("PICTURES", str(moved))
    assert results.read(tmp_path, point) == found
    weights.write_bytes(b"two")
    assert results.read(tmp_path, point) is None


def test_a_damaged_result_is_none(tmp_path):
    point = points_of(tmp_path)[0]
    results.write(tmp_path, results.of_failure(point, None, "no", 1.0))
    [path] = tmp_path.glob("*.json")
    for damaged in (path.read_bytes()[:-5], b"[]", b'{"index": 1}'):
        path.write_bytes(damaged)
        assert results.read(tmp_path, point) is None
