"""`Copier`: makes what is stored in a queue for a dead letter of its own, or for one that was exported."""

from __future__ import annotations

import hashlib

from msgspec.structs import replace

from cloudq.core import wire
from cloudq.core.clock import Clock
from cloudq.core.delivery import Delivery
from cloudq.core.driver import Capabilities, Outgoing
from cloudq.core.message import LARGEST_COUNT, LINEAGE, Message, native_copy_id, next_generation
from cloudq.core.plan import letter_name, outgoing
from cloudq.core.redriving import EDITS, redriven_copy
from cloudq.core.signatures import sign
from cloudq.core.signing_keys import SigningKey


class Copier:
    """Makes copies: all attempts before them, due at once, in the next generation, counted as one redrive more.

    Args:
        queue: The queue that they go to.
        capabilities: What it can do.
        clock: Where the time comes from.
        signer: The operator's key, for what is no longer what its sender signed; `None`: that isn't signed.
    """

    def __init__(self, queue: str, capabilities: Capabilities, clock: Clock, signer: SigningKey | None) -> None:
        self._queue = queue
        self._capabilities = capabilities
        self._clock = clock
        self._signer = signer

    def copy(self, delivery: Delivery, instead: Message | None = None) -> Outgoing:
        """The copy of a dead letter.

        Args:
            delivery: The dead letter.
            instead: What takes its message's place, to be signed with the operator's key.
        """
        message = instead if instead is not None else delivery.message
        if message is None:
            return self._undecoded(delivery)
        copy = redriven_copy(replace(message, queue=self._queue), delivery.failure)
        # Of two letters under one id neither may swallow the other: see `plan`. Nor may a copy of this letter's twin,
        # which died of the same generation elsewhere: an import, or another redrive, may have made that, and it may be
        # gone since. So what is known already is a copy of this very letter, by a redrive that was killed.
        name = letter_name(delivery) if delivery.copy is None else f"{letter_name(delivery)} {delivery.copy}"
        if instead is not None:
            # Nor may the copy of the unchanged one, which a redrive that crashed may have stored, swallow this one, or
            # that of another edit. The same edit again is the same copy again.
            name = f"{name} {_hash_of(instead)}"
        native_id = native_copy_id(copy.source, copy.task, name, copy.generation)
        # Nor may what a worker makes of this copy later, a retry or a dead letter, swallow what it makes of another.
        copy = replace(copy, extensions={**copy.extensions, LINEAGE: native_id})
        item = outgoing(
            copy,
            self._capabilities,
            self._clock.now(),
            foreign=delivery.foreign,
            native_fairness=delivery.fairness_key,
        )
        item = replace(item, native_id=native_id)
        if instead is not None and self._signer is not None:
            item = replace(item, body=sign(item.body, self._signer))
        # A producer that isn't cloudq may give the key to the service alone.
        group = delivery.group if self._capabilities.ordering else None
        return item if item.ordering_key else replace(item, ordering_key=group)

    def _undecoded(self, delivery: Delivery) -> Outgoing:
        # The bytes go back as they are; perhaps a newer worker understands them. They can't carry their generation, so
        # a native id might be that of an earlier redrive, and the copy be swallowed (semantics 1).
        failure = delivery.failure
        if failure is not None:
            generation, count = next_generation(failure.generation), min(failure.redriven + 1, LARGEST_COUNT)
            failure = replace(failure, generation=generation, redriven=count)
        return Outgoing(
            id=delivery.id,
            queue=self._queue,
            foreign=delivery.foreign,
            body=delivery.body,
            ordering_key=delivery.group,
            fairness_key=delivery.fairness_key if self._capabilities.fairness else None,
            failure=failure,
        )


def _hash_of(message: Message) -> str:
    """What is in it, but for the note of when and by whom it was edited."""
    extensions = {name: value for name, value in message.extensions.items() if name != EDITS}
    return hashlib.sha256(wire.encode(replace(message, extensions=extensions))).hexdigest()
