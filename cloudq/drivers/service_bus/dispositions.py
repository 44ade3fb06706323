"""Settlements by the SDK's links: a batch is sent, then all answers are awaited together.

The SDK's `complete_message` waits for the answer to each settlement, a round trip a message. Private parts are used
here as in `sdk.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from azure.servicebus import ServiceBusReceivedMessage, ServiceBusReceiver
from azure.servicebus._pyamqp.error import AMQPError, ErrorCondition
from azure.servicebus._pyamqp.outcomes import Accepted, Modified, Rejected, Released
from azure.servicebus._pyamqp.receiver import check_disposition_outcome, outcome_name

from cloudq.drivers.service_bus.sdk import Unconfirmed, link_of, one_write, public_error

_REJECTED: Final = "rejected"
_DEAD_LETTER: Final = b"com.microsoft:dead-letter"
_REASON: Final = "DeadLetterReason"
_DESCRIPTION: Final = "DeadLetterErrorDescription"

Disposition = Accepted | Modified | Rejected | Released

COMPLETE: Final = Accepted()
ABANDON: Final = Modified(delivery_failed=True, undeliverable_here=False, message_annotations=None)
RELEASE: Final = Released()


def dead_lettering(reason: str, description: str, properties: Mapping[str, str]) -> Rejected:
    """The disposition that dead-letters; the service stores reason, description and properties with the message."""
    info = {**properties, _REASON: reason, _DESCRIPTION: description}
    return Rejected(error=AMQPError(condition=_DEAD_LETTER, description=description, info=info))


class Sent:
    """Settlements that were sent by one link. Their answers are read by whatever reads from it next.

    Args:
        receiver: The receiver that the messages came by.
        steps: Each message with what is to become of it.
    """

    def __init__(
        self, receiver: ServiceBusReceiver, steps: Sequence[tuple[ServiceBusReceivedMessage, Disposition]]
    ) -> None:
        self._receiver = receiver
        self._steps = steps
        self._waiting: dict[int, dict[str, Any]] = link_of(receiver)._pending_dispositions
        self._broken = False
        self._entries: list[dict[str, Any]] = []
        self._errors: list[BaseException | None] = [None] * len(steps)
        try:
            with one_write(receiver):
                for index, (message, disposition) in enumerate(steps):
                    self._send(index, message, disposition)
        except OSError as error:
            for index in range(len(steps)):
                self._give_up(index, error)

    def _send(self, index: int, message: ServiceBusReceivedMessage, disposition: Disposition) -> None:
        entry = {"settled": False, "outcome": None}
        self._entries.append(entry)
        self._waiting[message._delivery_id] = entry
        try:
            link_of(self._receiver)._outgoing_disposition(
                message._delivery_id, None, message._delivery_tag, False, disposition, None
            )
        except Exception as error:  # noqa: BLE001 - the connection is cut; another may settle it
            self._give_up(index, error)

    def _give_up(self, index: int, error: Exception) -> None:
        self._entries[index]["settled"] = True
        # Of a second try: the link forgets a delivery once a settlement of it was sent.
        self._broken = self._broken or getattr(error, "condition", None) != ErrorCondition.IllegalState
        self._errors[index] = unsent = Unconfirmed("the settlement could not be sent")
        unsent.__cause__ = error

    @property
    def failed(self) -> bool:
        """Whether one could not even be sent: then the connection can't be used any more, even if it seems open."""
        return self._broken

    @property
    def answered(self) -> bool:
        """Whether all are."""
        return all(entry["settled"] for entry in self._entries)

    def conclude(self, cut: BaseException | None) -> list[BaseException | None]:
        """Waits no longer, and returns `answers`."""
        for message, _ in self._steps:
            self._waiting.pop(message._delivery_id, None)
        return self.answers(cut)

    def answers(self, cut: BaseException | None) -> list[BaseException | None]:
        """The error of each, in order; `Unconfirmed`, because of `cut`, where there is no answer."""
        return [
            error or _answer(self._receiver, entry, disposition, cut)
            for error, entry, (_, disposition) in zip(self._errors, self._entries, self._steps, strict=True)
        ]


def settle_by_token(receiver: ServiceBusReceiver, message: ServiceBusReceivedMessage, disposition: Disposition) -> None:
    """Settles a message that came by a link that is gone; only a lock that still holds is.

    Raises:
        ServiceBusError: It was not settled.
    """
    details = None
    if isinstance(disposition, Accepted):
        status = "completed"
    elif isinstance(disposition, Rejected):
        status = "suspended"
        said = disposition.error.info
        details = {"deadletter-reason": said[_REASON], "deadletter-description": said[_DESCRIPTION]}
        kept = {name: value for name, value in said.items() if name not in (_REASON, _DESCRIPTION)}
        if kept:
            details["properties-to-modify"] = kept
    else:
        status = "abandoned"
    tokens: list[Any] = [message.lock_token]
    receiver._settle_message_via_mgmt_link(status, tokens, dead_letter_details=details)


def _answer(
    receiver: ServiceBusReceiver, entry: Mapping[str, Any], disposition: Disposition, cut: BaseException | None
) -> BaseException | None:
    if not entry["settled"]:
        unconfirmed = Unconfirmed("the settlement was sent, and no answer came")
        unconfirmed.__cause__ = cut
        return unconfirmed
    outcome, asked = entry["outcome"], outcome_name(disposition)
    if not isinstance(outcome, Mapping) or (asked not in outcome and _REJECTED not in outcome):
        return Unconfirmed(f"a settlement as {asked} was answered by {outcome!r}")
    try:
        check_disposition_outcome(0, dict(outcome), asked)
    except Exception as error:  # noqa: BLE001 - it is what the service answered
        return public_error(receiver, error)
    return None
