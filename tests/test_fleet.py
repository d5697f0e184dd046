"""What a fleet takes: the arithmetic by hand, units taken strictly, and a delta that is of another file refused."""

import json

import numpy as np
import pytest
import tiny_net
from test_cli import call, refused

from compress.artifact import delta, writer
from compress.errors import InputError
from compress.layer import RawTensor, SharedLayer
from compress.ledger.ledger import ALEXNET_BYTES
from compress.release.fleet import fleet, parse_devices, parse_rate


@pytest.fixture
def file(tmp_path):
    """100 shared weights, 10 floats and a counter."""
    layers = [
        SharedLayer("w", (10, 10), np.eye(10, dtype=np.int32), step=np.float32(0.5)),
        RawTensor("b", np.arange(10, dtype=np.float32)),
        RawTensor("n", np.array(7, np.int64)),
    ]
    writer.write(tmp_path / "net.sqz", layers, {})
    return tmp_path / "net.sqz"


def test_bytes_and_hours(file):
    found = fleet(file, n_devices=1000, bits_per_second=8000.0)
    assert [row.device_bytes for row in found.rows] == [240_000_000, 440, file.stat().st_size]
    assert ALEXNET_BYTES == 240_000_000
    alexnet, fp32, own = found.rows
    assert alexnet.fleet_bytes == 240_000_000_000
    assert alexnet.device_hours == pytest.approx(240_000 / 3600) and alexnet.fleet_hours == pytest.approx(240e6 / 3600)
    assert fp32.device_hours == pytest.approx(0.44 / 3600)
    assert fp32.what == "this net, float32 (110 values)" and own.what == "net.sqz"


def test_a_delta_is_a_row_of_each_form(file, tmp_path):
    other = tiny_net.write(tmp_path / "old.sqz")
    made = delta.make(other, file, form="auto")
    rows = fleet(file, n_devices=1, bits_per_second=1.0, against=other).rows[3:]
    assert [(row.what, row.device_bytes) for row in rows] == [
        ("delta after old.sqz, block form", made.block_size),
        ("delta after old.sqz, symbol form", made.symbol_size),
    ]
    update = tmp_path / "u.sqzd"
    delta.write(update, made)
    [row] = fleet(file, n_devices=1, bits_per_second=1.0, update=update).rows[3:]
    assert row.what == f"u.sqzd, {made.form.name.lower()} form" and row.device_bytes == update.stat().st_size
    with pytest.raises(InputError, match=r"u\.sqzd: makes the file of SHA-256 [0-9a-f]{64}, .*old\.sqz is of SHA-256"):
        fleet(other, n_devices=1, bits_per_second=1.0, update=update)


@pytest.mark.parametrize(
    ("text", "bits"),
    [("100kbit", 1e5), ("100kbit/s", 1e5), ("2.5Mbit", 2.5e6), ("1Gbit/s", 1e9), ("300bit", 300), ("0.5bit/s", 0.5)],
)
def test_rates(text, bits):
    assert parse_rate(text) == bits


BAD_RATES = [
    "",
    "100",
    "100k",
    "100kb",
    "100kB/s",
    "100Kbit",
    "100 kbit",
    "0kbit",
    "0.0bit",
    "-1kbit",
    "1e3bit",
    "1,5Mbit",
    "nanbit",
]


@pytest.mark.parametrize(
    "text", [*BAD_RATES, "١kbit", ".5bit", "100kbit/h", "kbit", "1" * 400 + "bit", "0." + "0" * 320 + "1bit"]
)
def test_other_rates_are_refused(text):
    with pytest.raises(InputError, match="must be a number and one of bit, kbit, Mbit, Gbit, a second"):
        parse_rate(text)


@pytest.mark.parametrize(("text", "number"), [("1", 1), ("1e6", 10**6), ("1000000", 10**6), ("2.5e3", 2500), ("1e12", 10**12)])
def test_devices(text, number):
    assert parse_devices(text) == number


@pytest.mark.parametrize("text", ["", "0", "-5", "1.5", "1e13", "inf", "nan", "many", "1e999999", "1e-3", "1_000", " 1e6 ", "١٢"])
def test_other_numbers_of_devices_are_refused(text):
    with pytest.raises(InputError, match=r"must be a whole number from 1 to 1e\+12"):
        parse_devices(text)


def test_the_command(file, tmp_path):
    other = tiny_net.write(tmp_path / "old.sqz")
    facts = json.loads(call("fleet", file, "--devices", "1e6", "--rate", "100kbit", "--against", other, "--json").stdout)
    assert facts["n_devices"] == 10**6 and facts["bits_per_second"] == 1e5
    assert facts["rows"][0] == {
        "what": "AlexNet, float32 (nominal)",
        "device_bytes": 240_000_000,
        "fleet_bytes": 240 * 10**12,
        "device_hours": pytest.approx(5 + 1 / 3),
        "fleet_hours": pytest.approx(16e6 / 3),
    }
    text = call("fleet", file, "--devices", "1e6", "--rate", "100kbit").stdout
    assert "240,000,000,000,000" in text and "5.33" in text and "1,000,000 devices, 100,000 bit/s to each" in text


def test_the_command_refuses(file, tmp_path):
    assert refused("fleet", file, "--devices", "1e6", "--rate", "100kB").startswith("error: rate is '100kB', must be")
    assert refused("fleet", file, "--devices", "x", "--rate", "1bit").startswith("error: devices is 'x', must be")
    assert "give one of them" in refused("fleet", file, "--devices", "1", "--rate", "1bit", "--against", file, "--delta", file)
    assert "not a .sqzd file" in refused("fleet", file, "--devices", "1", "--rate", "1bit", "--delta", file)
    assert "No such file" in refused("fleet", tmp_path / "none", "--devices", "1", "--rate", "1bit")
    file.write_bytes(file.read_bytes()[:-1] + b"\0")
    assert "SHA-256 of the content" in refused("fleet", file, "--devices", "1", "--rate", "1bit")


def test_names_of_files_are_shown_as_they_are(file, tmp_path):
    """Not as markup of the table."""
    odd = file.rename(tmp_path / "n[@click]et[bold].sqz")
    assert "n[@click]et[bold].sqz" in call("fleet", odd, "--devices", "1", "--rate", "1kbit").stdout


def test_hours_of_a_fast_link_are_not_nothing(file):
    text = call("fleet", file, "--devices", "1", "--rate", "100Mbit").stdout
    assert f"{8 * file.stat().st_size / 1e8 / 3600:.3g}" in text.splitlines()[3]


def test_a_damaged_delta_is_refused(file, tmp_path):
    update = tmp_path / "u.sqzd"
    delta.write(update, delta.make(tiny_net.write(tmp_path / "old.sqz"), file))
    damaged = bytearray(update.read_bytes())
    damaged[110] ^= 1
    update.write_bytes(damaged)
    message = refused("fleet", file, "--devices", "1", "--rate", "1bit", "--delta", update)
    assert message.startswith(f"error: {update}: the body is damaged")
