"""The command line as a whole: help, examples, usage errors, the last frame."""

from __future__ import annotations

import re
import shlex

import pytest
from typer.main import get_command

from cloudq.cli import application
from cloudq.cli.options import Switches


def commands() -> dict[str, object]:
    found: dict[str, object] = {}
    root = get_command(application.application)
    for name, command in root.commands.items():
        for inner, part in getattr(command, "commands", {}).items():
            found[f"{name} {inner}"] = part
        if not hasattr(command, "commands"):
            found[name] = command
    return found


def examples(command) -> list[str]:
    return [line[2:].replace("\\[", "[") for line in command.epilog.split("\n\n") if line.startswith("$ ")]


def test_every_command_is_there():
    """The commands are those that the reference lists."""
    expected = {"worker", "send", "cancel", "result", "demo", "tasks", "stats", "top", "explain", "version", "purge"}
    expected |= {"check-idempotency", "doctor", "pause", "resume", "autoscale-config", "cost"}
    expected |= {f"outbox {name}" for name in ("relay", "status", "retry", "skip", "schema")}
    expected |= {f"inbox {name}" for name in ("schema", "sweep", "forget")}
    expected |= {"queues create", "queues check"}
    expected |= {"store migrate", "store sweep", "idempotency show", "idempotency forget"}
    expected |= {"terraform vars", "terraform check", "migrate-report celery"}
    expected |= {"emulate cloudtasks", "emulate servicebus", "bridge celery"}
    expected |= {f"dlq {name}" for name in ("list", "show", "redrive", "edit", "purge", "export", "import")}
    assert expected == set(commands())


@pytest.mark.parametrize("name", sorted(commands()))
def test_help_shows_an_example(cli, name):
    """`--help` of each command says what it does and ends with an example of it; nothing goes to stderr."""
    result = cli(*name.split(), "--help")
    assert (0, "") == (result.code, result.err)
    assert f"$ cloudq {name}" in result.out
    first = commands()[name].help.split("\n\n")[0]
    assert "".join(first.split()) in re.sub(r"\s|│", "", result.out)


@pytest.mark.parametrize("name", sorted(commands()))
def test_examples_are_valid(name):
    """Each example is a command line that its command accepts."""
    command = commands()[name]
    assert examples(command)
    for example in examples(command):
        words = shlex.split(re.sub(r" [<>] \S+$", "", example))
        assert ["cloudq", *name.split()] == words[: 1 + len(name.split())]
        command.make_context(name, words[1 + len(name.split()) :], obj=Switches())


@pytest.mark.parametrize("group", [(), ("dlq",)])
def test_group_without_a_command_shows_its_help(cli, group):
    """A group alone lists its commands."""
    result = cli(*group)
    assert "Usage" in result.out + result.err
    assert "purge" in result.out + result.err


def test_help_shows_groups(cli):
    """`cloudq --help` orders the commands by what they are for."""
    out = cli("--help").out
    assert out.index("Work") < out.index("send") < out.index("Look") < out.index("stats") < out.index("Repair")


@pytest.mark.parametrize(
    "arguments", [("frobnicate",), ("stats", "--frobnicate"), ("send",), ("worker", "--concurrency", "0")]
)
def test_wrong_usage_is_2(cli, arguments):
    """An unknown command or option, a missing argument and a number out of range end with 2, on stderr only."""
    result = cli(*arguments)
    assert (2, "") == (result.code, result.out)
    assert "Usage" in result.err


def test_near_miss_of_a_command_is_named(cli):
    """A mistyped command suggests the one that was meant."""
    assert "'stats'" in cli("stat").err


def test_version_option(cli):
    """`--version` is `version`."""
    assert cli("version") == cli("--version")
