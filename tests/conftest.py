"""Shared by the tests: one thread for torch (machines are shared, and results repeat), no time limit on a property."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import hypothesis
import numpy as np
import pytest
import torch
from PIL import Image
from torch.func import functional_call

from compress.models.squeezenet import SqueezeNet
from compress.recipe import SqueezeNetSpec

torch.set_num_threads(1)
hypothesis.settings.register_profile("shared-machine", deadline=None)
hypothesis.settings.load_profile("shared-machine")

CLASSES = ["ant", "bee", "cat", "dog"]  # of the pictures in `folders`


class Toy:
    """A tiny teacher with confident outputs, a net of the same shape to run tensors through, and images without labels."""

    def __init__(self, spec: SqueezeNetSpec) -> None:
        self.teacher = SqueezeNet(spec).eval().requires_grad_(False)
        self.teacher.init_weights(torch.Generator().manual_seed(0))
        self.teacher.classifier[1].weight.mul_(500)  # outputs that differ, so that there is something to lose
        self.net = SqueezeNet(spec).eval()
        self.tensors = dict(self.teacher.state_dict())
        self.weights = [name for name, tensor in self.tensors.items() if tensor.ndim == 4]

    def batches(self, seed: int = 0, batch_size: int = 16) -> Iterator[torch.Tensor]:
        generator = torch.Generator().manual_seed(seed)
        while True:
            yield torch.randn(batch_size, 1, 8, 8, generator=generator)

    def kl(self, tensors: Mapping[str, torch.Tensor]) -> float:
        """Mean KL(teacher || net with these tensors) on images that are not tuned on."""
        x = next(self.batches(seed=99, batch_size=256))
        with torch.no_grad():
            target, log_p = self.teacher(x).log_softmax(1), functional_call(self.net, dict(tensors), (x,)).log_softmax(1)
        return float((target.exp() * (target - log_p)).sum(1).mean())


@pytest.fixture
def tiny_spec() -> SqueezeNetSpec:
    """A SqueezeNet of two Fire modules for grey 8 x 8 images and three classes: a forward pass takes under a millisecond."""
    return SqueezeNetSpec(
        classes=3,
        in_channels=1,
        dropout=0.0,
        base_e=8,
        incr_e=8,
        freq=1,
        squeeze_ratio=0.5,
        n_fires=2,
        conv1_channels=8,
        conv1_stride=1,
        conv10_relu=False,
        pool_after=(1,),
    )


@pytest.fixture
def toy(tiny_spec: SqueezeNetSpec) -> Toy:
    return Toy(tiny_spec)


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two folders of pictures of four classes, each class a colour and each picture other noise. Only to be read."""
    root = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for part, n in (("train", 4), ("val", 3)):
        for k, name in enumerate(CLASSES):
            (root / part / name).mkdir(parents=True)
            for i in range(n):
                pixels = rng.integers(0, 256, (24, 24, 3)) * 0.7 + 60 * (np.arange(3) == k % 3)
                Image.fromarray(pixels.astype(np.uint8)).save(root / part / name / f"{i}.png")
    return root
