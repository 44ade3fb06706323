"""The name of a task that is given none is the one by which a worker imports its function, however the script runs."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

SCRIPT = """
import sys
import cloudq
app = cloudq.App("memory://")

@app.task
def welcome(user_id: int) -> None: ...

sys.stderr.write(f"name={welcome.name}\\n")
"""
RUNPY = "import runpy; runpy.run_path({0!r}{1})"
# The folders hold: a script alone, one in a package, one in a package within a package, in a folder without
# `__init__.py`, one that a package's outer folder of a project has, names that are no module's, a folder to be run.
FILES = {
    "alone.py": SCRIPT,
    "shop/__init__.py": "",
    "shop/__main__.py": SCRIPT,
    "shop/tasks.py": SCRIPT,
    "shop/mail/__init__.py": SCRIPT,
    "shop/mail/tasks.py": SCRIPT,
    "plain/tasks.py": SCRIPT,
    "project/pyproject.toml": '[tool.cloudq]\napp = "outer.app:app"\n',
    "project/outer/tasks.py": SCRIPT,
    "project/outer/inner/__init__.py": "",
    "project/outer/inner/tasks.py": SCRIPT,
    "project/src/outer/deep/tasks.py": SCRIPT,
    "project/scripts/jobs.py": SCRIPT,
    "broken/pyproject.toml": "[tool.cloudq\n",
    "broken/jobs.py": SCRIPT,
    "my-script.py": SCRIPT,
    "class.py": SCRIPT,
    "script": SCRIPT,
    "2024/__init__.py": "",
    "2024/tasks.py": SCRIPT,
    "repository/__init__.py": "",
    "repository/.git/HEAD": "",
    "repository/tasks.py": SCRIPT,
    "folder/__main__.py": SCRIPT,
}
REFUSED = "a worker can't import that"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with scripts of all kinds."""
    folder = tmp_path_factory.mktemp("scripts")
    for name, content in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    with zipfile.ZipFile(folder / "app.pyz", "w") as archive:
        archive.writestr("__main__.py", SCRIPT)
    (folder / "bin").mkdir()
    (folder / "bin" / "link.py").symlink_to(folder / "shop" / "tasks.py")
    return folder


def run(folder: Path, arguments: str | list[str], stdin: str | None = None) -> str:
    """The name that the script's task got, or what it was refused with."""
    arguments = arguments.split() if isinstance(arguments, str) else arguments
    result = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        input=stdin,
        stdin=None if stdin is not None else subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    lines = result.stderr.splitlines()
    named = [line.removeprefix("name=") for line in lines if line.startswith("name=")]
    return named[0] if named else next(line for line in reversed(lines) if "TaskDefinitionError" in line)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ("alone.py", "alone"),
        ("shop/tasks.py", "shop.tasks"),
        ("shop/mail/tasks.py", "shop.mail.tasks"),
        ("shop/mail/__init__.py", "shop.mail"),
        ("shop", "shop.__main__"),
        ("-m shop", "shop.__main__"),
        ("-m shop.tasks", "shop.tasks"),
        ("bin/link.py", "shop.tasks"),
        ("plain/tasks.py", "tasks"),
        ("project/outer/tasks.py", "outer.tasks"),
        ("project/outer/inner/tasks.py", "outer.inner.tasks"),
        ("project/src/outer/deep/tasks.py", "outer.deep.tasks"),
        ("project/scripts/jobs.py", "jobs"),
        ("broken/jobs.py", "jobs"),
        ("2024/tasks.py", "tasks"),
        ("repository/tasks.py", "tasks"),
        ("-m cProfile -o /dev/null shop/tasks.py", "shop.tasks"),
        ("-m cProfile -o /dev/null -m shop.tasks", "shop.tasks"),
        ("-m profile -o /dev/null alone.py", "alone"),
        ("-m trace --count --missing -C /dev/null/x --no-report shop/tasks.py", "shop.tasks"),
        ("-m trace --listfuncs --module shop.tasks", "shop.tasks"),
        ("-m pdb -c continue -c quit shop/tasks.py", "shop.tasks"),
        ("-m pdb -c continue -c quit -m shop.tasks", "shop.tasks"),
        (["-c", RUNPY.format("shop/tasks.py", "")], "shop.tasks"),
        (["-c", RUNPY.format("shop/tasks.py", ", run_name='__main__'")], "shop.tasks"),
        (["-c", RUNPY.format("shop/tasks.py", ", run_name='chosen'")], "chosen"),
        (["-c", "import runpy; runpy.run_module('shop.tasks', run_name='__main__')"], "shop.tasks"),
        (["-c", "import runpy; runpy.run_module('shop.tasks', run_name='__main__', alter_sys=True)"], "shop.tasks"),
        (["-c", "import shop.tasks"], "shop.tasks"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else value,
)
def test_the_name_is_that_of_the_import(place, arguments, name):
    """The packages of a script's folder count, and the project's; a profiler or a debugger around it doesn't."""
    assert f"{name}.welcome" == run(place, arguments)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "stdin", "why"),
    [
        (["-c", SCRIPT], None, "python -c"),
        ("-", SCRIPT, "stdin"),
        ([], SCRIPT, "stdin"),
        ("folder", None, "folder or an archive"),
        ("folder/__main__.py", None, "folder or an archive"),
        ("app.pyz", None, "folder or an archive"),
        ("my-script.py", None, "'my-script'"),
        ("class.py", None, "'class'"),
        ("script", None, "doesn't end with .py"),
        (["-c", f"exec({SCRIPT!r}, {{}})"], None, "session"),
    ],
    ids=[
        "-c", "-", "stdin", "folder", "folder/__main__", "zip", "a hyphen", "a keyword", "no suffix", "exec"
    ],
)  # fmt: skip
def test_what_no_worker_could_import_is_refused_with_the_way_out(place, arguments, stdin, why):
    """It says where the task is declared, why that has no name, and that one can be given."""
    refused = run(place, arguments, stdin)
    assert REFUSED in refused
    assert why in refused


@pytest.mark.slow
def test_what_has_a_name_may_be_declared_anywhere(place):
    """A name that is given makes any place good."""
    script = SCRIPT.replace("@app.task", '@app.task("shop")')
    assert "shop" == run(place, ["-c", script])
    assert "shop" == run(place, "-", script)


@pytest.mark.slow
def test_within_a_folder_its_own_scripts_are_packages_only_in_a_project(place):
    """`cloudq worker` there goes by the same: a deployed folder that happens to have an `__init__.py` is no package."""
    assert "tasks.welcome" == run(place / "shop", "tasks.py")
    assert "tasks.welcome" == run(place / "shop" / "mail", "../tasks.py")
    assert "outer.inner.tasks.welcome" == run(place / "project" / "outer" / "inner", "tasks.py")


@pytest.mark.slow
def test_a_spawned_process_gives_the_same_names(place):
    """multiprocessing runs the script once more, as `__mp_main__`."""
    (place / "shop" / "spawning.py").write_text(
        SCRIPT
        + "def name() -> str:\n    return welcome.name\n\n"
        + 'if __name__ == "__main__":\n'
        + "    import multiprocessing\n"
        + "    with multiprocessing.get_context('spawn').Pool(1) as pool:\n"
        + "        assert pool.apply(name) == welcome.name == 'shop.spawning.welcome'\n"
    )
    for arguments in ("shop/spawning.py", "-m shop.spawning"):
        assert "shop.spawning.welcome" == run(place, arguments)
