"""`cloudq cost`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Final

from cloudq.cli.choosing import any_app, queues_of
from cloudq.cli.cost.bill import MILLION, Way, counted, estimates
from cloudq.cli.cost.prices import price_of
from cloudq.cli.counted import counted_by
from cloudq.cli.options import Backend, Debug, Json, NamedApp, queue_name
from cloudq.cli.output import note, table, write, write_json
from cloudq.cli.parameters import Option
from cloudq.cli.worker_pages import worker_address
from cloudq.core.url import parse_url
from cloudq.errors import OptionError

EXAMPLES: Final = (
    "cloudq cost --queue emails --backend sqs://eu-west-1",
    "cloudq cost --queue emails --worker 10.0.0.7:9090 --worker 10.0.0.8:9090 --tasks 5000000",
    "cloudq cost --queue emails --worker 10.0.0.7:9090 --price 0.48 --json",
)
_MOST_USD: Final = 1000.0

NOT_INCLUDED: Final = (
    "calls of programs that only send: they serve no metrics here",
    "free allowances, volume discounts, taxes, and regions that cost more",
    "the further pieces of payloads beyond one",
    "data transfer, claim checks and their storage, encryption keys, EventBridge Scheduler, fair queues' surcharge",
    "the machines that workers run on, and idle polls where nothing was counted",
)
_NO_PRICE: Final = "the table has no price of this service, whose page has none without a region: --price USD"
_SERVICE_BUS: Final = (
    "Service Bus's base charge, and what it bills beyond a call: a batch that is settled is one call here"
)


def cost(
    *,
    queue: Annotated[str, Option("--queue", metavar="NAME", help="Whose calls.")],
    worker: Annotated[
        list[str] | None,
        Option(
            "--worker",
            metavar="HOST:PORT",
            help="Repeatable: where a worker serves its metrics (its --metrics-port). "
            "Default: an estimate, by what was measured.",
        ),
    ] = None,
    tasks: Annotated[
        int, Option("--tasks", metavar="N", min=1, help="Of how many tasks. Default: a million.")
    ] = MILLION,
    price: Annotated[
        str | None,
        Option("--price", metavar="USD", help="Of a million operations. Default: that of a table, with its date."),
    ] = None,
    app: NamedApp = None,
    backend: Backend = None,
    json: Json = False,
    _debug: Debug = False,
) -> None:
    """Say what a queue's tasks cost in calls: the operations a task takes, and the service's price of them.

    The operations are those that workers have counted since they were started, or else those that were measured once.
    What isn't in it is said. It calls nobody but the workers.
    """
    name = queue_name(queue)
    given = None if price is None else _usd(price)
    addresses = [worker_address(text, serving="metrics", option="--metrics-port") for text in worker or []]
    with any_app(app, backend, wanted=False) as chosen:
        queues_of(chosen, [name])
        scheme = parse_url(chosen.app.url).scheme
    listed = price_of(scheme, name)
    per_million = given if given is not None else (None if listed is None else listed.usd)
    if addresses:
        counts = [counted_by(address) for address in dict.fromkeys(addresses)]
        ways: Sequence[Way] = (counted(scheme, name, counts),)
    else:
        ways = estimates(scheme)
    notes = (*NOT_INCLUDED, *((_SERVICE_BUS,) if scheme == "servicebus" else ()))
    if json:
        for way in ways:
            used = None if given is not None else listed
            write_json({"queue": name, **_as_json(way, tasks, per_million), "price": used, "not_included": notes})
        return
    for way in ways:
        _show(way, tasks, per_million)
    if given is not None:
        note(f"price: {given:g} USD a million, as was said")
    elif listed is not None:
        note(f"price: {listed.usd:g} USD a million {listed.what}; {listed.source}, {listed.read}")
    else:
        note(f"note: {_NO_PRICE}")
    note(*(f"not in it: {one}" for one in notes))


def _show(way: Way, tasks: int, per_million: float | None) -> None:
    write(f"{way.name} ({way.source})")
    rows: list[tuple[object, ...]] = []
    for operation, count in (*way.operations.items(), ("together", way.per_task)):
        usd = None if per_million is None else f"{tasks * count * per_million / MILLION:.2f}"
        rows.append((operation, f"{count:.3f}", usd))
    table(("operation", "a task", f"USD for {tasks:,} tasks"), rows)
    write("")


def _as_json(way: Way, tasks: int, per_million: float | None) -> Mapping[str, object]:
    return {
        "way": way.name,
        "source": way.source,
        "counted_tasks": way.tasks,
        "operations_per_task": dict(way.operations),
        "tasks": tasks,
        "usd_per_million": per_million,
        "usd": None if per_million is None else way.usd(tasks, per_million),
        "unknown": {"usd": _NO_PRICE} if per_million is None else {},
    }


def _usd(text: str) -> float:
    """The price in `0.48`.

    Raises:
        OptionError: It is none.
    """
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= _MOST_USD:
        raise OptionError(f"--price {text!r} is no price of a million operations in US dollars", hint="--price 0.48")
    return value
