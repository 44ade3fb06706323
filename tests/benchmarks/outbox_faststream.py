"""faststream-outbox's side of the outbox's benchmark, on asyncpg, at its defaults; it has no ordering keys."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

from faststream_outbox import OutboxBroker, make_outbox_table
from sqlalchemy import MetaData, Table, text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine

from tests.benchmarks.figures import percentile
from tests.benchmarks.measure import Stopwatch
from tests.benchmarks.outbox_place import DSN, Latencies, key_of, main, payloads

logging.disable(logging.WARNING)
# What is stored by one statement: no more parameters than asyncpg takes.
_AT_ONCE = 500


def _engine() -> AsyncEngine:
    return create_async_engine(DSN.replace("postgresql://", "postgresql+asyncpg://"))


async def _table(engine: AsyncEngine) -> Table:
    metadata = MetaData()
    table: Table = make_outbox_table(metadata, table_name="outbox_faststream")
    async with engine.begin() as connection:
        await connection.run_sync(metadata.drop_all)
        await connection.run_sync(metadata.create_all)
    return table


async def _relay(count: int, keyed: int, batch: int, marks: int = 0) -> None:
    engine = _engine()
    table = await _table(engine)
    broker = OutboxBroker(engine, outbox_table=table)
    sizes = {"fetch_batch_size": batch} if batch else {}
    if marks:
        sizes["terminal_flush_batch_size"] = batch
    done, all_done = 0, asyncio.Event()

    @broker.subscriber("orders", **sizes)
    async def publish(body: dict[str, Any]) -> None:
        """Does nothing."""
        nonlocal done
        done += 1
        if done >= count:
            all_done.set()

    bodies = list(payloads(count))
    async with AsyncSession(engine) as session, session.begin():
        for start in range(0, count, _AT_ONCE):
            part = bodies[start : start + _AT_ONCE]
            headers = {"key": key_of(start)} if keyed else None
            await broker.publish_batch(*part, queue="orders", session=session, headers=headers)
    async with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        await connection.execute(text("vacuum analyze outbox_faststream"))
        watch = Stopwatch()
        await broker.start()
        await all_done.wait()
        while (await connection.execute(text("select count(*) from outbox_faststream"))).scalar_one():
            await asyncio.sleep(0.005)
        watch.over()
    await broker.stop()
    await engine.dispose()
    watch.report(count)


async def _idle(count: int) -> None:
    engine = _engine()
    table = await _table(engine)
    broker = OutboxBroker(engine, outbox_table=table)
    latencies = Latencies()

    @broker.subscriber("orders")
    async def publish(body: dict[str, Any]) -> None:
        latencies.publish()

    await broker.start()
    for payload in payloads(count):
        await asyncio.sleep(latencies.pause())
        async with AsyncSession(engine) as session, session.begin():
            await broker.publish(payload, queue="orders", session=session)
            latencies.commit()
        while not latencies.published:
            await asyncio.sleep(0.0005)
    await broker.stop()
    await engine.dispose()
    found = sorted(1000 * one for one in latencies.seconds)
    print(json.dumps({"count": len(found), "p50_ms": percentile(found, 0.5), "p95_ms": percentile(found, 0.95)}))


def relay(*numbers: int) -> None:
    """Fills the table, then publishes all that is in it."""
    asyncio.run(_relay(*numbers))


def idle(count: int) -> None:
    """One message after the other, each to an idle relay that is told by NOTIFY."""
    asyncio.run(_idle(count))


if __name__ == "__main__":
    main({"relay": relay, "idle": idle})
