"""The C runtime against PyTorch: every form of SqueezeNet, weights resident and streamed, activations of 32 and of 8 bits."""

import itertools

import numpy as np
import pytest
import torch
from native_lib import COMPILERS, RESIDENT, RESIDENT_8, STREAMED, STREAMED_8, Net

from compress.artifact import writer
from compress.export.ranges import activation_ranges
from compress.layer import RawTensor, SharedLayer
from compress.models.squeezenet import SqueezeNet
from compress.recipe import SqueezeNetSpec

pytestmark = pytest.mark.skipif(not COMPILERS, reason="no C compiler is installed: gcc, clang")

SMALL = {"classes": 7, "base_e": 8, "incr_e": 6, "squeeze_ratio": 0.5, "conv1_channels": 9}
NETS = {
    "1.1": {"version": "1.1"},
    "1.0": {"version": "1.0"},
    "padded": {"version": "1.0", "conv10_padding": 1},
    "logits of any sign": {"conv10_relu": False, "conv10_padding": 1},
    "simple bypass": {"bypass": "simple", "version": "1.0"},
    "complex bypass": {"bypass": "complex"},
    "few fires, no pool after conv1": {"n_fires": 3, "pool_after": (1, 3), "pct3x3": 0.3},
    "grey": {"in_channels": 1, "conv1_stride": 1, "conv1_kernel": 4},
    "wide": {"base_e": 70, "incr_e": 1, "freq": 3, "conv1_channels": 33},
}
SIDE = 47
MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)


def net_of(changes, seed=0):
    spec = SqueezeNetSpec(**SMALL | changes)
    net = SqueezeNet(spec)
    net.init_weights(torch.Generator().manual_seed(seed))
    generator = torch.Generator().manual_seed(seed + 1)
    with torch.no_grad():
        for name, tensor in net.named_parameters():
            if name.endswith("bias"):
                tensor.normal_(0, 0.1, generator=generator)
        net.classifier[1].weight.normal_(0, 0.2, generator=generator)
    return net.eval()


def file_of(net, side=SIDE, channels=None, **settings):
    """Convolutions shared by a step, biases raw float32: the net is changed to what the file holds."""
    layers = []
    with torch.no_grad():
        for name, tensor in net.state_dict().items():
            array = tensor.numpy()
            if array.ndim < 2:
                layers.append(RawTensor(name, array))
                continue
            step = np.float32(array.std() / 2)
            indices = np.clip(np.rint(array / step), -15, 15).astype(np.int32)
            layers.append(SharedLayer(name, array.shape, indices, step=step))
            tensor.copy_(torch.from_numpy(indices * step))
    channels = channels or ("L" if net.spec.in_channels == 1 else "RGB")
    n = len(channels)
    given = {"channels": channels, "scale": 1.0, "mean": list(MEAN[:n]), "std": list(STD[:n]), "resize": side + 3, "size": side}
    metadata = {"architecture": {"name": "squeezenet"} | net.spec.compact(), "input": given}
    return writer.to_bytes(layers, metadata, **settings)


def noise(net, side=SIDE, seed=5):
    return np.random.default_rng(seed).integers(0, 256, (side, side, net.spec.in_channels), dtype=np.uint8)


def expected(net, pixels, order=slice(None)):
    x = (pixels[:, :, order] / 255 - MEAN[: pixels.shape[2]]) / STD[: pixels.shape[2]]
    x = torch.from_numpy(np.ascontiguousarray(x.transpose(2, 0, 1), np.float32))
    with torch.inference_mode():
        return net(x[None])[0].numpy(), x.numpy()


@pytest.mark.parametrize(
    "options", [(), ("-DSQZ_SMALL",), ("-march=native", "-ffp-contract=fast")], ids=["plain", "small", "native"]
)
@pytest.mark.parametrize("name", NETS)
def test_logits_are_pytorchs(name, options):
    net = net_of(NETS[name])
    native = Net(file_of(net), *options)
    pixels = noise(net)
    wanted, values = expected(net, pixels)
    assert np.ptp(wanted) > 0.05  # or any net would do
    found = {mode: native.run(net.spec.classes, mode, pixels=pixels) for mode in (RESIDENT, STREAMED)}
    np.testing.assert_allclose(found[RESIDENT], wanted, rtol=1e-4, atol=2e-5)
    np.testing.assert_array_equal(found[STREAMED], found[RESIDENT])  # the same sums in the same order
    np.testing.assert_allclose(native.run(net.spec.classes, STREAMED, values=values), wanted, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("name", [name for name in NETS if name != "complex bypass"])
def test_activations_of_8_bits_are_close(name):
    net = net_of(NETS[name])
    native = Net(file_of(net))
    pixels = noise(net)
    wanted, values = expected(net, pixels)
    ranges = np.array(activation_ranges(net, [torch.from_numpy(values)[None]]), np.float32)
    found = {mode: native.run(net.spec.classes, mode, pixels=pixels, ranges=ranges) for mode in (RESIDENT_8, STREAMED_8)}
    np.testing.assert_array_equal(found[STREAMED_8], found[RESIDENT_8])
    error = np.abs(found[STREAMED_8] - wanted).max()
    assert 0 < error < 0.02 * np.abs(wanted).max()
    assert native.memory(STREAMED_8) <= native.memory(STREAMED)


@pytest.mark.parametrize("name", NETS)
def test_calibration_finds_the_ranges_that_pytorch_has(name):
    net = net_of(NETS[name])
    native = Net(file_of(net))
    pixels = noise(net)
    wanted = activation_ranges(net, [torch.from_numpy(expected(net, pixels)[1])[None]])
    found = np.zeros(native.n_ranges, np.float32)
    native.run(net.spec.classes, STREAMED, pixels=pixels, found=found)
    np.testing.assert_allclose(found, wanted, rtol=1e-4)


def test_the_sums_of_a_1x1_bypass_may_be_negative_and_have_no_8_bits():
    net = net_of(NETS["complex bypass"])
    native = Net(file_of(net))
    ranges = np.ones(native.n_ranges, np.float32)
    with pytest.raises(ValueError, match="SQZ_UNSUPPORTED"):
        native.run(net.spec.classes, STREAMED_8, pixels=noise(net), ranges=ranges)


def test_blue_first():
    net = net_of({})
    pixels = noise(net)
    found = Net(file_of(net, channels="BGR")).run(7, RESIDENT, pixels=pixels)
    np.testing.assert_allclose(found, expected(net, pixels, slice(None, None, -1))[0], rtol=1e-4, atol=2e-5)
    assert np.abs(found - expected(net, pixels)[0]).max() > 2e-4


@pytest.mark.parametrize("side", [31, 32, 33, 34, 35, 36, 50])
def test_every_side(side):
    """Windows of a pool that are cut, rows that no panel fits."""
    net = net_of({})
    pixels = noise(net, side)
    found = Net(file_of(net, side)).run(7, STREAMED, pixels=pixels)
    np.testing.assert_allclose(found, expected(net, pixels)[0], rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize(
    ("coder", "positions", "block_size"), [("context", "best", 64), ("huffman", "gaps", 256), ("range", "bitmap", 8)]
)
def test_blocks_that_end_within_a_row(coder, positions, block_size):
    net = net_of({})
    whole, cut = file_of(net), file_of(net_of({}), coder=coder, positions=positions, block_size=block_size)
    results = [Net(data).run(7, mode, pixels=noise(net)) for data, mode in itertools.product((whole, cut), (RESIDENT, STREAMED))]
    for found in results[1:]:
        np.testing.assert_array_equal(found, results[0])


def test_memory_is_just_enough_and_less_is_refused():
    net = net_of({})
    native = Net(file_of(net))
    for mode in (RESIDENT, STREAMED):
        native.run(7, mode, pixels=noise(net))  # bytes behind it stay as they are
        with pytest.raises(ValueError, match="SQZ_MEMORY"):
            native.run(7, mode, pixels=noise(net), less=1)


def test_an_image_is_pixels_or_values():
    native = Net(file_of(net_of({})))
    with pytest.raises(ValueError, match="SQZ_ARGUMENT"):
        native.run(7, RESIDENT)


@pytest.mark.parametrize(
    ("change", "status"),
    [
        (lambda metadata: metadata["architecture"].update(name="alexnet"), "SQZ_UNSUPPORTED"),
        (lambda metadata: metadata["architecture"].update(version="2.0"), "SQZ_UNSUPPORTED"),
        (lambda metadata: metadata["architecture"].update(n_fires=1000), "SQZ_UNSUPPORTED"),
        (lambda metadata: metadata["architecture"].update(bypass="complex"), "SQZ_NOT_FOUND"),
        (lambda metadata: metadata["architecture"].update(pool_after=[0, 1, 2, 3, 4, 5]), "SQZ_NOT_FOUND"),
        (lambda metadata: metadata["architecture"].update(n_fires=9), "SQZ_NOT_FOUND"),
        (lambda metadata: metadata["architecture"].update(n_fires=6), "SQZ_SHAPE"),
        (lambda metadata: metadata["input"].update(mean=[0.5]), "SQZ_UNSUPPORTED"),
        (lambda metadata: metadata["input"].update(size=2), "SQZ_UNSUPPORTED"),
        (lambda metadata: metadata.pop("input"), "SQZ_UNSUPPORTED"),
        (lambda metadata: metadata.pop("architecture"), "SQZ_UNSUPPORTED"),
    ],
)
def test_metadata_that_do_not_fit_are_refused(change, status):
    from compress.artifact.reader import read_bytes

    whole = read_bytes(file_of(net_of({})))
    metadata = {name: dict(value) for name, value in whole.metadata.items()}
    change(metadata)
    with pytest.raises(ValueError, match=status):
        Net(writer.to_bytes(whole.layers.values(), metadata))
