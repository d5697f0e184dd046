"""A folder of published files as the gate meets it: tiny .sqz files, their ledger, and limits. For the tests of the gate."""

from __future__ import annotations

import hashlib
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import tiny_net
import yaml

import compress
from compress.artifact import writer
from compress.gate.check import check
from compress.gate.findings import Finding, exit_code
from compress.layer import Layer, RawTensor
from compress.ledger import ledger

ENCODER = f"squeeze-compress {compress.__version__}"
ROW = ledger.Row(
    run_id="",
    stage="encode",
    parameters=500,
    nonzeros=300,
    bits_per_weight=8.0,
    size_bytes=500,
    ratio_fp32=4.0,
    ratio_alexnet=1e5,
    top1=0.9,
    top5=1.0,
    top1_drop=0.005,
    drop_interval=0.01,
    agreement=0.95,
    mean_kl=0.01,
    test_set="val: 200 images of 2 classes, with labels",
    test_set_sha256="ab" * 32,
    n=200,
    tuned_on="",
    overlap=0,
    not_compressed="",
    recipe_sha256="cd" * 32,
    artifact_sha256=None,
    teacher_sha256="ef" * 32,
    seed=0,
    device="cpu",
    seconds=2.0,
    peak_memory_bytes=1,
    versions="squeeze-compress",
)
GENEROUS = {"max_bytes": 100_000, "min_top1": 0.5, "min_agreement": 0.5, "max_drop": 5, "max_seconds": 100}


@dataclass
class GateFolder:
    """root/artifacts with NAME.sqz, ledger.csv and limits.yaml."""

    root: Path

    @property
    def artifacts(self) -> Path:
        return self.root / "artifacts"

    @property
    def limits(self) -> Path:
        return self.artifacts / "limits.yaml"

    @property
    def ledger(self) -> Path:
        return self.artifacts / "ledger.csv"

    def rows(self) -> list[ledger.Row]:
        return ledger.read(self.ledger) if self.ledger.exists() else []

    def publish(
        self, name: str, net: list[Layer] | None = None, *, options: dict[str, Any] | None = None, **changes: Any
    ) -> Path:
        """Write NAME.sqz and its rows: a stage before, and the file's own on `val`. options: of the writer. changes: of the final
        row; encoder and parent_sha256 of the file's metadata."""
        self.artifacts.mkdir(exist_ok=True)
        path = self.artifacts / name
        metadata = tiny_net.metadata(encoder=changes.pop("encoder", ENCODER), parent_sha256=changes.pop("parent_sha256", None))
        writer.write(path, net or tiny_net.layers(), metadata, **(options or {}))
        data = path.read_bytes()
        run_id = f"{path.stem}-0123abcd"
        facts = {"size_bytes": len(data), "artifact_sha256": hashlib.sha256(data).hexdigest()}
        before = replace(ROW, run_id=run_id, stage="tune", seconds=30.0)
        kept = [row for row in self.rows() if row.run_id != run_id]
        ledger.write(self.ledger, [*kept, before, replace(ROW, run_id=run_id, **(facts | changes))])
        return path

    def change_rows(self, name: str, **changes: Any) -> None:
        """Of the final rows of NAME.sqz."""
        run_id = f"{name.removesuffix('.sqz')}-0123abcd"
        ledger.write(
            self.ledger,
            [replace(row, **changes) if row.run_id == run_id and row.artifact_sha256 else row for row in self.rows()],
        )

    def add_row(self, name: str, **changes: Any) -> None:
        """One more final row, of another set."""
        final = next(row for row in self.rows() if row.artifact_sha256 and row.run_id.startswith(name.removesuffix(".sqz") + "-"))
        ledger.write(self.ledger, [*self.rows(), replace(final, **changes)])

    def limit(self, **artifacts: dict[str, Any]) -> Path:
        """Write limits.yaml. artifacts: by the name without its .sqz."""
        self.limits.write_text(yaml.safe_dump({"artifacts": {f"{name}.sqz": fields for name, fields in artifacts.items()}}))
        return self.limits

    def git(self, *arguments: str) -> str:
        who = [
            "-c",
            "user.name=t",
            "-c",
            "user.email=t@example.org",
            "-c",
            "init.defaultBranch=main",
            "-c",
            "commit.gpgsign=false",
        ]
        done = subprocess.run(["git", *who, *arguments], cwd=self.root, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def commit(self, message: str = "as it is") -> str:
        """Everything; a repository is made by the first. Returns the commit."""
        if not (self.root / ".git").exists():
            self.git("init", "--quiet")
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "-m", message)
        return self.git("rev-parse", "HEAD")


def published(root: Path) -> GateFolder:
    """With net.sqz, its ledger, and limits that it keeps."""
    root.mkdir(exist_ok=True)
    folder = GateFolder(root)
    folder.publish("net.sqz")
    folder.limit(net=GENEROUS)
    return folder


def judged(folder: GateFolder, *files: Path, **options: Any) -> tuple[int, list[Finding]]:
    """The exit code of the gate, and what it found."""
    found = check(folder.limits, files, encoder=ENCODER, **options)
    return exit_code(found), found


def unjudged(found: list[Finding]) -> dict[str, str]:
    """The messages of what could not be judged, by rule."""
    return {finding.rule: finding.message for finding in found if finding.verdict == "could not judge"}


def notes(found: list[Finding]) -> list[str]:
    return [f"{finding.rule}: {finding.message}" for finding in found if finding.verdict == "note"]


def larger_net() -> list[Layer]:
    """tiny_net with some of its layers stored plainly."""
    return [RawTensor(layer.name, layer.values()) if "expand3x3.weight" in layer.name else layer for layer in tiny_net.layers()]
