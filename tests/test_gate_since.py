"""What changed since the baseline, in the ledger and the limits."""

import gate_folder
import pytest
import tiny_net
from gate_folder import GENEROUS, judged, notes, unjudged


@pytest.fixture
def folder(tmp_path):
    return gate_folder.published(tmp_path / "project")


def test_a_figure_that_was_raised_for_the_same_bytes(folder):
    folder.change_rows("net.sqz", top1=0.2)
    folder.commit()
    folder.change_rows("net.sqz", top1=0.95)
    code, found = judged(folder, against="HEAD")
    assert code == 2 and unjudged(found).keys() == {"ledger"}
    message = unjudged(found)["ledger"]
    assert message.startswith("val: net-0123abcd, encode (top-1 0.2, ") and " -> net-0123abcd, encode (top-1 0.95, " in message
    assert message.endswith(": other figures of the same bytes and pictures than in HEAD")


def test_another_set_by_the_same_name(folder):
    folder.commit()
    folder.publish("net.sqz", tiny_net.layers(seed=5), n=2, test_set_sha256="00" * 32)
    code, found = judged(folder, against="HEAD")
    assert code == 0
    changed = "another set of that name: n 200 -> 2, pictures abababab -> 00000000 (maybe LOOSER)"
    assert f"ledger: val: changed since HEAD: {changed}" in notes(found)


def test_a_set_that_is_measured_no_longer(folder):
    folder.add_row("net.sqz", stage="report hard", test_set_sha256="cc" * 32, top1=0.6)
    folder.commit()
    folder.publish("net.sqz", tiny_net.layers(seed=5))
    code, found = judged(folder, against="HEAD")
    assert code == 0 and any(
        note.startswith("ledger: hard: measured in HEAD (") and note.endswith("(LOOSER)") for note in notes(found)
    )


def test_a_ledger_elsewhere_is_compared_too(folder):
    folder.change_rows("net.sqz", top1=0.2)
    elsewhere = folder.root / "rows.csv"
    folder.ledger.rename(elsewhere)
    folder.commit()
    elsewhere.write_text(elsewhere.read_text().replace(",0.2,", ",0.95,"))
    code, found = judged(folder, against="HEAD", ledger_file=elsewhere)
    assert code == 2 and "other figures of the same bytes" in unjudged(found)["ledger"]


def test_a_ledger_that_is_new_or_was_none_is_said(folder):
    text = folder.ledger.read_text()
    folder.ledger.write_text("x\n")
    folder.commit()
    folder.ledger.write_text(text)
    code, found = judged(folder, against="HEAD")
    [note] = [each for each in notes(found) if each.startswith("ledger: ")]
    assert code == 0 and note.startswith("ledger: not compared with that of HEAD: HEAD:") and "not a ledger" in note


def test_limits_that_were_loosened_are_said(folder):
    folder.limit(net=GENEROUS | {"max_bytes": 2000})
    folder.commit()
    folder.limit(net=GENEROUS | {"max_bytes": 3000})
    code, found = judged(folder, against="HEAD")
    assert code == 0 and "limits: changed since HEAD: net.sqz: max_bytes 2,000 -> 3,000 (LOOSER)" in notes(found)


def test_limits_that_are_new(folder):
    folder.limits.unlink()
    folder.commit()
    folder.limit(net=GENEROUS)
    code, found = judged(folder, against="HEAD")
    assert code == 0 and any(note.startswith("limits: not compared with those of HEAD: ") for note in notes(found))
