"""Copies that always fit: the details beside a body are shortened step by step rather than that it is refused.

```
 refused ─▶ traceback cut ─▶ message cut ─▶ the reason alone ─▶ nothing but the body ─▶ too large: see `Plan.instead`
```

Where the queue says how much it takes, or has said so before, the details are cut to that at once.
"""

from __future__ import annotations

from msgspec.structs import replace

from cloudq.core.capabilities import Capabilities
from cloudq.core.failure import Failure
from cloudq.core.message import is_dead_letter_queue
from cloudq.core.safe_log import SafeLogger
from cloudq.core.steps import Outgoing
from cloudq.errors import MessageTooLarge
from cloudq.queues.sizes import LearntSize

logger = SafeLogger("cloudq")


def fitted(item: Outgoing, learnt: LearntSize, capabilities: Capabilities) -> Outgoing:
    """The item with no more details than the queue is known to take; with the fewest, if it won't take the body."""
    if item.failure is None:
        return item
    room = learnt.limit - len(item.body) - learnt.beside
    if len(item.failure.encode()) <= room:
        return item
    shorter = _with(item, item.failure.within(room), capabilities)
    return item if shorter is None else shorter


def smaller(item: Outgoing, error: MessageTooLarge, capabilities: Capabilities) -> Outgoing | None:
    """The item with fewer details, once its queue has refused it; `None` if there is nothing left to leave out."""
    failure = item.failure
    if failure is None or (error.limit is not None and len(item.body) > error.limit):
        return None
    if error.limit is None or error.size is None or error.size <= error.limit:
        # Nobody says how much is too much; or something in between adds to it.
        return _with(item, failure.shorter(), capabilities)
    return _with(item, failure.within(len(failure.encode()) - (error.size - error.limit)), capabilities)


def _with(item: Outgoing, failure: Failure | None, capabilities: Capabilities) -> Outgoing | None:
    if failure is None and not _may_go_without(item, capabilities):
        return None
    if failure is None and item.failure is not None:
        logger.warning(
            "the copy of %s for queue %r has no room beside its body for why it failed: %s",
            item.id,
            item.queue,
            item.failure.reason,
        )
    return replace(item, failure=failure)


def _may_go_without(item: Outgoing, capabilities: Capabilities) -> bool:
    """Whether nothing but a person goes by the details."""
    failure = item.failure
    if failure is None or is_dead_letter_queue(item.queue):
        return True
    if failure.is_wait:
        return False  # its patience would begin anew with each copy
    # The name of a copy whose body can't say its generation is made of that in its details (semantics 1).
    return item.native_id is not None or capabilities.deduplication is None
