"""Linear layers as products: the best of their rank, what is refused, and the chain with them from training to a file."""

import json

import numpy as np
import pytest
import torch
import user_nets
from test_pipeline_inputs import TUNE, fields
from torch import nn

import compress
from compress.artifact import reader, writer
from compress.errors import CorruptArtifact, RecipeError
from compress.export.load import from_artifact
from compress.models.low_rank import low_rank, ranks_of
from compress.pipeline import run
from compress.recipe_file import check


def net_of(out_features=6, in_features=10, bias=True):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(in_features, out_features, bias=bias), nn.ReLU(), nn.Linear(out_features, 3)).eval()


@pytest.mark.parametrize(("out_features", "in_features"), [(6, 10), (10, 6), (5, 5)])
@pytest.mark.parametrize("rank", [1, 3])
def test_the_product_is_the_best_of_its_rank(out_features, in_features, rank):
    net = net_of(out_features, in_features)
    made = low_rank(net, {"0": rank})
    product = made[0][1].weight @ made[0][0].weight
    u, s, v = np.linalg.svd(net[0].weight.detach().numpy())
    best = (u[:, :rank] * s[:rank]) @ v[:rank]
    np.testing.assert_allclose(product.detach().numpy(), best, atol=1e-5)
    torch.testing.assert_close(made[0][1].weight.norm(dim=0), made[0][0].weight.norm(dim=1))  # neither factor is the larger
    assert made[0][0].bias is None and torch.equal(made[0][1].bias, net[0].bias)
    assert list(made.state_dict()) == ["0.0.weight", "0.1.weight", "0.1.bias", "2.weight", "2.bias"]


def test_at_full_rank_the_net_computes_the_same():
    net, x = net_of(bias=False), torch.randn(4, 10, generator=torch.Generator().manual_seed(1))
    made = low_rank(net, {"0": 6, "2": 3})
    torch.testing.assert_close(made(x), net(x), atol=1e-5, rtol=0)
    assert not made.training and isinstance(net[0], nn.Linear)  # a copy


def test_a_matrix_of_less_rank_than_asked_for():
    net = net_of()
    with torch.no_grad():
        net[0].weight.zero_()[0, 0] = 2.0
    made = low_rank(net, {"0": 3})
    product = made[0][1].weight @ made[0][0].weight
    torch.testing.assert_close(product, net[0].weight, atol=1e-6, rtol=0)
    assert all(parameter.isfinite().all() for parameter in made.parameters())


def test_shapes_without_memory():
    with torch.device("meta"):
        net = nn.Sequential(nn.Linear(9216, 4096))
    made = low_rank(net, {"0": 64})
    assert [tuple(p.shape) for p in made.parameters()] == [(64, 9216), (4096, 64), (4096,)]
    assert all(parameter.is_meta for parameter in made.parameters())


@pytest.mark.parametrize(
    ("ranks", "message"),
    [
        ({"9": 1}, "9: the net has no such layer"),
        ({"1": 1}, "1: must be a Linear layer, is a ReLU"),
        ({"0": 0}, r"0: rank must be in \[1, 6\], got 0"),
        ({"0": 7}, r"0: rank must be in \[1, 6\], got 7"),
        ({"": 1}, "must be a Linear layer, is a Sequential"),
    ],
)
def test_layers_that_are_none_are_refused(ranks, message):
    with pytest.raises(ValueError, match=message):
        low_rank(net_of(), ranks)


def test_ranks_by_patterns():
    net = net_of()
    assert ranks_of({"0": 2, "*": 1}, net) == {"0": 2, "2": 1} and ranks_of({"0": 3}, net) == {"0": 3}
    with pytest.raises(RecipeError, match=r"svd.rank: pattern 'conv\*' matches no Linear layer; these are 0, 2"):
        ranks_of({"conv*": 1}, net)
    with pytest.raises(RecipeError, match=r"svd.rank: 0: 4 makes 64 weights of 60; it must make fewer"):
        ranks_of({"0": 4}, net)


# --- the chain --------------------------------------------------------------------------------------------------------


def thin(folders, **changes):
    svd = {"rank": {"1": 2}, "tune": TUNE}
    return check(fields(folders, factory="user_nets:mlp", svd=svd, **changes))


@pytest.mark.parametrize("changes", [{}, {"prune": None, "quantize": None}, {"prune": None}])
def test_a_net_goes_through_the_chain_and_comes_back(folders, tmp_path, changes):
    make = user_nets.mlp
    [name] = [name for name, layer in make().named_modules() if isinstance(layer, nn.Linear)][:1]
    recipe = check(fields(folders, factory="user_nets:mlp", svd={"rank": {name: 2}, "tune": TUNE}, **changes))
    result = run(recipe, runs=tmp_path / "runs", device="cpu")
    stages = [row.stage for row in result.rows]
    assert stages[:2] == ["baseline", "svd"] and stages[-1] == "encode"
    whole, products = result.rows[0], result.rows[1]
    assert products.parameters < whole.parameters and whole.agreement == 1
    net = compress.load(result.artifact, model=make)
    assert isinstance(net.get_submodule(name), nn.Sequential) and net.get_submodule(f"{name}.0").out_features == 2
    assert compress.read(result.artifact).metadata["architecture"]["svd"] == {name: 2}
    again = run(recipe, runs=tmp_path / "runs", device="cpu")
    assert again.reused == tuple(stages[:-1]) and again.artifact.read_bytes() == result.artifact.read_bytes()


def test_what_it_does_not_go_with(folders):
    with pytest.raises(RecipeError, match=r"svd and prune.method: channels both change the layers"):
        thin(folders, prune={"method": "channels", "macs": 0.5})
    for rank, message in (({}, "must be a table"), ({"1": 0}, "whole numbers from 1"), (3, "must be a table")):
        with pytest.raises(RecipeError, match=message):
            check(fields(folders) | {"svd": {"rank": rank}})


def test_a_file_that_lies_about_its_products_is_refused(folders, tmp_path):
    result = run(thin(folders, prune=None, quantize=None), runs=tmp_path / "runs", device="cpu")
    stored = compress.read(result.artifact)
    for svd, message in (
        ({"1": 3}, "the net has no such tensor|is .*, the net has"),
        ({"none": 2}, "metadata.architecture.svd: none: the net has no such layer"),
        ({"1": "2"}, "must give layers their rank"),
        ([1], "must give layers their rank"),
        ({}, "not a file of this net"),
    ):
        metadata = json.loads(json.dumps(stored.metadata))
        metadata["architecture"]["svd"] = svd
        data = writer.to_bytes(stored.layers.values(), metadata)
        with pytest.raises(CorruptArtifact, match=message):
            from_artifact(reader.read_bytes(data), "x.sqz", user_nets.mlp)
