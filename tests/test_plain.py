"""What a file says of itself does not reach a terminal as a command."""

import numpy as np
import pytest
import tiny_net
from click.testing import CliRunner
from PIL import Image

from compress.cli import main
from compress.display.console import console_for
from compress.display.plain import plain

TITLE = "\x1b]0;title\x07\x9b31mcat\u202e"  # sets a terminal's title, turns text red, turns the rest of the line round


def test_controls_are_escapes():
    assert plain("plain é ü 日\u00a0\n") == "plain é ü 日\u00a0\n"
    assert plain(TITLE) == r"\x1b]0;title\x07\x9b31mcat\u202e"
    assert plain("\r\t\0\udcff\u2028") == r"\r\t\x00\udcff\u2028"


@pytest.mark.parametrize("command", [["predict", "a.sqz", "a.png"], ["inspect", "a.sqz"], ["compare", "a.sqz", "b.sqz"]])
def test_names_in_a_file_are_shown_and_not_obeyed(tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    tiny_net.write(tmp_path / "a.sqz", classes=[TITLE, "dog", "owl"], **{TITLE: TITLE})
    tiny_net.write(tmp_path / "b.sqz", tiny_net.layers(seed=1))
    Image.fromarray(np.zeros((20, 20, 3), np.uint8)).save("a.png")
    found = CliRunner().invoke(main, command)
    assert found.exit_code == 0, found.output
    assert r"\x1b]0;title" in found.stdout and "\x1b" not in found.stdout and "\x9b" not in found.stdout


def test_a_terminal_s_own_controls_remain(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    console = console_for()
    with console.capture() as shown:
        console.print("[bold]x\x1b[31m[/bold]")
    assert shown.get() == "\x1b[1mx\\x1b[31m\x1b[0m\n"
