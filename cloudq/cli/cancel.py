"""`cloudq cancel`."""

from __future__ import annotations

from typing import Annotated

from cloudq.cli.choosing import any_app
from cloudq.cli.options import Backend, Debug, Json, NamedApp
from cloudq.cli.output import note, write, write_json
from cloudq.cli.parameters import Argument
from cloudq.tasks.receipts import read_receipt

EXAMPLES = (
    "cloudq cancel cq1.WyJkZWZhdWx0IiwiNy0xOTk2Il0",
    "cloudq cancel cq1.WyJkZWZhdWx0IiwiNy0xOTk2Il0 --json --backend sqlite:////var/lib/shop/cloudq.db",
)


def cancel(
    receipt: Annotated[str, Argument(metavar="RECEIPT", help="The receipt of the send.", show_default=False)],
    *,
    app: NamedApp = None,
    backend: Backend = None,
    json: Json = False,
    _debug: Debug = False,
) -> None:
    """Delete a message that no worker has received yet. Exit code 1: it is too late.

    The receipt is `.receipt` of what a send returned, or of `cloudq send --json`.
    """
    queue = read_receipt(receipt).queue
    with any_app(app, backend, wanted=False) as chosen:
        cancelled = not chosen.missing and chosen.app.cancel(receipt)
    if json:
        write_json({"queue": queue, "cancelled": cancelled})
    elif cancelled:
        write(f"cancelled a message of queue {queue!r}")
    else:
        note(f"too late: the message of queue {queue!r} is under way, or gone")
    if not cancelled:
        raise SystemExit(1)
