"""`cloudq cancel`."""

from __future__ import annotations

from typing import Annotated

from cloudq.cli.choosing import any_app
from cloudq.cli.choosing_store import StoreOption, one_store
from cloudq.cli.options import Backend, Debug, Json, NamedApp
from cloudq.cli.output import note, write, write_json
from cloudq.cli.parameters import Argument
from cloudq.core.run_notes import CancelAnswer, RunNotes
from cloudq.tasks.receipts import is_receipt, read_receipt

EXAMPLES = (
    "cloudq cancel cq1.WyJkZWZhdWx0IiwiNy0xOTk2Il0",
    "cloudq cancel cq1.WyJkZWZhdWx0IiwiNy0xOTk2Il0 --json --backend sqlite:////var/lib/shop/cloudq.db",
    "cloudq cancel 6f9619ff-8b86-4d01-b42d-00cf4fc964ff --app shop.tasks",
)

_SAID = {
    CancelAnswer.WILL_NOT_RUN: "message {} will not run",
    CancelAnswer.ASKED: "message {} runs: its worker is asked to stop it",
    CancelAnswer.TOO_LATE: "too late: message {} is done, dead, expired, or was cancelled before",
    CancelAnswer.UNKNOWN: "message {} is unknown: it isn't tracked, or was forgotten",
}


def cancel(
    what: Annotated[
        str, Argument(metavar="RECEIPT|ID", help="The receipt of the send, or its message's id.", show_default=False)
    ],
    *,
    app: NamedApp = None,
    backend: Backend = None,
    store: StoreOption = None,
    json: Json = False,
    _debug: Debug = False,
) -> None:
    """Delete a message that no worker has received yet, or stop one that is noted. Exit code 1: it is too late.

    By its receipt (`.receipt` of what a send returned, or of `cloudq send --json`) a message is deleted from its queue.

    By its id (`.id`) a store notes that it isn't wanted: then it isn't run, or, if it runs, its worker is asked to stop
    it. The store knows messages of tasks declared with `track` or `keep_result`, and those that were sent with `track`.
    """
    if what and not is_receipt(what):
        _cancel_run(what, store, app, backend, json=json)
        return
    queue = read_receipt(what).queue
    with any_app(app, backend, wanted=False) as chosen:
        if store is not None:
            chosen.app.runtime.stores.given = store  # where a tracked message is noted
        cancelled = not chosen.missing and chosen.app.cancel(what)
    if json:
        write_json({"queue": queue, "cancelled": cancelled})
    elif cancelled:
        write(f"cancelled a message of queue {queue!r}")
    else:
        note(f"too late: the message of queue {queue!r} is under way, or gone")
    if not cancelled:
        raise SystemExit(1)


def _cancel_run(id_: str, store: str | None, app: str | None, backend: str | None, *, json: bool) -> None:
    with one_store(store, app, backend) as chosen:
        answer = RunNotes(chosen.store.notes).cancel(id_)
    cancelled = answer in {CancelAnswer.WILL_NOT_RUN, CancelAnswer.ASKED}
    if json:
        write_json({"id": id_, "cancelled": cancelled, "answer": answer.value})
    elif cancelled:
        write(_SAID[answer].format(id_))
    else:
        note(_SAID[answer].format(id_))
    if not cancelled:
        raise SystemExit(1)
