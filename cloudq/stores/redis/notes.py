"""`RedisNotes`: notes as hashes, each call one script; a write that is refused is followed by a look."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

import redis
from redis.exceptions import RedisError

from cloudq.core.clock import from_micros
from cloudq.core.notes import Note, Written, new_version, note_digest
from cloudq.errors import CloudqError
from cloudq.stores.redis import scripts

_MICROSECOND: Final = timedelta(microseconds=1)


class RedisNotes:
    """Notes of one namespace.

    Args:
        client: A client whose answers are bytes.
        namespace: Keeps the notes of apps apart that share a server.
        now: How the scripts learn the time.
        translated: Our error for one of the client's.
    """

    def __init__(
        self, client: redis.Redis, namespace: str, *, now: str, translated: Callable[[RedisError], CloudqError]
    ) -> None:
        self._namespace = namespace
        self._translated = translated
        self._read = client.register_script(now + scripts.READ_NOTE)
        self._write = client.register_script(now + scripts.WRITE_NOTE)

    def read(self, name: str) -> Note | None:
        """What is there."""
        told = self._run(self._read, name)
        if told is None:
            return None
        version, text, written, age, left = told
        return Note(
            text=text,
            version=int(version),
            at=from_micros(int(written)),
            age=max(0, int(age)) * _MICROSECOND,
            left=int(left) * _MICROSECOND,
        )

    def write(
        self, name: str, text: bytes, *, after: int, keep: timedelta, durable: bool = True
    ) -> Written | Note | None:
        """Writes the note if the latest one is that of version `after`."""
        del durable  # as the server is set up
        version = new_version()
        if self._run(self._write, name, after, version, keep // _MICROSECOND, text):
            return Written(version)
        seen = self.read(name)
        # Its own: the client's own second try found what the first one wrote.
        return Written(version) if seen is not None and seen.version == version else seen

    def sweep(self, limit: int) -> int:
        """Nothing to do: the server's TTL removes them."""
        del limit
        return 0

    def _run(self, script: Any, name: str, *arguments: bytes | int) -> Any:
        place = f"cloudq:{self._namespace}:note:{note_digest(self._namespace, name).hex()}"
        try:
            return script(keys=[place], args=list(arguments))
        except RedisError as error:
            raise self._translated(error) from error
