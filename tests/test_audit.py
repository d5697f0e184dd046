""".ci/audit, with something in pip-audit's place: it fails for a vulnerability, and for nothing else."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CLEAN = {"name": "numpy", "version": "2.4.6", "vulns": []}
UNKNOWN = {"name": "torch", "skip_reason": "Dependency not found on PyPI"}
FLAWED = {"name": "pillow", "version": "9.0.0", "vulns": [{"id": "PYSEC-2022-8", "fix_versions": ["9.0.1"]}]}


def answer(*packages):
    return f"print({json.dumps(json.dumps({'dependencies': packages}))})"


@pytest.mark.parametrize(
    ("script", "code", "said"),
    [
        (answer(CLEAN), 0, "audit: 1 versions looked up, 0 known vulnerabilities"),
        (answer(CLEAN, FLAWED), 1, "pillow 9.0.0: PYSEC-2022-8, fixed in 9.0.1"),
        (answer(CLEAN, UNKNOWN), 0, "audit: not done for 1 of 2 versions, which the advisory service does not know: torch"),
        (answer(FLAWED, UNKNOWN), 1, "audit: not done for 1 of 2 versions"),
        ("raise SystemExit('requests.exceptions.ConnectionError: no route')", 0, "audit: not done: requests.exceptions.Connec"),
    ],
    ids=["clean", "flawed", "unknown", "flawed and unknown", "no network"],
)
def test_only_a_known_vulnerability_fails(tmp_path, script, code, said):
    command = tmp_path / "pip-audit"
    command.write_text(f"#!{sys.executable}\n{script}\n")
    command.chmod(0o755)
    arguments = [sys.executable, str(ROOT / ".ci" / "audit"), str(ROOT / "constraints.txt")]
    done = subprocess.run(arguments, capture_output=True, text=True, env={**os.environ, "PIP_AUDIT": str(command)}, check=False)
    assert done.returncode == code and said in done.stdout, done.stderr


def test_ci_audits():
    assert "make audit" in (ROOT / ".ci" / "run").read_text()
