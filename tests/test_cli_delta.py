import json

import pytest
import tiny_net
from test_cli import call, refused

from compress.artifact import reader

COMMANDS = ["delta", "apply"]


@pytest.fixture
def pair(tmp_path):
    tiny_net.write(tmp_path / "old.sqz")
    tiny_net.write(tmp_path / "new.sqz", [*tiny_net.layers()[:-2], *tiny_net.layers(seed=1)[-2:]])
    return tmp_path / "old.sqz", tmp_path / "new.sqz"


@pytest.mark.parametrize("form", ["auto", "block", "symbol"])
def test_delta_and_apply(pair, tmp_path, form):
    old, new = pair
    update, made = tmp_path / "u.sqzd", tmp_path / "made.sqz"
    facts = json.loads(call("delta", old, new, "-o", update, "--form", form, "--json").stdout)
    assert facts["file"] == str(update) and facts["size_bytes"] == update.stat().st_size
    assert facts["form"] in ("block", "symbol") and facts["new_size"] == new.stat().st_size
    facts = json.loads(call("apply", old, update, "-o", made, "--json").stdout)
    assert made.read_bytes() == new.read_bytes()
    assert facts["sha256"] == reader.read(new).sha256 and facts["size_bytes"] == new.stat().st_size
    assert call("apply", old, update, "-o", old).stdout == (
        f"{old}: {new.stat().st_size:,} bytes, sha256 {reader.read(new).sha256}\n"
    )
    assert old.read_bytes() == new.read_bytes()


def test_delta_tells_both_sizes(pair, tmp_path):
    text = call("delta", *pair, "-o", tmp_path / "u.sqzd").stdout
    lines = text.splitlines()
    assert [line.split()[0] for line in lines[1:4]] == ["block", "symbol", "NEW"]
    assert text.count("written") == 1 and "values that both files have" in text
    block = call("delta", *pair, "-o", tmp_path / "u.sqzd", "--form", "block").stdout
    assert "takes no encoder and no decoder to apply" in block and "symbol " not in block
    symbol = call("delta", *pair, "-o", tmp_path / "u.sqzd", "--form", "symbol").stdout
    assert "takes this version of squeeze-compress to apply" in symbol


def test_where_there_is_no_symbol_form(pair, tmp_path, monkeypatch):
    """`auto` takes the block form and says why; `symbol` is refused."""
    from compress.artifact import symbol_delta

    monkeypatch.setattr(symbol_delta, "settings_of", lambda *_: None)
    text = call("delta", *pair, "-o", tmp_path / "u.sqzd").stdout
    assert "no symbol form: no setting of this encoder (squeeze-compress " in text and "block form" in text
    message = refused("delta", *pair, "-o", tmp_path / "v.sqzd", "--form", "symbol")
    assert message.startswith(f"error: {pair[1]}: no setting of this encoder") and not (tmp_path / "v.sqzd").exists()


def test_refusals(pair, tmp_path):
    old, new = pair
    update = tmp_path / "u.sqzd"
    call("delta", old, new, "-o", update)
    assert refused("apply", new, update, "-o", tmp_path / "x").startswith(f"error: {new}: SHA-256 ")
    assert refused("apply", old, new, "-o", tmp_path / "x").startswith(f"error: {new}: not a .sqzd file")
    assert refused("delta", old, update, "-o", tmp_path / "x").startswith(f"error: {update}: not a .sqz file")
    assert refused("delta", old, new, "-o", old / "x").startswith(f"error: {old / 'x'}: cannot be written")
    assert "Invalid value for '--form'" in refused("delta", old, new, "-o", update, "--form", "zip")
    assert "Missing option '-o'" in refused("delta", old, new)
    assert not (tmp_path / "x").exists()
