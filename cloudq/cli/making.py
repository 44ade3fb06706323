"""`cloudq queues create` and `cloudq queues check`."""

from __future__ import annotations

from typing import Annotated, Final

from cloudq.cli.choosing import any_app, queues_of
from cloudq.cli.doctor.looks_at_queues import look_at_queues
from cloudq.cli.doctor.queue_law import judge
from cloudq.cli.options import Backend, Debug, Json, NamedApp, queue_name
from cloudq.cli.output import write, write_json
from cloudq.cli.parameters import Argument
from cloudq.core.driver import QueueInspector, QueueMaker
from cloudq.core.message import dead_letter_queue
from cloudq.core.url import parse_url
from cloudq.errors import UnsupportedError

CREATE_EXAMPLES: Final = (
    "cloudq queues create",
    "cloudq queues create emails orders.fifo --backend sqs://eu-west-1?prefix=dev-",
)

CHECK_EXAMPLES: Final = ("cloudq queues check", "cloudq queues check emails --json")

QueueNames = Annotated[
    list[str] | None,
    Argument(metavar="QUEUE...", help="Their names. Default: every queue that the tasks declare."),
]


def create(
    queues: QueueNames = None,
    *,
    app: NamedApp = None,
    backend: Backend = None,
    json: Json = False,
    _debug: Debug = False,
) -> None:
    """Create queues with their dead-letter queues, for development.

    In production they belong to your infrastructure's own code. A queue that exists is left as it is.
    """
    named = [queue_name(name) for name in queues or []]
    with any_app(app, backend, wanted=not named) as chosen:
        driver = chosen.app.driver()
        if not isinstance(driver, QueueMaker):
            raise UnsupportedError(
                f"{parse_url(chosen.app.url).scheme}:// needs no queues to be created",
                hint="a queue is there from its first message on",
            )
        for name in queues_of(chosen, named):
            made = driver.make_queue(name)
            # One of the service's own is part of the queue, without a name.
            dead = None if driver.capabilities(name).native_dead_letter else dead_letter_queue(name)
            if json:
                write_json({"queue": name, "dead_letter_queue": dead, "created": made})
            elif made:
                write(f"created {name} " + ("with its dead-letter queue" if dead is None else f"and {dead}"))
            else:
                write(f"{name} was there already")


def check(
    queues: QueueNames = None,
    *,
    app: NamedApp = None,
    backend: Backend = None,
    json: Json = False,
    _debug: Debug = False,
) -> None:
    """Check queues and their dead-letter queues: that they exist, and that their settings lose no message.

    It reads their settings, for which a worker's own permissions aren't enough. Exits with 1 if something is wrong.
    `cloudq doctor` also holds them against what the tasks ask for, and looks at what is around the queues.
    """
    named = [queue_name(name) for name in queues or []]
    with any_app(app, backend, wanted=not named) as chosen:
        driver = chosen.app.driver()
        if not isinstance(driver, QueueInspector):
            raise UnsupportedError(
                f"queues of {parse_url(chosen.app.url).scheme}:// can't be checked",
                hint="`cloudq stats --queue NAME` tells whether one is there; what it has to be set to is in "
                "docs/reference/backends.md",
            )
        names = queues_of(chosen, named)
        found = {looked.queue: list(judge(looked)) for looked in look_at_queues(chosen.app, names, {})}
    for name, findings in found.items():
        if json:
            write_json({"queue": name, "problems": [finding.what for finding in findings]})
        else:
            write("\n".join(f"{name}: {one.what}; {one.command}" for one in findings) or f"{name} is in order")
    if any(found.values()):
        raise SystemExit(1)
