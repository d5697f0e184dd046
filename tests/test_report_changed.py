import base64
import io

import numpy as np
import pytest
import report_run
from PIL import Image
from report_run import check_self_contained, without_plots  # noqa: F401

from compress.data.digits import CONVENTION, held_out_images
from compress.errors import InputError
from compress.export.load import build
from compress.ledger import ledger
from compress.measure.fidelity import logits
from compress.recipe import Train
from compress.report.changed import changed_pictures, data_url
from compress.report.make import page_of_run
from compress.report.run import read_run


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Steps so wide that some predictions change; measured on the digits alone."""
    folder = report_run.write_run(tmp_path_factory.mktemp("runs") / "tiny", step=1.5)
    ledger.write(folder / "ledger.csv", ledger.read(folder / "ledger.csv")[:-1])
    return folder


def test_changed_pictures(folder):
    run = read_run(folder)
    [found] = changed_pictures(run, 5)
    pixels, labels = held_out_images()
    now = logits(build(run.file.artifact, "tiny.sqz"), pixels, CONVENTION).argmax(1)
    agreement = 1 - found.n_changed / 360
    assert found.n == 360 and 0.05 < agreement < 0.98  # or this tests nothing
    assert found.n_lost + found.n_won <= found.n_changed
    right_now, right_before = int((now == labels).sum()), int((now == labels).sum()) + found.n_lost - found.n_won
    assert 0 <= right_before <= 360 and right_now == right_before - found.n_lost + found.n_won
    assert len(found.shown) == 5
    sureness = [picture.before_probability for picture in found.shown]
    assert sureness == sorted(sureness, reverse=True)
    for picture in found.shown:
        assert picture.before != picture.after and picture.is_small
        assert picture.outcome == ("lost" if picture.label == picture.before else "won" if picture.label == picture.after else "")
        shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(picture.data_url.partition(",")[2]))))
        places = [i for i in range(360) if np.array_equal(pixels[i, ..., 0].numpy(), shown)]
        assert any(f"digit {labels[i]}" == picture.label and f"digit {now[i]}" == picture.after for i in places)


@pytest.mark.usefixtures("without_plots")
def test_a_page_with_pictures_warns(folder):
    page = page_of_run(folder, None, n_images=3)
    html = check_self_contained(page.html)
    assert page.html.decode().partition("<h1>")[0].count("This page contains pictures: do not commit it.") == 1
    assert sum(value.startswith("data:image/png") for value in html.values("src")) == 3
    assert b"do not commit" not in page_of_run(folder, None).html


def test_another_set_is_refused(folder):
    run = read_run(folder)
    rows = [ledger.Row(**(vars(row) | {"test_set_sha256": "00" * 32})) for row in run.rows]
    with pytest.raises(InputError, match="not the pictures that tiny-0123abcd was measured on"):
        changed_pictures(type(run)(**(vars(run) | {"rows": rows})), 1)


def test_a_recipe_that_trains_is_read(folder):
    run = read_run(folder)
    trains = {"weights": "scratch", "train": Train(epochs=1, optimizer="adamw").model_dump(mode="json")}
    [found] = changed_pictures(type(run)(**(vars(run) | {"recipe": run.recipe | trains})), 1)
    assert found.n == 360


def test_a_recipe_of_another_version_is_refused(folder):
    run = read_run(folder)
    with pytest.raises(InputError, match=r"recipe\.json: flavour: "):
        changed_pictures(type(run)(**(vars(run) | {"recipe": run.recipe | {"flavour": 1}})), 1)


@pytest.mark.parametrize(
    ("shape", "kind"), [((8, 8, 1), "png"), ((63, 63, 3), "png"), ((64, 64, 3), "jpeg"), ((70, 64, 1), "jpeg")]
)
def test_pictures_as_urls(shape, kind):
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    url = data_url(pixels)
    head, _, data = url.partition(",")
    assert head == f"data:image/{kind};base64" and url == data_url(pixels)
    image = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))
    assert image.shape[:2] == shape[:2] and (kind == "jpeg" or np.array_equal(image.reshape(shape), pixels))
