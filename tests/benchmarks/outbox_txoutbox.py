"""txoutbox's side of the outbox's benchmark: its PostgreSQL adapter on asyncpg, at its defaults."""

from __future__ import annotations

import asyncio
import json
import logging

import asyncpg
from txoutbox import Hooks, Relay, RelayConfig, RoundResult
from txoutbox.adapters.postgres import PostgresStorage

from tests.benchmarks.figures import percentile
from tests.benchmarks.measure import Stopwatch
from tests.benchmarks.outbox_place import DSN, Latencies, key_of, main, payloads

logging.disable(logging.WARNING)


async def _relay(count: int, keyed: int, batch: int) -> None:
    pool = await asyncpg.create_pool(DSN)
    await pool.execute("drop table if exists outbox")
    storage = PostgresStorage(pool)
    await storage.create_schema()
    async with pool.acquire() as connection, connection.transaction():
        for number, payload in enumerate(payloads(count)):
            await storage.insert(connection, "orders", payload, key=key_of(number) if keyed else None)
    await pool.execute("vacuum analyze outbox")

    async def publish(message: object) -> None:
        """Does nothing."""

    done = 0

    class Counting(Hooks):  # type: ignore[misc]  # its types are in another environment
        """Ends the relay with the round whose marks are the last ones; it is called once they are committed."""

        async def on_round(self, result: RoundResult, duration: float) -> None:
            nonlocal done
            done += result.published
            if done >= count:
                relay.stop()

    config = RelayConfig(batch_size=batch) if batch else RelayConfig()
    relay = Relay(storage, publish, config=config, hooks=Counting())
    watch = Stopwatch()
    await relay.run()
    watch.over()
    left = await pool.fetchval("select count(*) from outbox where status <> 'done'")
    await pool.close()
    if left:
        raise RuntimeError(f"{left} left")
    watch.report(count)


async def _idle(count: int) -> None:
    pool = await asyncpg.create_pool(DSN)
    await pool.execute("drop table if exists outbox")
    storage = PostgresStorage(pool, notify_channel="outbox")
    await storage.create_schema()
    latencies = Latencies()

    async def publish(message: object) -> None:
        latencies.publish()

    relay = Relay(storage, publish)
    async with relay, await storage.listen(relay.wake):
        for payload in payloads(count):
            await asyncio.sleep(latencies.pause())
            async with pool.acquire() as connection:
                transaction = connection.transaction()
                await transaction.start()
                await storage.insert(connection, "orders", payload)
                latencies.commit()
                await transaction.commit()
            while not latencies.published:
                await asyncio.sleep(0.0005)
    await pool.close()
    found = sorted(1000 * one for one in latencies.seconds)
    print(json.dumps({"count": len(found), "p50_ms": percentile(found, 0.5), "p95_ms": percentile(found, 0.95)}))


def publish_all(*numbers: int) -> None:
    """Fills the table, then publishes all that is in it."""
    asyncio.run(_relay(*numbers))


def idle(count: int) -> None:
    """One message after the other, each to an idle relay that is told by NOTIFY."""
    asyncio.run(_idle(count))


if __name__ == "__main__":
    main({"relay": publish_all, "idle": idle})
