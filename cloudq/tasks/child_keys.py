"""Keys of what a keyed task sends: a run that is repeated sends the same work again, which is to be done once."""

from __future__ import annotations

import hashlib
import threading
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from cloudq.core.message import Message
from cloudq.core.tracking import waiting_of
from cloudq.tasks.context import claim_of, maybe_current
from cloudq.tasks.key_options import NO_KEY_OPTIONS

if TYPE_CHECKING:
    from cloudq.tasks.definition import Definition

_PREFIX: Final = "child-"
# Threads of one task may send at once. Held for the moment of a count.
_counting: Final = threading.Lock()


def with_childs_key(message: Message, definition: Definition | None) -> Message:
    """The message with a key of its parent's, if it is sent in the run of a claimed key and has none of its own.

    ```
     parent order-42, run 1    sends ship {"item": 1}, ship {"item": 1}, ship {"item": 2} ─▶ ✗
     parent order-42, run 2    sends ship {"item": 2}, ship {"item": 1}, ship {"item": 1}: the same three keys
    ```

    It is made of the parent's task and key, the child's task, queue, ordering key and payload, and which of the sends
    with the same ones it is. The payload is part of it, so that a run which sends in another order, as from a set,
    never has one child dropped in another one's place.

    None for a message of which one is to wait (`debounce`, `unique_while_waiting`): it is to run after each send, also
    that of a repeated run, which may have changed what the first one's child has seen.

    Args:
        message: To be sent.
        definition: Of its task, if that is declared here: what a key ignores of its payload isn't looked at.
    """
    if message.idempotency_key is not None or waiting_of(message) is not None:
        return message
    context = maybe_current()
    claim = None if context is None else claim_of(context)
    if context is None or claim is None:
        return message
    options = NO_KEY_OPTIONS if definition is None else definition.key_options
    parts = (
        claim.key.task,
        claim.key.key,
        message.task,
        message.queue,
        message.ordering_key or "",
        options.fingerprint(message.payload).hex(),
    )
    with _counting:
        number = context.sends[parts] = context.sends.get(parts, 0) + 1
    digest = hashlib.sha256()
    for part in (*parts, str(number)):
        encoded = part.encode("utf-8", "surrogatepass")
        digest.update(len(encoded).to_bytes(8) + encoded)
    return replace(message, idempotency_key=_PREFIX + digest.hexdigest())
