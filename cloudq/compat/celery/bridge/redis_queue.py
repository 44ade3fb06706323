"""Celery's queue on Redis, read in place: nothing is moved before it is stored elsewhere.

kombu's own consumer takes a message out of its list first and writes it to `unacked` afterwards, in a second command:
one that is killed in between loses it (`Channel._brpop_read` and `QoS.append`, kombu 5.7). So the lists are read from
their ends, where kombu would take the next message, and a message leaves its list once it is stored.

```
   LPUSH ▶ [ new … old │ left here, looked at ]     kept = how many at this end were left
                  ◀─ the next page
```
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from cloudq.compat.celery.bridge.bodies import MOST_BYTES
from cloudq.compat.celery.bridge.old_queue import Found
from cloudq.core.printable import NAME_CHARS, shortened
from cloudq.core.redaction import mask_secrets
from cloudq.errors import BackendError, BackendUnavailable, ConfigurationError, PermissionDenied

if TYPE_CHECKING:
    from redis import Redis

_PAGE: Final = 100
# A page ends early once it has that many bytes.
_PAGE_BYTES: Final = MOST_BYTES
# How kombu begins the name of a broadcast's queue (`kombu.common.Broadcast`, 5.7).
_BROADCAST: Final = "bcast."
# In seconds; kombu itself would wait without end.
_PATIENCE: Final = {"socket_timeout": 30, "socket_connect_timeout": 10}

# From a list's end, its elements' sizes and, of those that aren't too large, the elements.
_READ_LIST: Final = """
local found, room = {}, tonumber(ARGV[3])
for place = tonumber(ARGV[1]) + 1, tonumber(ARGV[1]) + tonumber(ARGV[2]) do
  local value = redis.call('LINDEX', KEYS[1], -place)
  if not value then break end
  if #value > tonumber(ARGV[4]) then
    found[#found + 1] = {#value, false}
  else
    if #found > 0 and #value > room then break end
    room = room - #value
    found[#found + 1] = {#value, value}
  end
end
return found
"""
# The same of some fields of a hash, which a scan brought.
_READ_HASH: Final = """
local scanned = redis.call('HSCAN', KEYS[1], ARGV[1], 'COUNT', ARGV[2])
local found = {}
for at = 1, #scanned[2], 2 do
  local value = scanned[2][at + 1]
  found[#found + 1] = {scanned[2][at], #value, #value <= tonumber(ARGV[3]) and value or false}
end
return {scanned[1], found}
"""


class Layout(NamedTuple):
    """The keys that kombu uses, as its channel says.

    Attributes:
        lists: Of the queue, one for each step of its priorities, the most urgent first, by what they are called here.
        unacked: The hash of the messages that workers held, by their delivery tags.
        unacked_index: The sorted set of those tags.
        routes: The queues that an exchange leads to, by its name and a routing key; none: nobody knows.
    """

    lists: Mapping[str, str]
    unacked: str
    unacked_index: str
    routes: Callable[[str, str], set[str]]


class RedisQueue:
    """A queue of Celery's on Redis.

    Args:
        queue: Its name.
        client: Redis, without a prefix of its own.
        layout: Where kombu keeps what.
        close: Frees what stands behind the client.
    """

    def __init__(self, queue: str, client: Redis, layout: Layout, close: Callable[[], None]) -> None:
        self._queue = queue
        self._redis = client
        self._layout = layout
        self._close = close
        self._kept: dict[str, int] = dict.fromkeys(layout.lists, 0)
        self._kept_tags: set[bytes] = set()
        self._cursor: bytes | None = None
        self._looked_at = 0
        self._read_list = client.register_script(_READ_LIST)
        self._read_hash = client.register_script(_READ_HASH)

    def waiting(self) -> int | None:
        """All lists' lengths, and what workers held, of other queues too."""
        with _told():
            lengths = sum(_int(self._redis.llen(key)) for key in self._layout.lists.values())
            return lengths + _int(self._redis.hlen(self._layout.unacked))

    def read(self, wait: timedelta) -> Sequence[Found]:  # noqa: ARG002 - there is nothing to wait on without taking
        """What workers held first, as it was taken first; then the lists, the most urgent first."""
        with _told():
            if held := self._held():
                return held
            for name, key in self._layout.lists.items():
                if found := self._page(name, key):
                    return found
            return []

    def take(self, found: Sequence[Found]) -> None:
        """By their values, from the list's end, where they are: another worker's taking one meanwhile harms nothing."""
        with _told(), self._redis.pipeline(transaction=False) as pipe:
            for one in found:
                key, value = _handle(one)
                if key == self._layout.unacked:
                    pipe.zrem(self._layout.unacked_index, value)
                    pipe.hdel(key, value)
                else:
                    pipe.lrem(key, -1, value)  # type: ignore[arg-type]  # redis-py takes bytes, too
            pipe.execute()

    def leave(self, found: Sequence[Found]) -> None:
        """They stay at the end of their list, and the next page begins behind them."""
        for one in found:
            key, value = _handle(one)
            if key == self._layout.unacked:
                self._kept_tags.add(value)
            else:
                self._kept[one.place] += 1

    def held_back(self) -> int:
        """None: a list can be read behind what is left."""
        return 0

    def close(self) -> None:
        """Nothing was taken that is to be given back."""
        self._close()

    def _page(self, name: str, key: str) -> list[Found]:
        kept, length = self._kept[name], _int(self._redis.llen(key))
        if length < kept:
            kept = self._kept[name] = 0  # somebody else took what was left here: all that is there is looked at anew
        if length == kept:
            return []
        rows = self._read_list(keys=[key], args=[kept, _PAGE, _PAGE_BYTES, MOST_BYTES])
        return [Found(raw=raw, size=size, place=name, handle=(key, raw)) for size, raw in rows]

    def _held(self) -> list[Found]:
        """Those of this queue that workers held when they were stopped, and that weren't left: some of them at a time.

        All of the hash is gone through, and again whenever it has another length.
        """
        key = self._layout.unacked
        if self._cursor is None:
            length = _int(self._redis.hlen(key))
            if length == self._looked_at:
                return []
            self._cursor, self._looked_at = b"0", length
        found: dict[bytes, Found] = {}  # a scan may bring one twice
        while self._cursor is not None and not found:
            cursor, rows = self._read_hash(keys=[key], args=[self._cursor, _PAGE, MOST_BYTES])
            self._cursor = None if cursor == b"0" else cursor
            for tag, size, value in rows:
                if tag in self._kept_tags or (own := self._own(value)) is None:
                    continue
                raw, astray = own
                found[tag] = Found(raw=raw, size=size, place="unacked", handle=(key, tag), astray=astray)
        return list(found.values())

    def _own(self, value: bytes | None) -> tuple[bytes | None, str | None] | None:
        """The message in an entry, and why nobody knows whose it is, if so. `None`: it is another queue's.

        Of one that is too large that can't be told, nor of one that can't be read.
        """
        if value is None:
            return None, None
        try:
            raw, exchange, key = msgspec.json.decode(value, type=tuple[msgspec.Raw, str, str])
        except (ValueError, RecursionError):
            return value, None  # of no queue, and to be listed
        queues = self._layout.routes(exchange, key)
        if self._queue in queues:
            return bytes(raw), None
        if queues:
            return None
        via = f"exchange {shortened(exchange, NAME_CHARS)!r} and routing key {shortened(key, NAME_CHARS)!r}"
        return bytes(raw), f"it came by {via}, which lead to no queue: a broadcast, or a queue that is unbound"


def open_redis(url: str, queue: str, *, prefix: str, steps: Sequence[int] | None) -> RedisQueue:
    """The queue on Redis, opened by kombu from a broker's URL, whatever form of it kombu knows.

    Args:
        url: As Celery's `broker_url`: `redis://`, `rediss://`, `redis+socket://`, `sentinel://`.
        queue: The queue's name.
        prefix: kombu's `global_keyprefix`.
        steps: kombu's `priority_steps`; default: its own.

    Raises:
        ConfigurationError: The URL can't be used.
        BackendUnavailable: Redis can't be reached.
    """
    import redis
    from kombu.connection import Connection

    options: dict[str, Any] = {"global_keyprefix": prefix, **_PATIENCE}
    if steps:
        options["priority_steps"] = sorted(steps)
    with _told(url):
        connection = Connection(url, transport_options=options)
        channel = connection.channel()  # asks Redis whether it is there
    pool = channel.pool

    def routes(exchange: str, key: str) -> set[str]:
        """By kombu's own table, whose rows are a key, a topic's pattern or nothing, and a queue.

        The default exchange's keys are queues, and so are Celery's own. What a fanout binds isn't told from what a
        direct exchange does, but by the name that kombu gives such queues, and by a key that no other one has.
        """
        table = channel.get_table(exchange) if exchange else []
        found = {name for bound, pattern, name in table if _leads(bound, pattern, key)}
        if found and (queue in found or not all(name.startswith(_BROADCAST) for name in found)):
            return found
        return {key} if exchange in {"", key} else set()

    def list_of(step: int) -> tuple[str, str]:
        key = f"{prefix}{queue}{channel.sep}{step}" if step else f"{prefix}{queue}"
        return (f"{queue}, priority {step}" if step else queue), key

    layout = Layout(
        lists=dict(map(list_of, channel.priority_steps)),
        unacked=prefix + channel.unacked_key,
        unacked_index=prefix + channel.unacked_index_key,
        routes=routes,
    )
    return RedisQueue(queue, redis.Redis(connection_pool=pool), layout, connection.release)


def _leads(bound: str, pattern: str, key: str) -> bool:
    """Whether a binding takes a routing key: by its pattern in a topic exchange, by its own key in a direct one.

    An empty key says nothing: that is how a broadcast is sent, and a topic never is.
    """
    if not pattern:
        return bound == key != ""
    try:
        return bool(key) and re.match(pattern, key) is not None
    except re.error:
        return False  # not kombu's


@contextmanager
def _told(url: str = "") -> Iterator[None]:
    """Has what redis-py raises become cloudq's errors; its texts name addresses, never passwords."""
    from redis import exceptions

    try:
        yield
    except exceptions.AuthenticationError as error:
        raise PermissionDenied(f"the old queue's Redis refuses the password: {error}") from error
    except (exceptions.ConnectionError, exceptions.TimeoutError, OSError) as error:
        raise BackendUnavailable(f"the old queue's Redis can't be reached: {error}") from error
    except exceptions.NoPermissionError as error:
        raise PermissionDenied(f"the old queue's Redis doesn't allow it: {error}") from error
    except exceptions.RedisError as error:
        raise BackendError(f"the old queue's Redis refuses: {error}") from error
    except (ValueError, KeyError) as error:
        if not url:
            raise
        raise ConfigurationError(f"{mask_secrets(url)} can't be used: {mask_secrets(str(error))}") from error


def _handle(found: Found) -> tuple[str, bytes]:
    return found.handle  # type: ignore[return-value]  # this module's own


def _int(answer: object) -> int:
    return int(answer)  # type: ignore[call-overload,no-any-return]  # redis-py's types know of async ones, too
