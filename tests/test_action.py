"""action.yml, the GitLab example and the pre-commit hook: their shell steps, run with the environment that those systems set."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import gate_folder
import pytest
import tiny_net
import yaml

import compress
from compress.layer import RawTensor

ROOT = Path(__file__).parent.parent
ACTION = yaml.safe_load((ROOT / "action.yml").read_text())
STEPS = {step["name"]: step for step in ACTION["runs"]["steps"] if "run" in step}
GITLAB = yaml.safe_load((ROOT / "examples" / "gitlab-ci.yml").read_text())["check-artifacts"]
WORKFLOW = yaml.safe_load((ROOT / "examples" / "github-workflow.yml").read_text())
[HOOK] = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
EXPRESSION = re.compile(r"\$\{\{\s*(.+?)\s*\}\}")

pytestmark = pytest.mark.skipif(shutil.which("bash") is None or shutil.which("git") is None, reason="needs bash and git")


@pytest.fixture
def folder(tmp_path):
    """A repository of which `main` has net.sqz, its ledger and limits with max_growth; a branch is checked out."""
    found = gate_folder.published(tmp_path / "project")
    found.limit(net=gate_folder.GENEROUS | {"max_growth": "1%"})
    found.commit()
    found.git("checkout", "--quiet", "-b", "branch")
    return found


def commit_a_larger_net(folder):
    wide = [RawTensor(layer.name, layer.values()) if "features" in layer.name else layer for layer in tiny_net.layers()]
    folder.publish("net.sqz", wide)
    folder.commit("larger")


RECORDER = '#!/bin/sh\nprintf "%s\\0" "$@" >> "{file}"\nexit {code}\n'


def command(path, text):
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_text(text)
    path.chmod(0o755)


def recorded(file):
    """The arguments that a RECORDER was called with."""
    return file.read_text().split("\0")[:-1]


def run(script, folder, tmp_path, *, stand_in=None, **variables):
    """As the runners do: bash, ending at the first command that fails, with the variables, in the checkout. `python` only writes
    down how it was called, and so does `squeeze-compress` where stand_in is the exit code that it is to have."""
    own = f'#!/bin/sh\nexec "{sys.executable}" -m compress "$@"\n'
    command(tmp_path / "bin" / "python", RECORDER.format(file=tmp_path / "python calls", code=0))
    stands_in = RECORDER.format(file=tmp_path / "check calls", code=stand_in)
    command(tmp_path / "bin" / "squeeze-compress", own if stand_in is None else stands_in)
    inherited = {key: os.environ[key] for key in ("HOME", "LANG", "NUMBA_CACHE_DIR") if key in os.environ}
    environment = inherited | {"PATH": f"{tmp_path}/bin:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)} | variables
    file = tmp_path / "script.sh"
    file.write_text(script)
    whole = ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(file)]
    return subprocess.run(whole, cwd=folder.root, env=environment, capture_output=True, text=True, check=False)


# --- GitHub -------------------------------------------------------------------------------------------------------------


def act(folder, tmp_path, stand_in=None, **inputs):
    """The step Check, with the inputs of a workflow. Returns what it did, the outputs, and the step summary."""
    values = {name: each.get("default", "") for name, each in ACTION["inputs"].items()} | inputs
    variables = {
        name: EXPRESSION.sub(lambda m: values[m[1].removeprefix("inputs.")], v) for name, v in STEPS["Check"]["env"].items()
    }
    output, summary = tmp_path / "output", tmp_path / "summary"
    output.touch()
    places = {"GITHUB_OUTPUT": str(output), "GITHUB_STEP_SUMMARY": str(summary)}
    done = run(STEPS["Check"]["run"], folder, tmp_path, stand_in=stand_in, **places, **variables)
    return done, output.read_text(), summary.read_text() if summary.exists() else ""


def test_the_action_passes(folder, tmp_path):
    done, output, summary = act(folder, tmp_path, against="main")
    assert done.returncode == 0, done.stderr
    assert output == "exit-code=0\n" and "### squeeze-compress check: passed" in summary and "max\\_growth" in summary
    assert "::error" not in done.stdout


def test_the_action_fails_on_growth(folder, tmp_path):
    commit_a_larger_net(folder)
    done, output, summary = act(folder, tmp_path, against="main")
    assert done.returncode == 1 and output == "exit-code=1\n" and "check: FAILED" in summary
    [annotation] = [line for line in done.stdout.splitlines() if line.startswith("::error")]
    assert annotation.startswith("::error file=artifacts/net.sqz,title=max_growth%3A failed::+") and "%0Afeatures." in annotation


def test_the_action_fails_where_it_cannot_judge(folder, tmp_path):
    done, output, summary = act(folder, tmp_path, against="origin/nothing")
    assert done.returncode == 2 and output == "exit-code=2\n", done.stdout + done.stderr
    assert "::error" in done.stdout and "no such git reference here" in done.stdout and "could not judge" in summary


@pytest.mark.parametrize("code", [0, 1, 2, 130])
def test_the_actions_exit_code_is_the_commands(folder, tmp_path, code):
    done, output, _ = act(folder, tmp_path, stand_in=code)
    assert (done.returncode, output) == (code, f"exit-code={code}\n")
    assert recorded(tmp_path / "check calls") == ["check", "--limits=artifacts/limits.yaml", "--format=github", "--"]


def test_files_and_names_come_a_line_each(folder, tmp_path):
    names = {"allow-new": "a b.sqz\n\n-c.sqz", "allow-removed": "d e.sqz\nf.sqz\n"}
    act(folder, tmp_path, 0, files="artifacts/a b.sqz\n-c.sqz\n", **names)
    assert recorded(tmp_path / "check calls")[3:] == [
        "--allow-new=a b.sqz",
        "--allow-new=-c.sqz",
        "--allow-removed=d e.sqz",
        "--allow-removed=f.sqz",
        "--",
        "artifacts/a b.sqz",
        "-c.sqz",
    ]


def test_an_input_is_never_run(folder, tmp_path):
    evil = '"; touch owned; echo "$(touch owned)`touch owned`; ${HOME} * &'
    act(folder, tmp_path, 0, **{**dict.fromkeys(ACTION["inputs"], evil), "limits": f"{evil}\ntouch owned"})
    assert recorded(tmp_path / "check calls") == [
        "check",
        f"--limits={evil}\ntouch owned",
        f"--format={evil}",
        f"--against={evil}",
        f"--allow-new={evil}",
        f"--allow-removed={evil}",
        "--",
        evil,
    ]
    assert not (folder.root / "owned").exists()


@pytest.mark.parametrize("name", STEPS)
def test_no_expression_is_in_a_script(name):
    assert not EXPRESSION.search(STEPS[name]["run"]) and STEPS[name]["shell"] == "bash"


def test_every_input_is_used_and_described():
    used = {m for step in STEPS.values() for value in step["env"].values() for m in EXPRESSION.findall(value)}
    assert {each.removeprefix("inputs.") for each in used if each.startswith("inputs.")} == set(ACTION["inputs"])
    assert all(each["description"] for each in ACTION["inputs"].values())


@pytest.mark.parametrize(
    ("version", "package"), [("", "/the/action"), ("0.1.0", "squeeze-compress==0.1.0"), ("1; x", "squeeze-compress==1; x")]
)
def test_the_step_that_installs(folder, tmp_path, version, package):
    place = tmp_path / "temp" / "squeeze-compress" / "bin"
    command(place / "python", RECORDER.format(file=tmp_path / "pip calls", code=0))
    known = {"RUNNER_TEMP": str(tmp_path / "temp"), "GITHUB_PATH": str(tmp_path / "path")}
    done = run(STEPS["Install"]["run"], folder, tmp_path, VERSION=version, ACTION_PATH="/the/action", **known)
    assert done.returncode == 0, done.stderr
    assert recorded(tmp_path / "python calls") == ["-I", "-m", "venv", f"{tmp_path}/temp/squeeze-compress"]
    assert recorded(tmp_path / "pip calls")[:3] == ["-I", "-m", "pip"]
    assert recorded(tmp_path / "pip calls")[-1] == package and (tmp_path / "path").read_text() == f"{place}\n"


def test_the_example_workflow_fetches_the_baseline_and_names_inputs_that_exist():
    checkout, check = WORKFLOW["jobs"]["check"]["steps"]
    assert checkout["with"]["fetch-depth"] == 0 and set(check["with"]) <= set(ACTION["inputs"])
    assert WORKFLOW["permissions"] == {"contents": "read"}


# --- GitLab -------------------------------------------------------------------------------------------------------------


def gitlab(folder, tmp_path, target="main"):
    """The job in a clone, as GitLab makes one: the merge request's commit alone, without branches."""
    clone = gate_folder.GateFolder(tmp_path / "clone")
    folder.git("clone", "--quiet", "--no-checkout", f"file://{folder.root}", str(clone.root))
    clone.git("checkout", "--quiet", "--detach", folder.git("rev-parse", "branch"))
    script = "\n".join([*GITLAB["before_script"], *GITLAB["script"]])
    variables = {"CI": "true", "GITLAB_CI": "true", "CI_PIPELINE_SOURCE": "merge_request_event", **GITLAB["variables"]}
    return run(script, clone, tmp_path, CI_MERGE_REQUEST_TARGET_BRANCH_NAME=target, **variables), clone.root / "gate.xml"


def test_gitlab_passes(folder, tmp_path):
    done, report = gitlab(folder, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "max_growth    pass" in done.stdout and ElementTree.fromstring(report.read_text()).get("errors") == "0"
    package = f"squeeze-compress=={compress.__version__}"
    assert recorded(tmp_path / "python calls") == ["-I", "-m", "pip", "install", "--quiet", package]
    assert GITLAB["artifacts"]["reports"]["junit"] == report.name and GITLAB["artifacts"]["when"] == "always"


def test_gitlab_fails_on_growth_and_shows_it(folder, tmp_path):
    commit_a_larger_net(folder)
    done, report = gitlab(folder, tmp_path)
    assert done.returncode == 1 and ElementTree.fromstring(report.read_text()).get("failures") == "1"


@pytest.mark.parametrize("target", ["nothing", "", "$(touch owned)", "--upload-pack=touch owned"])
def test_gitlab_without_its_target_branch_fails(folder, tmp_path, target):
    done, report = gitlab(folder, tmp_path, target)
    assert done.returncode not in (0, 1) and not report.exists() and not (tmp_path / "clone" / "owned").exists()


# --- pre-commit ---------------------------------------------------------------------------------------------------------


def commit_with_the_hook(folder, tmp_path):
    """git commit, with the hook's command as .git/hooks/pre-commit: git sets GIT_INDEX_FILE and the like around it."""
    hook = folder.root / ".git" / "hooks" / "pre-commit"
    hook.write_text("#!/bin/sh\nexec " + shlex.join([*shlex.split(HOOK["entry"]), *HOOK["args"]]) + "\n")
    hook.chmod(0o755)
    script = "git -c user.name=t -c user.email=t@example.org commit --quiet --all --allow-empty -m next"
    return run(script, folder, tmp_path)


def test_the_hook_lets_a_commit_pass(folder, tmp_path):
    before = folder.git("rev-parse", "HEAD")
    done = commit_with_the_hook(folder, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert folder.git("rev-parse", "HEAD~1") == before


def test_the_hook_stops_a_larger_net(folder, tmp_path):
    before = folder.git("rev-parse", "HEAD")
    wide = [RawTensor(layer.name, layer.values()) for layer in tiny_net.layers()]
    folder.publish("net.sqz", wide)
    done = commit_with_the_hook(folder, tmp_path)
    assert done.returncode == 1 and "max_growth    FAILED" in done.stdout + done.stderr
    assert folder.git("rev-parse", "HEAD") == before


def test_the_hook_runs_at_every_commit():
    """pre-commit calls a hook for the files that a commit adds or changes: without always_run not for one that deletes."""
    assert HOOK["always_run"] is True and HOOK["pass_filenames"] is False and HOOK["language"] == "python"
    assert HOOK.keys().isdisjoint({"files", "exclude", "types", "types_or", "exclude_types", "stages"})


def test_the_hook_stops_a_commit_that_deletes_an_artifact_and_its_limits(folder, tmp_path):
    folder.publish("two.sqz")
    folder.limit(net=gate_folder.GENEROUS, two=gate_folder.GENEROUS)
    before = folder.commit()
    (folder.artifacts / "two.sqz").unlink()
    folder.limit(net=gate_folder.GENEROUS)
    done = commit_with_the_hook(folder, tmp_path)
    assert done.returncode != 0 and "two.sqz: in HEAD, and gone" in done.stdout + done.stderr
    assert folder.git("rev-parse", "HEAD") == before


@pytest.mark.parametrize("module", ["venv", "pip"])
def test_no_module_of_the_checkout_is_run(tmp_path, module):
    """By the very options that action.yml and the GitLab example give."""
    scripts = "\n".join([STEPS["Install"]["run"], *GITLAB["before_script"]])
    assert set(re.findall(r'python"? (.*?-m \w+)', scripts)) == {"-I -m venv", "-I -m pip"}
    (tmp_path / f"{module}.py").write_text("import sys; sys.exit('of the checkout')\n")

    def said(*options):
        whole = [sys.executable, *options, "-m", module, "--help"]
        return subprocess.run(whole, cwd=tmp_path, capture_output=True, text=True, check=False).stderr

    assert "of the checkout" in said() and "of the checkout" not in said("-I")
