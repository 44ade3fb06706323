"""What declarations and sends say of notes: which results are kept, what is tracked, and of what one waits."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

import msgspec

from cloudq.core.spans import shown
from cloudq.core.tracking import DEBOUNCE, TRACKED, UNIQUE
from cloudq.errors import OptionError, TaskDefinitionError

LONGEST_KEEP: Final = timedelta(days=3_650)
_DEBOUNCE: Final = "debounce=timedelta(seconds=30)"
_ENCODER: Final = msgspec.json.Encoder(order="sorted")
# With each of them the other one would decide, and nothing of the message would be left to wait.
_NOT_WITH_DEBOUNCE: Final = ("delay", "at", "idempotency_key", "unique_while_waiting")


class RunOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Of a declaration, checked.

    Attributes:
        keep_result: For how long what it returns is kept; `None`: it isn't.
        track: Whether each of its messages is tracked.
    """

    keep_result: timedelta | None = None
    track: bool = False

    @property
    def noted(self) -> bool:
        """Whether its runs are noted, whatever a message says."""
        return self.track or self.keep_result is not None


NOT_NOTED: Final = RunOptions()


def run_options(options: Mapping[str, Any], task: str) -> RunOptions:
    """Those of a declaration.

    Raises:
        TaskDefinitionError: One of them means nothing.
    """
    keep, track = options.get("keep_result"), options.get("track", False)
    if keep is not None and (not isinstance(keep, timedelta) or not timedelta(0) < keep <= LONGEST_KEEP):
        raise TaskDefinitionError(
            f"keep_result of task {task!r} is a positive timedelta, of {shown(LONGEST_KEEP)} at most, not {keep!r}",
            hint="keep_result=timedelta(hours=1)",
        )
    if not isinstance(track, bool):
        raise TaskDefinitionError(f"track of task {task!r} is True or False, not {track!r}", hint="track=True")
    return NOT_NOTED if keep is None and not track else RunOptions(keep_result=keep, track=track)


def check_noting(options: Mapping[str, Any]) -> None:
    """Refuses send options of this kind that don't mean anything.

    Raises:
        OptionError: Saying which and why.
    """
    for name in ("track", "unique_while_waiting"):
        value = options.get(name, False)
        if not isinstance(value, bool):
            raise OptionError(f"{name} is True or False, not {value!r}", hint=f"{name}=True")
    debounce = options.get("debounce")
    if debounce is not None:
        if not isinstance(debounce, timedelta) or debounce <= timedelta(0):
            raise OptionError(f"debounce is a positive timedelta, not {debounce!r}", hint=_DEBOUNCE)
        for name in _NOT_WITH_DEBOUNCE:
            if options.get(name):
                raise OptionError(f"debounce and {name} exclude each other", hint=f"leave out {name}")
    elif not options.get("unique_while_waiting") and "waiting_key" in options:
        raise OptionError("waiting_key says nothing alone", hint=f"{_DEBOUNCE}, or unique_while_waiting=True")
    if options.get("unique_while_waiting") and "idempotency_key" in options:
        raise OptionError(
            "unique_while_waiting and idempotency_key exclude each other",
            hint="the key says more: the same work is done once, not only once at a time",
        )


def noting(options: Mapping[str, Any], payload: Mapping[str, object], *, track: bool) -> dict[str, object]:
    """What a message carries of it, as CloudEvents attributes.

    Args:
        options: Of the send, checked.
        payload: The message's.
        track: Whether its task declares that each of its messages is tracked.
    """
    replaces, unique = "debounce" in options, options.get("unique_while_waiting", False)
    if not (replaces or unique):
        return {TRACKED: True} if options.get("track", track) else {}
    key = options.get("waiting_key") or "sha256:" + hashlib.sha256(_ENCODER.encode(payload)).hexdigest()
    return {TRACKED: True, DEBOUNCE if replaces else UNIQUE: key}
