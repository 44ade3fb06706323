"""The documentation's examples are run: what a reader copies works.

The Python blocks of a page run one after the other, in one process and one empty folder, as a reader would type them:

- ` ```python ` runs, and sees what the blocks before it defined.
- ` ```python title="app.py" ` is written to that file and imported; `append` adds to the file. A `test_*.py` is given
  to pytest.
- A block whose first line is `# not run: REASON` is left out.

Of ` ```console ` blocks each `$ cloudq ...` line has to be one that the command line understands. Of the pages that a
reader follows step by step (`TOURS`) every step is carried out, on the SQLite file that is the default.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from cloudq.cli import main

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^(?P<indent> *)```(?P<info>[^\n`]*)\n(?P<code>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL)
NOT_RUN = re.compile(r"# not run: \S")
# Page, and what its workers print.
TOURS = {
    "README.md": ["welcome, user 42", "welcome, user 43"],
    "docs/quickstart.md": ["welcome, user 42, here since 2026-01-31", "welcome, user 44, here since None"],
}
COMMAND = re.compile(r"^\$ (cloudq .*)$", re.MULTILINE)

# Runs the blocks in order in a namespace that is `__main__`'s, so that tasks get the name that a script's would have.
RUNNER = """
import importlib, json, pathlib, sys
import __main__
sys.path.insert(0, "")
for block in json.loads(pathlib.Path("blocks.json").read_text(encoding="utf-8")):
    file, code = block["file"], block["code"]
    if file is not None:
        with open(file, "a" if block["append"] else "w", encoding="utf-8") as out:
            out.write(code)
        module = file.removesuffix(".py")
        if not file.endswith(".py") or file.startswith("test_"):
            continue
        importlib.invalidate_caches()
        if module in sys.modules:
            importlib.reload(sys.modules[module])
        else:
            importlib.import_module(module)
        continue
    exec(compile(code, block["place"], "exec"), __main__.__dict__)
"""


class Block(msgspec.Struct, frozen=True, kw_only=True):
    """A Python block of a page."""

    place: str
    code: str
    file: str | None
    append: bool


def blocks_of(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    blocks = []
    for match in FENCE.finditer(text):
        language, _, rest = match["info"].strip().partition(" ")
        code = re.sub(rf"^{match['indent']}", "", match["code"], flags=re.MULTILINE)
        if language != "python" or NOT_RUN.match(code):
            continue
        title = re.search(r'title="([^"]+)"', rest)
        line = text[: match.start()].count("\n") + 1
        blocks.append(
            Block(
                place=f"{page.relative_to(ROOT)}:{line}",
                code=code,
                file=title[1] if title else None,
                append=" append" in f" {rest}",
            )
        )
    return blocks


def commands_of(page: Path) -> list[str]:
    return [
        command
        for match in FENCE.finditer(page.read_text(encoding="utf-8"))
        if match["info"].strip().startswith("console")
        for command in COMMAND.findall(re.sub(rf"^{match['indent']}", "", match["code"], flags=re.MULTILINE))
    ]


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def environment() -> dict[str, str]:
    return {**os.environ, "CLOUDQ_URL": "memory://", "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"}


def with_tests(page: Path) -> list[str]:
    """The page's files that are given to pytest."""
    return sorted({block.file for block in blocks_of(page) if block.file and block.file.startswith("test_")})


RUN = [
    pytest.param(page, marks=[pytest.mark.slow] if with_tests(page) else [], id=name_of(page))
    for page in PAGES
    if blocks_of(page)
]


@pytest.mark.parametrize("page", RUN)
def test_python_blocks_run(page: Path, tmp_path: Path) -> None:
    """Every Python block of the page runs, in order, in an empty folder; its tests pass."""
    blocks = blocks_of(page)
    (tmp_path / "blocks.json").write_bytes(msgspec.json.encode(blocks))
    (tmp_path / "shop_page.py").write_text(RUNNER, encoding="utf-8")
    ran = subprocess.run(
        [sys.executable, "shop_page.py"],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    tests = with_tests(page)
    if tests:
        # Beside the project's own settings, none of which a reader has.
        (tmp_path / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
        ran = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", *tests],
            cwd=tmp_path,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert ran.returncode == 0, ran.stdout


def test_pages_are_found() -> None:
    """The pages that a reader starts with have examples that run, so that a change of form can't switch them off."""
    for page, least in (("README.md", 1), ("docs/quickstart.md", 4), ("docs/how-to/test-your-tasks.md", 3)):
        assert len(blocks_of(ROOT / page)) >= least, page
    assert len(commands_of(ROOT / "docs/quickstart.md")) >= 8


@pytest.mark.parametrize("page", [page for page in PAGES if commands_of(page)], ids=name_of)
def test_command_lines_are_understood(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every `$ cloudq` line of the page names a command and options that there are."""
    refused = []
    for line in commands_of(page):
        words = shlex.split(line.partition(" > ")[0], comments=True)
        # With --help the options are parsed and the command isn't run.
        if main([*words[1:], "--help"]):
            refused.append((line, capsys.readouterr().err))
    assert [] == refused


def test_a_wrong_command_line_is_noticed(capsys: pytest.CaptureFixture[str]) -> None:
    """The way in which the test above asks tells an option that there isn't."""
    assert main(["worker", "--no-such-option", "--help"]) != 0
    assert main(["no-such-command", "--help"]) != 0
    assert "no-such" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("name", TOURS)
def test_tours_work_step_by_step(name: str, tmp_path: Path) -> None:
    """Whoever does what the page says, in its order, on the default backend, gets through, and the tasks run."""
    page = ROOT / name
    shell = {key: value for key, value in os.environ.items() if not key.startswith("CLOUDQ_")}
    shell["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{shell['PATH']}"
    printed = ""
    for number, step in enumerate(steps_of(page)):
        if isinstance(step, Block):
            script = tmp_path / (step.file or f"step_{number}.py")
            with script.open("a" if step.append else "w", encoding="utf-8") as out:
                out.write(step.code)
            words = [] if step.file else [sys.executable, script.name]
        else:
            words = shlex.split(step, comments=True)
        if words[:2] == ["cloudq", "worker"] and "--burst" not in words:
            words.append("--burst")  # the reader ends it with Ctrl-C
        if not words or words[0] in {"pip", ".", "make", "python3"}:
            continue
        ran = subprocess.run(words, cwd=tmp_path, env=shell, capture_output=True, text=True, timeout=60, check=False)
        assert ran.returncode == 0, f"{words}\n{ran.stdout}\n{ran.stderr}"
        printed += ran.stdout
    if name == "README.md":
        # There the worker is started first, and goes on running.
        printed += subprocess.run(
            ["cloudq", "worker", "--burst"],
            cwd=tmp_path,
            env=shell,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        ).stdout
    assert [] == [line for line in TOURS[name] if line not in printed]
    assert (tmp_path / "cloudq.db").is_file()


def steps_of(page: Path) -> list[Block | str]:
    """The Python blocks and the shell lines of a page, in its order."""
    blocks = {block.place: block for block in blocks_of(page)}
    steps: list[Block | str] = []
    text = page.read_text(encoding="utf-8")
    for match in FENCE.finditer(text):
        place = f"{page.relative_to(ROOT)}:{text[: match.start()].count(chr(10)) + 1}"
        if place in blocks:
            steps.append(blocks[place])
        elif match["info"].strip().startswith("console"):
            steps += re.findall(r"^\$ (.*)$", match["code"], re.MULTILINE)
    return steps
