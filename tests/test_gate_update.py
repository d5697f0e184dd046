import gate_folder
import pytest
import yaml

from compress.errors import InputError, LimitsError
from compress.gate import limits, update
from compress.gate.check import check
from compress.gate.findings import exit_code
from compress.gate.update import Margins

MARGINS = Margins(percent=1.0, points=0.5)


@pytest.fixture
def folder(tmp_path):
    return gate_folder.published(tmp_path / "project")


def updated(folder, margins=MARGINS):
    old, found = update.evidence_of_all(folder.limits, encoder=gate_folder.ENCODER)
    new = update.new_limits(old, found, margins)
    return new, update.write(folder.limits, new)


def of(folder, name="net.sqz"):
    return yaml.safe_load(folder.limits.read_text())["artifacts"][name]


def test_limits_from_nothing(folder):
    folder.limits.unlink()
    folder.add_row(
        "net.sqz",
        stage="report bundled",
        test_set_sha256="cc" * 32,
        top1=None,
        top5=None,
        top1_drop=None,
        drop_interval=None,
        agreement=0.71,
    )
    updated(folder)
    size = (folder.artifacts / "net.sqz").stat().st_size
    assert of(folder) == {
        "max_bytes": -(-size * 101 // 100),
        "min_top1": {"val": 0.895},
        "min_agreement": {"val": 0.945, "bundled": 0.705},
        "max_drop": {"val": 1.0},
    }
    assert folder.limits.read_text().startswith("# Limits of `squeeze-compress check --limits`")
    assert exit_code(check(folder.limits, encoder=gate_folder.ENCODER)) == 0


def test_the_same_fields_in_the_same_form(folder):
    folder.limit(
        net={"max_bytes": 5, "min_top1": 0.1, "min_agreement": {"val": 0.2}, "max_growth": "0.5%", "max_seconds": 7}
        | {"measure": [{"set": "folder:val"}, {"set": ["bundled", "folder:a"], "teacher": "x.pt"}]}
    )
    folder.add_row("net.sqz", stage="report other", test_set_sha256="cc" * 32, top1=0.8, agreement=0.5)
    new, _ = updated(folder)
    found = of(folder)
    assert found.pop("max_bytes") > 5
    assert found == {
        "min_top1": 0.795,  # one number for every set: the least of them
        "min_agreement": {"val": 0.945},
        "max_growth": "0.5%",
        "max_seconds": 34.4,  # 34, 1%, rounded up
        "measure": [{"set": "folder:val"}, {"set": ["bundled", "folder:a"], "teacher": "x.pt"}],
    }
    assert limits.load(folder.limits) == new


def test_a_margin_of_nothing_is_what_is(folder):
    folder.limits.unlink()
    updated(folder, Margins(percent=0, points=0))
    size = (folder.artifacts / "net.sqz").stat().st_size
    assert of(folder) == {"max_bytes": size, "min_top1": {"val": 0.9}, "min_agreement": {"val": 0.95}, "max_drop": {"val": 0.5}}
    found = check(folder.limits, encoder=gate_folder.ENCODER)
    assert exit_code(found) == 0 and all(f.headroom == 0 for f in found if f.headroom is not None)


@pytest.mark.parametrize("figure", [0.527, 1 / 3, 0.123456, 0.00999999, 1.0, 0.0])
def test_what_is_written_passes_whatever_the_figure(folder, figure):
    folder.limits.unlink()
    folder.change_rows("net.sqz", top1=figure, agreement=figure, top1_drop=-figure, seconds=10 + figure)
    updated(folder, Margins(percent=0, points=0))
    folder.limits.write_text(folder.limits.read_text().replace("net.sqz:\n", "net.sqz:\n    max_seconds: 1\n"))
    updated(folder, Margins(percent=0, points=0))
    assert exit_code(check(folder.limits, encoder=gate_folder.ENCODER)) == 0
    assert all(abs(of(folder)[rule]["val"] - figure) < 1e-4 for rule in ("min_top1", "min_agreement"))


def test_the_comments_at_the_top_are_kept_and_others_counted(folder):
    folder.limits.write_text("# why these\n\n# and who\nartifacts:\n  # inside\n  net.sqz: {max_bytes: 5}  # here too\n")
    _, n_lost = updated(folder)
    assert folder.limits.read_text().startswith("# why these\n\n# and who\nartifacts:\n") and n_lost == 2


def test_a_second_update_changes_nothing(folder):
    updated(folder)
    before = folder.limits.read_bytes()
    assert updated(folder)[1] == 0 and folder.limits.read_bytes() == before


def test_a_new_artifact_comes_last(folder):
    folder.publish("another.sqz")
    updated(folder)
    assert list(yaml.safe_load(folder.limits.read_text())["artifacts"]) == ["net.sqz", "another.sqz"]


def break_ledger(folder):
    folder.change_rows("net.sqz", artifact_sha256="00" * 32)


def damage(folder):
    path = folder.artifacts / "net.sqz"
    path.write_bytes(path.read_bytes()[:-1])


def lose(folder):
    (folder.artifacts / "net.sqz").unlink()


def nan(folder):
    folder.change_rows("net.sqz", top1=float("nan"))


def overlap(folder):
    folder.change_rows("net.sqz", overlap=3)


def contradict(folder):
    folder.add_row("net.sqz", run_id="net-ffffffff", top1=0.99)


def hide(folder):
    (folder.artifacts / "sub").mkdir()
    folder.publish("sub/x.sqz")


def unknown_set(folder):
    folder.limit(net={"min_top1": {"gone": 0.5}})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (break_ledger, "limits.yaml: not written\n.*net.sqz: ledger: sha256 is "),
        (damage, "limits.yaml: not written\n.*net.sqz: decodes: .*truncated"),
        (lose, "limits.yaml: not written\n.*net.sqz: decodes: .*No such file"),
        (nan, r"ledger\.csv:3: .* top1: 'nan', must be a number in \[0, 1\]"),
        (overlap, r"net\.sqz: val: 3 of its pictures were tuned or chosen by"),
        (contradict, r"net\.sqz: ledger: val: the ledger says two things: "),
        (hide, r"not written\nit cannot name sub/x\.sqz: an artifact lies beside it, and its name ends in \.sqz"),
        (unknown_set, "net.sqz: min_top1: the ledger has no figure of set gone; it has val"),
    ],
)
def test_nothing_is_written_from_what_would_not_pass(folder, change, message):
    change(folder)
    before = folder.limits.read_bytes()
    with pytest.raises(InputError, match=message):
        updated(folder)
    assert folder.limits.read_bytes() == before


def test_bad_limits_and_an_empty_folder(folder):
    folder.limits.write_text("artifacts: 3")
    with pytest.raises(LimitsError, match=r"limits\.yaml:1: artifacts"):
        updated(folder)
    folder.limits.unlink()
    lose(folder)
    with pytest.raises(InputError, match=r"limits\.yaml: not written\nno \.sqz file beside it"):
        updated(folder)


def test_a_gain_is_not_asked_for_again(folder):
    folder.limits.unlink()
    folder.change_rows("net.sqz", top1_drop=-0.03)
    updated(folder)
    assert of(folder)["max_drop"] == {"val": 0}
