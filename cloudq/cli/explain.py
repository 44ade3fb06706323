"""`cloudq explain`."""

from __future__ import annotations

from typing import Annotated

from cloudq.cli.error_pages import first_sentence, sections
from cloudq.cli.options import Debug, Json
from cloudq.cli.output import table, write, write_json
from cloudq.cli.parameters import Argument
from cloudq.errors import OptionError, nearest

EXAMPLES = ("cloudq explain queue-not-found", "cloudq explain")


def explain(
    code: Annotated[
        str | None, Argument(metavar="CODE", help="An error's code, as the error shows it. Default: list all.")
    ] = None,
    *,
    json: Json = False,
    _debug: Debug = False,
) -> None:
    """Tell what an error means and what to do about it, by the code that it shows."""
    known = sections()
    if code is None:
        if json:
            for name, text in known.items():
                write_json({"code": name, "text": text})
        else:
            table(("code", "means"), [(name, first_sentence(text)) for name, text in known.items()])
        return
    # A log shows the class's name, which means the same.
    code = next((name for name, text in known.items() if text.startswith(f"`{code}`")), code)
    if code not in known:
        raise OptionError(
            f"there is no error with the code {code!r}: {nearest(code, known)}",
            hint="cloudq explain, by itself, lists the codes",
        )
    if json:
        write_json({"code": code, "text": known[code]})
    else:
        write(known[code])
