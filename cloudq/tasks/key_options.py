"""What a declaration says of idempotency keys: until when they are unique, and which parameters may differ."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final, Literal, TypeAlias

import msgspec

from cloudq.core.fingerprint import fingerprint
from cloudq.errors import TaskDefinitionError, nearest
from cloudq.tasks.options import TaskOptions

UniqueUntil: TypeAlias = Literal["success", "start"]
OnStoreError: TypeAlias = Literal["wait", "run"]

_CHOICES: Final[Mapping[str, Sequence[str]]] = {"unique_until": ("success", "start"), "on_store_error": ("wait", "run")}


class KeyOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The checked ones.

    Attributes:
        unique_until: See `TaskOptions`.
        ignore: The parameters that two messages of one key may differ in.
        on_store_error: See `TaskOptions`.
    """

    unique_until: UniqueUntil = "success"
    ignore: frozenset[str] = frozenset()
    on_store_error: OnStoreError = "wait"

    def fingerprint(self, payload: Mapping[str, object]) -> bytes:
        """32 bytes that tell payloads apart: SHA-256 of its JSON in canonical form, without what is ignored.

        Args:
            payload: As it arrived, whole: of a claim check the content, since each send stores it under another name.
        """
        if self.ignore:
            payload = {name: value for name, value in payload.items() if name not in self.ignore}
        return fingerprint(payload)


NO_KEY_OPTIONS: Final = KeyOptions()


def key_options(options: TaskOptions, parameters: Sequence[str], task: str) -> KeyOptions:
    """The options of keys in a declaration.

    Raises:
        TaskDefinitionError: One of them means nothing.
    """
    for name, choices in _CHOICES.items():
        value = options.get(name, choices[0])
        if value not in choices:
            raise TaskDefinitionError(
                f"{name} of task {task!r} is {' or '.join(map(repr, choices))}, not {value!r}",
                hint=f'{name}="{choices[1]}"',
            )
    ignored = _ignored(options.get("idempotency_ignore", ()), parameters, task)
    if not options.keys() & {*_CHOICES, "idempotency_ignore"}:
        return NO_KEY_OPTIONS
    return KeyOptions(
        unique_until=options.get("unique_until", "success"),
        ignore=ignored,
        on_store_error=options.get("on_store_error", "wait"),
    )


def _ignored(given: object, parameters: Collection[str], task: str) -> frozenset[str]:
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise TaskDefinitionError(
            f"idempotency_ignore of task {task!r} names parameters, not {given!r}",
            hint='idempotency_ignore={"requested_at"}',
        )
    names = list(given)
    for name in names:
        if name not in parameters:
            raise TaskDefinitionError(
                f"idempotency_ignore: task {task!r} has no parameter {name!r}: {nearest(str(name), parameters)}",
                hint="what two messages of one key may differ in",
            )
    return frozenset(names)
