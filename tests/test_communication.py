import multiprocessing
import os
from functools import partial
from types import SimpleNamespace

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.multiprocessing import ProcessExitedException

from compress.errors import CompressError, InputError, RecipeError
from compress.models.squeezenet import SqueezeNet
from compress.recipe import Recipe
from compress.recipe_file import load
from compress.train import communication
from compress.train.communication import Net


def small():
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(4 * 6 * 6, 3))  # 40 + 435 parameters


def normed():
    """With a BatchNorm: its running mean and variance are no gradients."""
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4 * 6 * 6, 3))  # 40 + 8 + 435


def half_frozen():
    net = small()
    net[0].requires_grad_(False)
    return net


def wide():
    """More than a bucket of DistributedDataParallel holds (25 MiB, the first 1 MiB)."""
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 512), nn.Linear(512, 8192), nn.Linear(8192, 512), nn.Linear(512, 2))


def spoilt():
    """Fails in one of the two processes."""
    if dist.is_initialized() and dist.get_rank() == 1:
        raise ValueError("no weights\nin process 1")
    return small()


def unused():
    """A layer that the forward pass does not call."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 2))
    net.get_submodule("1").register_module("spare", nn.Linear(2, 2))
    return net


SHAPE = (2, 1, 8, 8)


@pytest.fixture(scope="module")
def measured():
    """Rows of nets by name, from one real run of two processes."""
    squeezenet = communication.net_of(load("digits"))
    nets = [squeezenet, Net("larger images", squeezenet.build, (1, 1, 20, 24))]
    nets += [Net(build.__name__, build, SHAPE) for build in (small, normed, half_frozen, wide)]
    rows = communication.communication(nets, images=1000, batch_size=300)
    assert multiprocessing.active_children() == []
    return {row.name: row for row in rows}


def test_a_step_sends_four_bytes_a_parameter(measured):
    n_wide = 65 * 512 + 513 * 8192 + 8193 * 512 + 513 * 2
    assert {
        name: (row.parameters, row.bytes_per_step) for name, row in measured.items() if name in ("small", "normed", "wide")
    } == {
        "small": (475, 4 * 475),
        "normed": (483, 4 * 483),
        "wide": (n_wide, 4 * n_wide),
    }
    assert 4 * n_wide > 25 << 20


def test_a_recipes_squeezenet_whatever_the_images(measured):
    n_parameters = sum(parameter.numel() for parameter in SqueezeNet(load("digits").model).parameters())
    for name in ("digits", "larger images"):
        assert (measured[name].parameters, measured[name].bytes_per_step) == (n_parameters, 4 * n_parameters)


def test_frozen_parameters_are_not_sent(measured):
    row = measured["half_frozen"]
    assert (row.parameters, row.bytes_per_step) == (475, 4 * 435)


def test_an_epoch_and_the_times_are_made_of_the_bytes(measured):
    row = measured["small"]
    assert row.bytes_per_epoch == 4 * row.bytes_per_step  # 1000 images in batches of 300
    assert len(row.seconds) == 18
    time = next(time for time in row.seconds if (time.workers, time.gbit_per_second) == (4, 10))
    assert time.seconds == pytest.approx(1.5 * 8 * 4 * 475 / 10e9)


def test_a_process_that_fails():
    with pytest.raises(CompressError, match=r"^communication: spoilt: ValueError: no weights\nin process 1$"):
        communication.measure([Net("small", small, SHAPE), Net("spoilt", spoilt, SHAPE)])
    assert multiprocessing.active_children() == []


# --- without processes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("workers", "expected"),
    [
        (1, 0),
        (2, 1.0),  # each sends its half, and then the half that it summed
        (4, 1.5),
        (1024, 2 * 1023 / 1024),
    ],
)
def test_ring_seconds(workers, expected):
    assert communication.ring_seconds(125_000_000, workers, 1) == expected  # a gigabit
    assert communication.ring_seconds(125_000_000, workers, 100) == pytest.approx(expected / 100)


@pytest.mark.parametrize(("images", "batch_size", "steps"), [(1_281_167, 512, 2503), (1024, 512, 2), (1, 512, 1)])
def test_steps_per_epoch(images, batch_size, steps):
    assert communication.steps_per_epoch(images, batch_size) == steps


@pytest.fixture
def alone(tmp_path, monkeypatch):
    """This process as a group of one."""
    n_threads = torch.get_num_threads()
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", os.environ.get("GLOO_SOCKET_IFNAME", ""))  # put back at the end
    monkeypatch.setattr(communication, "PROCESSES", 1)
    communication._join_group(0, tmp_path)
    yield
    dist.destroy_process_group()
    torch.set_num_threads(n_threads)


def test_a_parameter_without_a_gradient_is_refused(alone):
    assert communication.bytes_of_a_step(small(), SHAPE) == 4 * 475
    with pytest.raises(RuntimeError, match="Expected to have finished reduction"):
        communication.bytes_of_a_step(unused(), SHAPE)


def test_other_bytes_than_the_gradients_are_refused(monkeypatch):
    monkeypatch.setattr(communication, "measure", lambda nets: [1896])
    with pytest.raises(InputError, match=r"^small: a step sends 1,896 bytes, its gradients are 1,900$"):
        communication.communication([Net("small", small, SHAPE)])


def test_processes_that_do_not_agree(monkeypatch):
    monkeypatch.setattr(communication, "_measure_in_processes", lambda nets, folder: [[8, 1900], [8, 1896]])
    with pytest.raises(InputError, match="small: one process counts 1,900 bytes a step, another 1,896"):
        communication.measure([Net("first", small, SHAPE), Net("small", small, SHAPE)])


class Running:
    """Processes that do as `join` does; what is done to them is kept."""

    def __init__(self, join):
        self.join, self.done = join, []
        kept = SimpleNamespace(kill=lambda: self.done.append("kill"), join=lambda: self.done.append("join"))
        self.processes = [kept, kept]


def killed(timeout):
    raise ProcessExitedException("process 1 terminated with signal SIGKILL", 1, 1, -9)


def interrupted(timeout):
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("join", "error", "message"),
    [
        (killed, InputError, "process 1 terminated with signal SIGKILL"),
        (lambda timeout: True, InputError, "left without a result"),
        (lambda timeout: False, InputError, r"no result in 0\.01 s"),
        (interrupted, KeyboardInterrupt, None),
    ],
)
def test_processes_that_leave_no_result_are_cleared_away(monkeypatch, join, error, message):
    running = Running(join)
    monkeypatch.setattr(communication.mp, "spawn", lambda *arguments, **options: running)
    monkeypatch.setattr(communication, "TIMEOUT_SECONDS", 0.01)
    with pytest.raises(error, match=message):
        communication.measure([Net("small", small, SHAPE)])
    assert running.done == ["kill", "join"] * 2


def test_the_first_to_fail_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(communication, "_join_group", lambda rank, folder: None)

    def fail(message):
        raise ValueError(message)

    for message in ("first", "second"):
        with pytest.raises(ValueError, match=message):
            communication._process(0, [Net("net", partial(fail, message), SHAPE)], tmp_path)
    assert (tmp_path / "failure").read_text() == "net: ValueError: first"


def test_a_torch_without_gloo(monkeypatch):
    monkeypatch.setattr(dist, "is_gloo_available", lambda: False)
    with pytest.raises(InputError, match="no gloo"):
        communication.measure([])


def test_published_nets():
    assert [(net.name, communication._sizes(net.build())) for net in communication.published_nets()] == [
        ("AlexNet", (61_100_840, 244_403_360)),
        ("SqueezeNet v1.0", (1_248_424, 4_993_696)),
        ("SqueezeNet v1.1", (1_235_496, 4_941_984)),
    ]
    for net in communication.published_nets()[1:]:
        assert net.build()(torch.zeros(net.example_shape)).shape == (2, 1000)


def factory(name="user_nets:small_resnet", **fields):
    return Recipe.model_validate({"name": "mine", "model": {"factory": name}, **fields})


def test_a_recipes_factory():
    net = communication.net_of(factory(input={"size": 16, "resize": 16}))
    assert net.example_shape == (2, 3, 16, 16)
    made = net.build()
    assert any(isinstance(module, nn.BatchNorm2d) for module in made.modules())  # it is trained as it is made
    assert made(torch.zeros(net.example_shape)).shape == (2, 4)
    assert communication.net_of(factory()).example_shape == (2, 3, 227, 227)
    digits = {"tune": [{"source": "digits"}], "test": [{"source": "digits"}]}
    assert communication.net_of(factory(data=digits)).example_shape == (2, 1, 8, 8)


def test_a_factory_that_fails_costs_no_processes(monkeypatch):
    monkeypatch.setattr(communication, "measure", lambda nets: pytest.fail("measured"))
    with pytest.raises(RecipeError, match="has no attribute 'absent'"):
        communication.communication([communication.net_of(factory("user_nets:absent"))])
