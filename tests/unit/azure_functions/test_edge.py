"""The app as a Function has it: opened where something failed, over Service Bus alone."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
from azure.functions.meta import Datum

from cloudq import App, Context, Retry
from cloudq.azure_functions import handler
from cloudq.drivers.memory import MemoryDriver
from cloudq.errors import ConfigurationError
from tests.ledger import Ledger
from tests.unit.azure_functions.fakes import ONCE, Host, fail, note


def test_nothing_is_opened_where_nothing_failed() -> None:
    """A message that succeeds opens no driver, and so no connection."""
    host = Host()
    with host.connected():
        host.app.send("t")
        message = host.message(host.take()[0])
    host.app.task("t")(lambda: None)
    handler(host.app, queue="orders")(message)
    assert not host.app.is_open


def test_a_retry_without_delay_is_a_copy_too(host: Host) -> None:
    """To raise would give back the whole batch."""

    @host.app.task("t")
    def t() -> None:
        raise Retry(delay=timedelta(0))

    sent = host.app.send("t")
    assert host.invoke(handler(host.app, queue="orders"))
    assert {sent.id: 1} == host.waiting()


@pytest.mark.parametrize("many", [False, True])
def test_attempts_are_counted_by_the_service(host: Host, many: bool) -> None:
    """The host's delivery count has the present delivery in it; raw is the trigger's message."""
    seen: list[Context] = []
    host.app.task("t")(note(seen))
    host.app.send("t")
    (taken,) = host.take()
    given = host.messages([taken]) if many else host.message(taken, DeliveryCount=Datum("1", "json"))
    handler(host.app, queue="orders")(given)
    assert (1, 1) == (seen[0].attempt, seen[0].deliveries)
    assert (given[0] if many else given) is seen[0].raw


def test_what_came_back_with_others_is_no_poison_early(host: Host) -> None:
    """A message may be handed over a hundred times before it counts as killing its worker."""
    ran = []
    host.app.task("t")(lambda: ran.append(1))
    for count in ("60", "101"):
        host.app.send("t")
        (taken,) = host.take()
        handler(host.app, queue="orders")(host.message(taken, DeliveryCount=Datum(count, "json")))
    assert [1] == ran
    assert "worker died or lease expired" in next(iter(host.dead().values()))


def test_async_tasks_share_one_loop(host: Host) -> None:
    """What a task opened on its loop works in the next invocation, too."""
    loops = []

    @host.app.task("t")
    async def t() -> None:
        loops.append(asyncio.get_running_loop())

    function = handler(host.app, queue="orders")
    for _ in range(2):
        host.app.send("t")
        assert host.invoke(function)
    assert loops[0] is loops[1]


def test_another_backend_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the first invocation, since the environment may say the URL; and again at the next."""
    function = handler(App("memory://"), queue="orders")
    for _ in range(2):
        with pytest.raises(ConfigurationError, match="memory://"):
            function([])


def test_a_driver_that_cannot_settle_by_a_token_is_refused(host: Host) -> None:
    """A test that lends one is told what to do instead."""
    host.app.task("t", retry=ONCE)(fail)
    host.app.send("t")
    messages = host.messages(host.take())
    with host.app.using(MemoryDriver(), clock=host.clock), pytest.raises(ConfigurationError, match="MemoryDriver"):
        handler(host.app, queue="orders")(messages)


def test_a_transaction_is_committed_once(host: Host, tmp_path: Path) -> None:
    """However often the trigger hands a message over."""
    ledger = Ledger(tmp_path)
    ledger.declare(host.app)
    host.app.send("book", {"n": 1})
    (taken,) = host.take()
    for _ in range(2):
        handler(host.app, queue="orders")(host.message(taken))
    assert ["1"] == ledger.entries()
