"""Garbage: a connection answers or ends, whatever it is fed. It never fails otherwise, hangs, or takes much memory."""

from __future__ import annotations

import random
import tracemalloc

import pytest

from cloudq.emulators.service_bus.amqp.decoding import decode, skip
from cloudq.emulators.service_bus.amqp.encoding import encode, encode_described
from cloudq.emulators.service_bus.amqp.engine import Connection
from cloudq.emulators.service_bus.amqp.errors import DecodeError
from cloudq.emulators.service_bus.amqp.events import Attached
from cloudq.emulators.service_bus.amqp.frames import AMQP_HEADER, Frame, FrameType
from cloudq.emulators.service_bus.amqp.links import IncomingLink
from cloudq.emulators.service_bus.amqp.performatives import (
    Attach,
    Begin,
    Close,
    Detach,
    Disposition,
    End,
    Flow,
    Open,
    Transfer,
)
from cloudq.emulators.service_bus.amqp.sections import Section, split
from cloudq.emulators.service_bus.amqp.session import Limits
from cloudq.emulators.service_bus.amqp.states import Accepted, Error, Modified, Rejected
from cloudq.emulators.service_bus.amqp.termini import Source, Target
from cloudq.emulators.service_bus.amqp.types import UByte
from tests.unit.emulators.service_bus.amqp.talk import IDENTITY

FRAMES = 20_000
MESSAGE = (
    encode_described(Section.HEADER, encode([True, UByte(4)]))
    + encode_described(Section.PROPERTIES, encode(["id", b"user"]))
    + encode_described(Section.APPLICATION_PROPERTIES, encode({"a": 1}))
    + encode_described(Section.DATA, encode(b"body"))
)
GOOD = [
    Open(container_id="c", max_frame_size=512),
    Begin(next_outgoing_id=0, incoming_window=5, outgoing_window=5),
    Attach(name="in", handle=0, role=False, target=Target(address="q")),
    Attach(name="out", handle=1, role=True, source=Source(address="q", filter={"f": None})),
    Flow(next_incoming_id=0, incoming_window=5, next_outgoing_id=0, outgoing_window=5, handle=1, link_credit=9),
    Flow(next_incoming_id=0, incoming_window=1, next_outgoing_id=0, outgoing_window=5, drain=True, handle=1),
    Transfer(handle=0, delivery_id=0, delivery_tag=b"t", more=True),
    Transfer(handle=0, delivery_id=1, delivery_tag=b"t"),
    Disposition(role=True, first=0, last=2**32 - 1, state=Accepted()),
    Disposition(role=True, first=0, state=Modified(delivery_failed=True)),
    Disposition(role=True, first=0, settled=True, state=Rejected(error=Error(condition="c"))),
    Detach(handle=0, closed=True),
    Detach(handle=1),
    End(),
    Close(),
]


def mutated(body: bytes, chance: random.Random) -> bytes:
    """The bytes with a few of them changed, left out, doubled or cut off."""
    data = bytearray(body)
    for _ in range(chance.choice((0, 1, 1, 2, 4))):
        if not data:
            break
        place = chance.randrange(len(data))
        match chance.randrange(5):
            case 0:
                data[place] = chance.randrange(256)
            case 1:
                data[place] ^= 1 << chance.randrange(8)
            case 2:
                del data[place : place + chance.randrange(1, 5)]
            case 3:
                data[place:place] = bytes(chance.choices(range(256), k=chance.randrange(1, 5)))
            case _:
                del data[place:]
    return bytes(data)


def opened() -> Connection:
    connection = Connection(IDENTITY, Limits(max_frame_size=4096, max_message_size=10_000))
    connection.feed(AMQP_HEADER.encode() + b"".join(Frame(0, item.encode()).encode() for item in GOOD[:2]))
    deal(connection)
    return connection


def deal(connection: Connection) -> int:
    """An owner that takes every link and sends on those it can. Returns how many events there were."""
    count = 0
    for event in connection.events():
        count += 1
        if isinstance(event, Attached):
            event.link.accept()
            if isinstance(event.link, IncomingLink):
                event.link.grant(5)
        for attribute in ("link", "delivery"):
            link = getattr(event, attribute, None)
            if getattr(link, "ready", 0):
                link.send(b"message" * 100, b"tag", settled=False)
            elif attribute == "delivery" and link is not None:
                link.settle(Accepted())
    connection.take_output()
    return count


def feed_garbage(frames: int, seed: int) -> int:
    """Feeds damaged frames to connections. Returns how many of these ended."""
    chance = random.Random(seed)
    connection, ended = opened(), 0
    for _ in range(frames):
        body = mutated(chance.choice(GOOD).encode(), chance)
        frame = Frame(chance.choice((0, 0, 0, 1)), body + chance.choice((b"", MESSAGE)), FrameType.AMQP).encode()
        connection.feed(mutated(frame, chance) if chance.random() < 0.2 else frame)
        assert deal(connection) < 1000
        if connection.closed or len(connection._reader._buffer) > 2000:
            connection, ended = opened(), ended + 1
    return ended


@pytest.mark.slow
def test_garbage_in_frames() -> None:
    """20,000 damaged frames are answered, or end their connection with an error that AMQP has."""
    assert feed_garbage(FRAMES, 7) > FRAMES // 20


def test_garbage_takes_little_memory() -> None:
    """What garbage makes a connection keep stays small."""
    tracemalloc.start()
    try:
        feed_garbage(1000, 8)
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


def test_garbage_in_values() -> None:
    """Damaged messages and random bytes are values, or errors of decoding."""
    chance = random.Random(11)
    for _ in range(5000):
        data = mutated(MESSAGE, chance) if chance.random() < 0.5 else chance.randbytes(chance.randrange(40))
        for read in (split, decode, lambda found: skip(found, 0)):
            try:
                read(data)
            except DecodeError:
                continue
