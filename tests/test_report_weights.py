import numpy as np
import pytest

from compress.layer import SharedLayer
from compress.report.plot_weights import densities, histogram, kernels, tiles, values_of
from compress.report.svg import inline


def test_values_and_how_often():
    layer = SharedLayer("w", (5,), np.array([-1, 0, 0, 2, 2], np.int32), step=np.float32(0.5))
    values, counts = values_of(layer)
    assert values.tolist() == [-0.5, 0.0, 1.0] and counts.tolist() == [1, 2, 2]


def test_densities_are_as_high_as_a_histogram_whose_bins_are_the_cells():
    values, counts = np.array([-1.0, 0.0, 1.0, 3.0]), np.array([1, 2, 3, 4])
    assert densities(values, counts, 10) == pytest.approx([0.1, 0.2, 0.2, 0.2])
    inner = np.histogram([0.0] * 2 + [1.0] * 3 + [-1.0] + [3.0] * 4, bins=[-1.5, -0.5, 0.5, 2.0, 4.0], density=True)[0]
    assert densities(values, counts, 10) == pytest.approx(inner)


def test_tiles():
    found = tiles(np.stack([np.zeros((2, 2, 3)), np.ones((2, 2, 3))]))
    assert found.shape == (8, 8 + 3 + 8, 4)
    assert found[:, :8].tolist() == [[[0, 0, 0, 255]] * 8] * 8 and found[:, 11:].tolist() == [[[255] * 4] * 8] * 8
    assert not found[:, 8:11].any()  # transparent between
    assert tiles(np.zeros((13, 3, 3, 3))).shape == (12 + 3 + 12, 12 * 12 + 11 * 3, 4)  # twelve in a row


@pytest.mark.parametrize("shape", [(4, 3, 3, 3), (4, 1, 3, 3), (4, 5, 3, 3), (1, 3, 1, 1)])
@pytest.mark.parametrize("channels", ["RGB", "BGR", "L", "None"])
def test_kernels_of_any_shape(shape, channels):
    weights = np.random.default_rng(0).normal(size=shape)
    for plot in kernels("first", weights, weights * 0, channels):
        assert "<image" in inline(plot)


def test_zero_is_grey_and_bgr_is_turned_round():
    weights = np.zeros((1, 3, 1, 1))
    weights[0, 0] = 1  # the first channel
    blue, red = (kernels("w", weights, weights, channels)[0].draw.args[0] for channels in ("BGR", "RGB"))
    assert blue[0, 0].tolist() == [128, 128, 255, 255] and red[0, 0].tolist() == [255, 128, 128, 255]


@pytest.mark.parametrize("indices", [[0, 0, 0, 0], [1, 1, 1, 1], [0, 1, -1, 5], [3, 0, 0, 0]])
@pytest.mark.parametrize("before", [[0.0] * 4, [1.0, 2.0, -3.0, 0.5]])
def test_histograms_of_poor_layers(indices, before):
    layer = SharedLayer("w", (4,), np.array(indices, np.int32), step=np.float32(0.25))
    assert "nan" not in inline(histogram(0, "w", np.array(before, np.float32), layer))
