"""`Option` and `Argument`: how a command's function says what it takes from the command line, in `Annotated`.

They have two readers: typer, for help, completion, mistakes and most commands (`application`), and `direct`, for the
commands that programs start.
"""

from __future__ import annotations

import msgspec


class Option(msgspec.Struct, frozen=True):
    """What is given by name: `--queue NAME`; of a `bool`, a switch.

    Attributes:
        name: With its dashes.
        short: Another name, of one dash.
        help: What it is for.
        metavar: What stands for the value in the help.
        min: The least number.
        max: The greatest number.
        panel: Under which heading the help shows it.
    """

    name: str
    short: str | None = None
    help: str = ""
    metavar: str | None = None
    min: int | None = None
    max: int | None = None
    panel: str | None = None


class Argument(msgspec.Struct, frozen=True):
    """What is given by its place.

    Attributes:
        metavar: What stands for it in the help.
        help: What it is for.
        show_default: Whether the help names the default.
    """

    metavar: str
    help: str = ""
    show_default: bool = True
