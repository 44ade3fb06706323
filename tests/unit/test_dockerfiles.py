"""The Dockerfiles that the documentation shows: clean under hadolint, and a worker's ends by SIGTERM."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from cloudq.cli import main

ROOT = Path(__file__).parents[2]
DOCKERFILES = sorted(path for folder in ("docs", "terraform") for path in (ROOT / folder).rglob("Dockerfile"))
WORKER = ROOT / "docs/how-to/containers/Dockerfile"
INSTRUCTION = re.compile(r"^([A-Z]+)\s+((?:.*\\\n)*.*)$", re.MULTILINE)


def last_stage(text: str) -> list[tuple[str, str]]:
    """The instructions of the image that is left in the end."""
    instructions = INSTRUCTION.findall(text)
    starts = [number for number, (word, _) in enumerate(instructions) if word == "FROM"]
    return instructions[starts[-1] :]


def lint(path: Path) -> subprocess.CompletedProcess[str]:
    command = [Path(sys.executable).parent / "hadolint", "--no-color", "--failure-threshold", "style", path]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", DOCKERFILES, ids=name_of)
def test_hadolint_finds_nothing(path: Path) -> None:
    """Not even a matter of style, and no rule is switched off."""
    assert "hadolint ignore" not in path.read_text(encoding="utf-8")
    found = lint(path)
    assert (found.returncode, found.stdout) == (0, ""), found.stdout + found.stderr


def test_hadolint_finds_what_is_wrong(tmp_path: Path) -> None:
    """A CMD without brackets, for one: then a shell is process 1, and the worker never learns of SIGTERM."""
    wrong = tmp_path / "Dockerfile"
    wrong.write_text(re.sub(r"^CMD .*$", "CMD cloudq worker", WORKER.read_text("utf-8"), flags=re.MULTILINE))
    found = lint(wrong)
    assert found.returncode != 0
    assert "DL3025" in found.stdout


def test_they_are_found() -> None:
    """The worker's, and the Lambda function's."""
    assert WORKER in DOCKERFILES
    assert len(DOCKERFILES) >= 2


def test_the_worker_gets_sigterm() -> None:
    """An init is process 1 and the worker its child, with no shell between; what stops it is SIGTERM."""
    stage = dict(last_stage(WORKER.read_text(encoding="utf-8")))
    assert json.loads(stage["ENTRYPOINT"]) == ["tini", "--"]
    command = json.loads(stage["CMD"])
    assert command[:2] == ["cloudq", "worker"]
    assert stage["STOPSIGNAL"] == "SIGTERM"


def test_the_workers_command_is_understood(capsys: pytest.CaptureFixture[str]) -> None:
    """CMD is a command line of cloudq's."""
    command = json.loads(dict(last_stage(WORKER.read_text(encoding="utf-8")))["CMD"])
    assert main([*command[1:], "--help"]) == 0, capsys.readouterr().err


def test_the_worker_is_not_root() -> None:
    """The user is given by number, is not root, and nothing is done as another one after that."""
    stage = last_stage(WORKER.read_text(encoding="utf-8"))
    users = [argument for word, argument in stage if word == "USER"]
    assert len(users) == 1
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", users[0])
    after = [word for word, _ in stage[[word for word, _ in stage].index("USER") + 1 :]]
    assert set(after) == {"STOPSIGNAL", "ENTRYPOINT", "CMD"}


def test_the_image_is_slim() -> None:
    """What builds isn't in it: the last stage takes the environment over from the first, and cleans up after apt."""
    text = WORKER.read_text(encoding="utf-8")
    assert all("-slim" in base for base in re.findall(r"^FROM (\S+)", text, re.MULTILINE))
    stage = last_stage(text)
    assert [argument for word, argument in stage if word == "COPY"] == ["--from=build /venv /venv"]
    [installed] = [argument for word, argument in stage if word == "RUN"]
    assert "--no-install-recommends" in installed
    assert "rm -rf /var/lib/apt/lists/*" in installed
