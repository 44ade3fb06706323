"""`ParentsStore`: what a forked child claims is claimed in its parent's store, so that it outlives the child."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Final

import msgspec

from cloudq.core.notes import Note, Written
from cloudq.core.store import Claim, Claimed, ClaimKey, Completed, Forgotten, InProgress, Record, Store

_ANSWERS: Final[Mapping[str, type]] = {
    answer.__name__: answer for answer in (Claimed, InProgress, Completed, Record, Note, Written, Forgotten)
}
# A key or a note's name may be any text, and msgpack has none with lone surrogates.
_ANY: Final = "surrogatepass"
_SPANS: Final = frozenset({"lease", "keep"})


def carry_out(store: Store | None, method: str, arguments: Mapping[str, Any]) -> list[object]:
    """A call that the child made, in the parent: the answer in the form that travels."""
    if store is None:
        raise RuntimeError("a child process called a store, and its parent has none")
    target: Any = store.notes if method.startswith("notes.") else store
    given = dict(arguments)
    for name in _SPANS & given.keys():
        given[name] = msgspec.convert(given[name], timedelta)
    if "key" in given:
        given["key"] = ClaimKey(*(part.decode("utf-8", _ANY) for part in given["key"]))
    if "name" in given:
        given["name"] = given["name"].decode("utf-8", _ANY)
    answer = getattr(target, method.removeprefix("notes."))(**given)
    return [type(answer).__name__, answer]


class ParentsStore:
    """A store whose calls are carried out elsewhere. See `cloudq.core.store.Store`.

    Args:
        ask: Has a call carried out, by its name and arguments: what `carry_out` gave.
    """

    def __init__(self, ask: Callable[[str, Mapping[str, Any]], Any]) -> None:
        self._ask = ask
        self.notes = _ParentsNotes(self._call)

    def claim(
        self, key: ClaimKey, *, owner: str, lease: timedelta, fingerprint: bytes | None, keep: timedelta
    ) -> Claim:
        """See `Store`."""
        answer: Claim = self._call("claim", key=key, owner=owner, lease=lease, fingerprint=fingerprint, keep=keep)
        return answer

    def renew(self, key: ClaimKey, token: int, lease: timedelta) -> bool:
        """See `Store`."""
        return bool(self._call("renew", key=key, token=token, lease=lease))

    def complete(self, key: ClaimKey, token: int, *, result: bytes | None, keep: timedelta) -> bool:
        """See `Store`."""
        return bool(self._call("complete", key=key, token=token, result=result, keep=keep))

    def release(self, key: ClaimKey, token: int) -> bool:
        """See `Store`."""
        return bool(self._call("release", key=key, token=token))

    def show(self, key: ClaimKey) -> Record | None:
        """See `Store`."""
        record: Record | None = self._call("show", key=key)
        return record

    def forget(self, key: ClaimKey, *, force: bool = False) -> Forgotten:
        """See `Store`."""
        forgotten: Forgotten = self._call("forget", key=key, force=force)
        return forgotten

    def sweep(self, limit: int) -> int:
        """See `Store`."""
        return int(self._call("sweep", limit=limit))

    def close(self) -> None:
        """It is the parent's."""

    def _call(self, method: str, /, **arguments: Any) -> Any:
        if "key" in arguments:
            key: ClaimKey = arguments["key"]
            arguments["key"] = [part.encode("utf-8", _ANY) for part in (key.task, key.key)]
        kind, answer = self._ask(method, arguments)
        return msgspec.convert(answer, _ANSWERS[kind]) if kind in _ANSWERS else answer


class _ParentsNotes:
    def __init__(self, call: Callable[..., Any]) -> None:
        self._call = call

    def read(self, name: str) -> Note | None:
        note: Note | None = self._call("notes.read", name=name.encode("utf-8", _ANY))
        return note

    def write(
        self, name: str, text: bytes, *, after: int, keep: timedelta, durable: bool = True
    ) -> Written | Note | None:
        written: Written | Note | None = self._call(
            "notes.write", name=name.encode("utf-8", _ANY), text=text, after=after, keep=keep, durable=durable
        )
        return written

    def sweep(self, limit: int) -> int:
        return int(self._call("notes.sweep", limit=limit))
