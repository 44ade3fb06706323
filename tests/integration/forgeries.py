"""A thousand messages that are unsigned or altered, and some signed ones: what may not run, and what has to."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import cloudq
from cloudq.core.driver import Driver, Outgoing
from cloudq.core.signatures import ATTRIBUTE, sign
from cloudq.core.signing_keys import parse_signing_keys
from cloudq.testing.conformance.signatures import ALTERED

TEXT = f"a:{'0a' * 32},b:{'0b' * 32}"
KEYS = parse_signing_keys(TEXT, "KEYS")
OTHER = parse_signing_keys(f"a:{'0c' * 32},c:{'0a' * 32}", "KEYS")
FORGED, GOOD = 1000, 20


def event(n: int) -> dict[str, object]:
    return {
        "specversion": "1.0", "id": f"m{n}", "source": "shop", "type": "take", "time": "2026-01-31T12:00:00Z",
        "idempotencykey": f"i{n}", "timelimit": 60, "headers": '{"tenant":"a"}',
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-02", "data": {"n": n},
    }  # fmt: skip


def signed(n: int) -> dict[str, object]:
    made: dict[str, object] = json.loads(sign(json.dumps(event(n)).encode(), KEYS.first))
    return made


def without(name: str) -> Callable[[int], dict[str, object]]:
    return lambda n: {key: value for key, value in signed(n).items() if key != name}


def altered(name: str, value: object) -> Callable[[int], dict[str, object]]:
    # Of an id and a payload one of its own each, or two of them would be the same message.
    own = {"id": lambda n: f"other-{n}", "data": lambda n: {"n": -1 - n}, "type": lambda _: "other"}
    return lambda n: signed(n) | {name: own[name](n) if name in own else value}


def by(change: Callable[[str, int], str]) -> Callable[[int], dict[str, object]]:
    return lambda n: signed(n) | {ATTRIBUTE: change(str(signed(n)[ATTRIBUTE]), n)}


def by_another(n: int) -> dict[str, object]:
    made: dict[str, object] = json.loads(sign(json.dumps(event(n)).encode(), OTHER.first))
    return made


KINDS: list[Callable[[int], dict[str, object]]] = [
    *(altered(name, value) for name, value in ALTERED.items()),
    *map(without, (ATTRIBUTE, "time", "idempotencykey", "timelimit", "headers", "traceparent", "data")),
    by(lambda text, _: text.replace("1.a.", "1.b.")),
    by(lambda text, _: text.replace("1.a.", "1.c.")),
    by(lambda text, _: text.replace("1.a.", "2.a.")),
    by(lambda text, _: text[:-1] + ("0" if text[-1] != "0" else "1")),
    by(lambda _, n: str(signed(n + 1)[ATTRIBUTE])),
    by(lambda text, _: text.upper()),
    lambda n: signed(n) | {ATTRIBUTE: None},
    lambda n: signed(n) | {ATTRIBUTE: 1},
    by_another,
    lambda n: signed(n) | {"data": None, "data_base64": "eyJuIjogLTF9"},
    lambda n: {**without("data")(n), "wireversion": 2, "dataref": "a.json", "datasha256": "ab" * 32, "datasize": 9},
]


def forgeries() -> Iterator[bytes]:
    for n in range(FORGED):
        yield json.dumps(KINDS[n % len(KINDS)](n)).encode()


def good() -> Iterator[bytes]:
    for n in range(FORGED, FORGED + GOOD):
        yield json.dumps(signed(n)).encode()


def all_of_them() -> list[bytes]:
    bodies = [*forgeries(), *good()]
    bodies[0], bodies[-1] = bodies[-1], bodies[0]
    return bodies


def app_that_requires(ran: list[int], *, queue: str = "default") -> cloudq.App:
    """Two tasks, either of which a forgery may name."""
    app = cloudq.App(signing="require", signing_keys=TEXT, default_queue=queue)

    @app.task("take")
    def take(n: int = -1) -> None:
        ran.append(n)

    @app.task("other")
    async def other(n: int = -1) -> None:
        ran.append(n)

    return app


def put(driver: Driver, bodies: list[bytes], queue: str = "default") -> None:
    for start in range(0, len(bodies), 10):
        items = [
            Outgoing(id=f"put-{start + n}", queue=queue, body=body) for n, body in enumerate(bodies[start : start + 10])
        ]
        assert [None] * len(items) == [result.error for result in driver.send(items)]


def reasons(driver: Driver, queue: str = "default") -> list[str]:
    """Of all dead letters."""
    found: list[str] = []
    after = None
    letters = driver.dead_letters(queue)
    while page := letters.peek(limit=100, after=after):
        found += [letter.failure.reason if letter.failure else "" for letter in page]
        after = page[-1].key
    return found


def assert_that_none_ran(ran: list[int], found: list[str]) -> None:
    assert list(range(FORGED, FORGED + GOOD)) == sorted(ran)
    assert FORGED == len(found)
    assert [] == [reason for reason in found if not reason.startswith("signature: ")]
