import json
import os

import numpy as np
import pytest
import tiny_net
from test_cli import call, refused

from compress.artifact import reader, writer
from compress.layer import RawTensor


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


def test_a_delta_is_for_devices_where_nothing_else_is_asked_for(pair, tmp_path):
    block = call("delta", *pair, "-o", tmp_path / "u.sqzd").stdout
    assert "block form; takes no coder to apply" in block and "symbol " not in block
    assert call("delta", *pair, "-o", tmp_path / "v.sqzd", "--form", "block").stdout == block.replace("u.sqzd", "v.sqzd")


def test_auto_tells_both_sizes(pair, tmp_path):
    text = call("delta", *pair, "-o", tmp_path / "u.sqzd", "--form", "auto").stdout
    lines = text.splitlines()
    assert [line.split()[0] for line in lines[1:4]] == ["block", "symbol", "NEW"]
    assert text.count("written") == 1
    symbol = call("delta", *pair, "-o", tmp_path / "u.sqzd", "--form", "symbol").stdout
    assert "takes this version of squeeze-compress to apply; a device refuses it" in symbol


def test_weights_that_changed_are_counted_whatever_is_sent(pair, tmp_path):
    """The last two tensors are others; what the old file has of them may be the same by chance."""
    old, new = (reader.read(path).layers for path in pair)
    n_changed = sum(int((old[name].values() != layer.values()).sum()) for name, layer in new.items())
    assert 0 < n_changed <= 27
    for form in ("block", "symbol", "auto"):
        text = call("delta", *pair, "-o", tmp_path / "u.sqzd", "--form", form).stdout
        assert f"weights that changed, of tensors in both files: {n_changed} of 327 ({n_changed / 3.27:.2f}%)" in text
    facts = json.loads(call("delta", *pair, "-o", tmp_path / "u.sqzd", "--json").stdout)
    assert (facts["n_changed"], facts["n_compared"], facts["saves_bytes"]) == (n_changed, 327, True)


def test_a_delta_that_saves_nothing_is_told(pair, tmp_path):
    unrelated = tmp_path / "other.sqz"
    writer.write(unrelated, [RawTensor("a", np.arange(9, dtype=np.float32))], {})
    text = call("delta", pair[0], unrelated, "-o", tmp_path / "u.sqzd").stdout
    assert text.splitlines()[-1] == "not smaller than NEW: send NEW"
    assert "send NEW" not in call("delta", *pair, "-o", tmp_path / "u.sqzd").stdout


def test_no_file_that_is_read_is_overwritten(pair, tmp_path):
    old, new = pair
    before = old.read_bytes(), new.read_bytes()
    link, update = tmp_path / "link", tmp_path / "u.sqzd"
    link.symlink_to(new)
    for output in (old, new, link):
        assert refused("delta", old, new, "-o", output).startswith(f"error: {output}: is read from")
    call("delta", old, new, "-o", update)
    assert refused("apply", old, update, "-o", update).startswith(f"error: {update}: is read from")
    assert (old.read_bytes(), new.read_bytes()) == before and update.read_bytes()[:3] == b"SQD"


def test_pipes_and_devices_are_refused_at_once(pair, tmp_path):
    old, new = pair
    update, pipe = tmp_path / "u.sqzd", tmp_path / "pipe"
    call("delta", old, new, "-o", update)
    os.mkfifo(pipe)
    for arguments in (("delta", pipe, new), ("delta", old, pipe), ("apply", pipe, update), ("apply", old, pipe)):
        assert "pipe: cannot be read: a device, a pipe" in refused(*arguments, "-o", tmp_path / "x")
    assert "pipe: cannot be written: a device, a pipe" in refused("delta", old, new, "-o", pipe)
    assert "pipe: cannot be written: a device, a pipe" in refused("apply", old, update, "-o", pipe)
    assert pipe.is_fifo() and not (tmp_path / "x").exists()


def test_an_output_without_a_name(pair):
    assert "Is a directory" in refused("delta", *pair, "-o", "")


def test_max_bytes(pair, tmp_path):
    old, new = pair
    call("delta", old, new, "-o", tmp_path / "u.sqzd")
    size = new.stat().st_size
    call("apply", old, tmp_path / "u.sqzd", "-o", tmp_path / "x", "--max-bytes", size)
    message = refused("apply", old, tmp_path / "u.sqzd", "-o", tmp_path / "y", "--max-bytes", size - 1)
    assert f"the new file is of {size} bytes, at most {size - 1} are allowed" in message


def test_where_there_is_no_symbol_form(pair, tmp_path, monkeypatch):
    """`auto` takes the block form and says why; `symbol` is refused."""
    from compress.artifact import symbol_delta

    monkeypatch.setattr(symbol_delta, "settings_of", lambda *_: None)
    text = call("delta", *pair, "-o", tmp_path / "u.sqzd", "--form", "auto").stdout
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
