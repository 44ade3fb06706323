"""`python produce.py COUNT STAYS`: real Celery sends so many calls, and so many that no bridge can take.

Prints `{"sent": {id: n}, "stays": {id: why}}`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from celery import chain, group
from celery_shop import add, at, flaky, gone

HOUR = timedelta(hours=1)


def send(n: int) -> str:
    """One of the ways in which a task is called."""
    later = datetime.now(UTC) + 2 * HOUR
    ways: list[Callable[[], object]] = [
        lambda: add.delay(n),
        lambda: add.delay(n=n, note="é"),
        lambda: add.apply_async((n,), priority=9),
        lambda: add.apply_async((n,), countdown=1),
        lambda: add.apply_async((n, "later"), eta=later),
        # As `retry` publishes it.
        lambda: flaky.apply_async((n,), retries=2, countdown=3600),
        lambda: add.apply_async((n,), compression="gzip", priority=3),
        lambda: at.apply_async((n, later), expires=later),
        lambda: add.apply_async((n,), headers={"tenant": "a"}),
        lambda: add.delay(n, note="x" * 2_000),
    ]
    return ways[n % len(ways)]().id


def send_unbridgeable(n: int) -> dict[str, str]:
    """One of those that stay; why."""
    kind = n % 8
    if kind == 0:
        return {add.apply_async((n,), serializer="pickle").id: "serializer"}
    if kind == 1:
        return {add.apply_async((n,), link=add.si(1)).id: "link"}
    if kind == 2:
        return {add.apply_async((n,), link_error=add.si(1)).id: "link-error"}
    if kind == 3:
        return {chain(add.si(n), add.si(1)).apply_async().parent.id: "chain"}
    if kind == 4:
        return {add.apply_async((n,), chord=add.si(1)).id: "chord"}
    if kind == 5:
        return {one.id: "group" for one in group(add.si(n), add.si(1)).apply_async().results}
    if kind == 6:
        return {gone.delay(n).id: "unknown-task"}
    return {add.delay("seven").id: "arguments"}


if __name__ == "__main__":
    sent, stays = {}, {}
    count, unbridgeable = map(int, sys.argv[1:])
    for number in range(count):
        sent[send(number)] = number
        if number < unbridgeable:
            stays |= send_unbridgeable(number)
    print(json.dumps({"sent": sent, "stays": stays}))
