"""cloudq's side of the outbox's benchmark: the whole way of a relay, to a backend that does nothing."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import Engine, create_engine, inspect, text

from cloudq import App
from cloudq.core.steps import Outgoing, SendResult
from cloudq.drivers.memory import MemoryDriver
from cloudq.outbox.opening import create_tables, open_outbox
from cloudq.relay.service import Relay
from cloudq.relay.settings import RelaySettings
from tests.benchmarks.figures import percentile
from tests.benchmarks.measure import Stopwatch
from tests.benchmarks.outbox_place import TEXT, URL, Latencies, key_of, main, payloads

app = App("memory://")


class Nothing(MemoryDriver):
    """Says of all that it was stored."""

    def send(self, outgoing: Sequence[Outgoing]) -> Sequence[SendResult]:
        return [SendResult() for _ in outgoing]


@app.task("orders")
def orders(order_id: int, text: str) -> None:
    """What is sent."""


@app.task("ordered", queue="orders.fifo")
def ordered(order_id: int, text: str) -> None:
    """What is sent with a key."""


def relay(count: int, keyed: int, batch: int) -> None:
    """Fills the outbox, then publishes all that is in it."""
    _make_tables()
    engine = create_engine(URL)
    with engine.begin() as connection, app.outbox(connection) as outbox:
        outbox.send_many(
            ordered.options(ordering_key=key_of(number)).call(number, TEXT) if keyed else orders.call(number, TEXT)
            for number in range(count)
        )
    _analyze(engine)
    settings = RelaySettings(once=True, batch=batch) if batch else RelaySettings(once=True)
    with app.using(Nothing()):
        watch = Stopwatch()
        service = Relay(app, lambda lease: open_outbox(URL, lease=lease), settings)
        code = service.run()
        watch.over()
    with engine.connect() as connection:
        left = connection.execute(text("select count(*) from cloudq_outbox")).scalar_one()
    if code or left or service.counts().published != count:
        raise RuntimeError(f"exit code {code}, {left} left, {service.counts()}")
    watch.report(count)


def idle(count: int) -> None:
    """One message after the other, each to an idle relay that is told by NOTIFY."""
    _make_tables(notify=True)
    latencies = Latencies()

    class Measuring(Nothing):
        def send(self, outgoing: Sequence[Outgoing]) -> Sequence[SendResult]:
            latencies.publish()
            return super().send(outgoing)

    engine = create_engine(URL)
    with app.using(Measuring()):
        service = Relay(app, lambda lease: open_outbox(URL, lease=lease), RelaySettings(listen_url=URL))
        service.check()
        service.start()
        while service._listener is None or not service._listener.hears:
            time.sleep(0.01)
        for payload in payloads(count):
            time.sleep(latencies.pause())
            with engine.connect() as connection, connection.begin() as transaction:
                with app.outbox(connection) as outbox:
                    outbox.send(orders, payload)
                latencies.commit()
                transaction.commit()
            while not latencies.published:
                time.sleep(0.0005)
        service.end(timedelta(seconds=10))
    found = sorted(1000 * one for one in latencies.seconds)
    print(json.dumps({"count": len(found), "p50_ms": percentile(found, 0.5), "p95_ms": percentile(found, 0.95)}))


def _make_tables(*, notify: bool = False) -> None:
    engine = create_engine(URL, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for name in inspect(engine).get_table_names():
            connection.execute(text(f"drop table {name}"))
    engine.dispose()
    create_tables(URL, notify=notify)


def _analyze(engine: Engine) -> None:
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("vacuum analyze cloudq_outbox"))


if __name__ == "__main__":
    main({"relay": relay, "idle": idle})
