"""The direct way: what it reads is what typer reads, and what isn't plain is left to typer."""

from __future__ import annotations

import functools
import inspect
import itertools
import random
import re
import shlex
import subprocess
import sys
from functools import cache
from typing import Any

import pytest
import typer
from typer.main import get_command

from cloudq.cli import application, direct, send, worker
from cloudq.cli.options import Switches

FUNCTIONS = {"worker": worker.worker, "send": send.send}
EXAMPLES = [*worker.EXAMPLES, *send.EXAMPLES]
# For each kind of option, what may stand for its value.
VALUES = (
    "1",
    "0",
    "-1",
    "+5",
    "007",
    " 3",
    "1_0",
    "5.0",
    "1e3",
    "99999999999",
    "x",
    "",
    "-",
    "a=b",
    "--strict",
    "٣",
    "1,2",
    "emails=5",
)
STRAYS = (
    "-h",
    "--help",
    "--debug",
    "--",
    "-x",
    "--no",
    "--burs",
    "--burst=1",
    "--no-burst",
    "-q",
    "t",
    "{}",
    "-",
    "--queue=",
    "-qx",
)


@cache
def _recorder(name: str) -> tuple[Any, list[dict[str, object]]]:
    """The command as typer makes it, which notes what it is called with."""
    calls: list[dict[str, object]] = []
    recording = typer.Typer(context_settings={"help_option_names": ["-h", "--help"]})
    noting = functools.wraps(FUNCTIONS[name])(lambda **given: calls.append(given))
    recording.command()(application._for_typer(noting))
    return get_command(recording), calls


def _by_typer(name: str, words: list[str]) -> dict[str, object] | None:
    """What typer calls the function with; `None` where it doesn't."""
    command, calls = _recorder(name)
    calls.clear()
    with pytest.raises(SystemExit):
        command.main(words, obj=Switches())
    return calls[0] if calls else None


def _by_us(name: str, words: list[str]) -> dict[str, object] | None:
    """The same by the direct way, with the defaults of what wasn't given."""
    given = direct.arguments_of(FUNCTIONS[name], words)
    if given is None:
        return None
    defaults = {
        n: p.default for n, p in inspect.signature(FUNCTIONS[name]).parameters.items() if p.default is not p.empty
    }
    return {**defaults, **given}


@pytest.mark.parametrize("example", EXAMPLES)
def test_examples_go_the_direct_way(example):
    """Each one, with what typer reads there."""
    name, *words = shlex.split(re.sub(r" [<>] \S+$", "", example))[1:]
    assert _by_typer(name, words) == _by_us(name, words) is not None


@pytest.mark.parametrize("name", FUNCTIONS)
def test_each_option_is_read_as_typer_reads_it(name):
    """With each of many values, by `=` and by the next word; or it is left to typer."""
    known = [option.said.name for option in direct._declared(FUNCTIONS[name]) if hasattr(option.said, "name")]
    base = ["t"] if name == "send" else []
    read = 0
    for option, value in itertools.product(known, VALUES):
        for words in ([*base, option, value], [*base, f"{option}={value}"], [option, value, *base], [*base, option]):
            if (ours := _by_us(name, words)) is not None:
                read += 1
                assert _by_typer(name, words) == ours, words
    assert read > len(known)


def test_any_mixture_is_read_as_typer_reads_it():
    """Options, values, strays in any order: what the direct way reads, typer reads alike."""
    chosen = random.Random(5)
    read = 0
    for _ in range(1500):
        name = chosen.choice(list(FUNCTIONS))
        known = [option.said.name for option in direct._declared(FUNCTIONS[name]) if hasattr(option.said, "name")]
        pool = [*known, *known, *VALUES, *STRAYS] if chosen.random() < 0.5 else [*known, "5", "10", "emails", "t"]
        words = chosen.choices(pool, k=chosen.randrange(5))
        if (ours := _by_us(name, words)) is not None:
            read += 1
            assert _by_typer(name, words) == ours, words
    assert read > 50


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["stats"],
        ["--debug", "worker"],
        ["worker", "--help"],
        ["worker", "--debug"],
        ["worker", "--concurrency", "0"],
        ["worker", "--concurrency", "5", "--concurrency", "6"],
        ["worker", "--queue"],
        ["worker", "extra"],
        ["worker", "--burst=yes"],
        ["worker", "--port", "70000"],
        ["send"],
    ],
    ids=" ".join,
)
def test_what_is_not_plain_is_left_to_typer(words):
    """Help, mistakes, other commands, an option twice."""
    assert direct.command_of(words) is None


def test_a_shell_that_completes_is_answered_by_typer(monkeypatch):
    """It asks by a variable."""
    monkeypatch.setenv("_CLOUDQ_COMPLETE", "complete_bash")
    assert direct.command_of(["worker"]) is None


@pytest.mark.slow
def test_a_worker_and_a_send_load_no_typer(tmp_path):
    """Nor pydantic, rich, or the other commands, which take longer to load than all that a worker needs."""
    (tmp_path / "shop.py").write_text("import cloudq\n@cloudq.task('t')\ndef t() -> None: ...\n")
    source = (
        "import sys; from cloudq.cli import main; code = main(sys.argv[1:]); "
        "unwanted = {'typer', 'click', 'rich', 'pydantic', 'cloudq.push.events', 'cloudq.cli.purging'}; "
        "print(code, sorted(unwanted & set(sys.modules)))"
    )
    for words in (["send", "t", "--app", "shop"], ["worker", "--app", "shop", "--burst"]):
        ran = subprocess.run(
            [sys.executable, "-c", source, *words, "--backend", "sqlite:///q.db"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert "0 []" == ran.stdout.splitlines()[-1], ran.stderr
