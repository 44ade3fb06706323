"""`ExtensionCall`: the leases that one call extends; which are due, and a call that lands whatever it raises."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from typing import Final, NamedTuple

from cloudq.core.delivery import Lease
from cloudq.core.driver import Capabilities, ExtendResult
from cloudq.errors import BackendError
from cloudq.running.held import HeldLease

# Leases due for extension within this part of the lease are extended together with those due now.
EXTEND_AHEAD_FRACTION: Final = 8


class ExtensionCall(NamedTuple):
    """One call of `PullDriver.extend`.

    Attributes:
        groups: For each lease of the call, the deliveries that share it, as those of a session do.
        by: How long the leases are to last from now.
    """

    groups: Sequence[Sequence[HeldLease]]
    by: timedelta

    def make(self, extend: Callable[[Sequence[Lease], timedelta], Sequence[ExtendResult]]) -> Sequence[ExtendResult]:
        """One result for each group, in order. What the call raises is the result of all."""
        try:
            results = extend([group[0].delivery.lease for group in self.groups], self.by)
        except BaseException as error:  # noqa: BLE001 - an SDK may raise anything; each lease is tried again before its end
            return [ExtendResult(error=_as_exception(error))] * len(self.groups)
        if len(results) != len(self.groups):
            wrong = BackendError(f"{len(self.groups)} leases were to be extended and {len(results)} results came back")
            return [ExtendResult(error=wrong)] * len(self.groups)
        return results


def due_calls(
    held: Iterable[HeldLease],
    now: timedelta,
    *,
    lease: Callable[[str], timedelta],
    capabilities: Callable[[str], Capabilities],
) -> list[ExtensionCall]:
    """The calls to make now; none if some are only due soon. A lease whose settlement takes too long is left out.

    Args:
        held: What is held.
        now: `Clock.elapsed`.
        lease: How long an extended lease of a queue is to last.
        capabilities: `PullDriver.capabilities`.
    """
    due: dict[tuple[str, timedelta], list[HeldLease]] = {}
    any_due = False
    for one in held:
        life, queue = one.life, one.delivery.queue
        whole = one.stretch or lease(queue)
        if not life.due(now + whole / EXTEND_AHEAD_FRACTION):
            continue
        if life.settle_by is not None and now >= life.settle_by:
            life.extend_at = None
            continue
        any_due = any_due or life.due(now)
        by = whole if life.hard_end is None else min(whole, life.hard_end - now)
        due.setdefault((queue, by), []).append(one)
    if not any_due:
        return []
    return [
        ExtensionCall(groups[start : start + size], by)
        for (queue, by), together in due.items()
        for groups, size in [(list(by_lease(together).values()), capabilities(queue).max_batch)]
        for start in range(0, len(groups), size)
    ]


def by_lease(held: Iterable[HeldLease]) -> dict[int, list[HeldLease]]:
    """Those that share a lease together."""
    groups: dict[int, list[HeldLease]] = {}
    for one in held:
        groups.setdefault(id(one.delivery.lease), []).append(one)
    return groups


def _as_exception(error: BaseException) -> Exception:
    if isinstance(error, Exception):
        return error
    wrapped = BackendError(f"the extension was interrupted by {type(error).__name__}")
    wrapped.__cause__ = error
    return wrapped
