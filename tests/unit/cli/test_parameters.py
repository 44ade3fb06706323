"""How commands declare what they take: typer makes the same of it in its own words."""

from __future__ import annotations

from typing import Annotated

import pytest

from cloudq.cli.application import _for_typer
from cloudq.cli.parameters import Argument, Option


def command(
    name: Annotated[str, Argument(metavar="NAME", help="Whose.", show_default=False)],
    count: Annotated[int, Option("--count", "-c", metavar="N", min=1, max=3, panel="Much", help="How many.")] = 2,
) -> None:
    print(name, count)


@pytest.fixture
def made():
    import typer
    from typer.main import get_command

    application = typer.Typer()
    application.command()(_for_typer(command))
    return get_command(application)


def test_all_that_is_declared_reaches_typer(made):
    """Names, help, placeholders, bounds, headings."""
    name, count = made.params[:2]
    assert ("NAME", "Whose.", False) == (name.metavar, name.help, name.show_default)
    assert (["--count", "-c"], "N", "How many.", "Much") == (
        sorted(count.opts, reverse=False),
        count.metavar,
        count.help,
        count.rich_help_panel,
    )


@pytest.mark.parametrize("words", [["x", "--count", "0"], ["x", "-c", "4"], [], ["x", "-c", "two"]])
def test_bounds_and_kinds_hold(made, words):
    """What doesn't fit is typer's mistake to explain: exit code 2."""
    with pytest.raises(SystemExit) as end:
        made.main(words)
    assert 2 == end.value.code


def test_the_function_is_called_with_what_was_given(made, capsys):
    """By name, and with its own default for what was left out."""
    with pytest.raises(SystemExit):
        made.main(["x"])
    assert "x 2\n" == capsys.readouterr().out
