"""`$management`: what is done to messages and sessions by request, not by link."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final
from uuid import UUID

from cloudq.emulators.service_bus.amqp.errors import AmqpError, ErrorCondition
from cloudq.emulators.service_bus.amqp.types import Array, Int, Symbol, Timestamp
from cloudq.emulators.service_bus.broker.address import Address
from cloudq.emulators.service_bus.broker.api import BrokerError, Messaging, Received, ReceiveMode
from cloudq.emulators.service_bus.dialect import names
from cloudq.emulators.service_bus.dialect.bodies import Body
from cloudq.emulators.service_bus.dialect.faults import FaultPoint, Faults
from cloudq.emulators.service_bus.dialect.messages import encode_received, parse
from cloudq.emulators.service_bus.dialect.outcomes import properties_of
from cloudq.emulators.service_bus.dialect.requests import Request, Response
from cloudq.emulators.service_bus.dialect.rules import Rules

_OK, _NO_CONTENT, _BAD_REQUEST, _NOT_FOUND, _NOT_IMPLEMENTED = 200, 204, 400, 404, 501
_VENDOR: Final = "com.microsoft:"
_NO_LOCK: Final = UUID(int=0)
MOST_PEEKED: Final = 1000
_STATUSES: Final = {
    ErrorCondition.NOT_IMPLEMENTED: _NOT_IMPLEMENTED,
    ErrorCondition.NOT_FOUND: _NOT_FOUND,
}

Fields = dict[object, object]


class Management:
    """Answers the requests of one entity."""

    __slots__ = ("_address", "_broker", "_faults", "_operations")

    def __init__(self, address: Address, broker: Messaging, faults: Faults) -> None:
        """Checks that there is such an entity. Raises `BrokerError`."""
        self._address = address
        self._broker = broker
        self._faults = faults
        try:
            broker.receiver_entity(address)
        except BrokerError:
            broker.sender_entity(address)  # a topic
        rules = Rules(address, broker)
        self._operations: dict[str, Callable[[Body], Fields | None]] = {
            "renew-lock": self._renew_lock,
            "schedule-message": self._schedule,
            "cancel-scheduled-message": self._cancel_scheduled,
            "receive-by-sequence-number": self._receive_deferred,
            "peek-message": self._peek,
            "batch-delete-messages": self._delete,
            "update-disposition": self._update_disposition,
            "renew-session-lock": self._renew_session,
            "get-session-state": self._get_session_state,
            "set-session-state": self._set_session_state,
            "get-message-sessions": self._get_sessions,
            "add-rule": rules.add,
            "remove-rule": rules.remove,
            "enumerate-rules": rules.enumerate,
        }

    def answer(self, request: Request) -> Response:
        """Does what is asked for."""
        try:
            self._faults.check(FaultPoint.MANAGE)
            operation = self._operations.get(request.operation.removeprefix(_VENDOR))
            if operation is None:
                text = f"$management has no operation {request.operation}"
                raise AmqpError(ErrorCondition.NOT_IMPLEMENTED, text)
            fields = operation(Body(request.body))
        except BrokerError as error:
            return _failed(error.status, error.condition.value, error.text)
        except AmqpError as error:
            status = next((code for key, code in _STATUSES.items() if key == error.condition), _BAD_REQUEST)
            return _failed(status, error.condition, error.text)
        if fields is None:
            return Response(properties=_properties(_NO_CONTENT, "No content"))
        return Response(properties=_properties(_OK, "OK"), body=fields)

    # ── messages ─────────────────────────────────────────────────────────────────────────────────────────

    def _renew_lock(self, body: Body) -> Fields:
        until = self._broker.renew_locks(self._address, body.tokens("lock-tokens"))
        return {"expirations": Array(Timestamp, tuple(Timestamp(names.to_millis(moment)) for moment in until))}

    def _schedule(self, body: Body) -> Fields:
        messages = [parse(entry.binary("message") or b"") for entry in body.maps("messages")]
        numbers = self._broker.schedule(self._address, messages)
        return {"sequence-numbers": Array(int, tuple(numbers))}

    def _cancel_scheduled(self, body: Body) -> Fields:
        self._broker.cancel_scheduled(self._address, body.numbers("sequence-numbers"))
        return {}

    def _receive_deferred(self, body: Body) -> Fields:
        mode = ReceiveMode.RECEIVE_AND_DELETE if body.number("receiver-settle-mode", 1) == 0 else ReceiveMode.PEEK_LOCK
        received = self._broker.receive_deferred(
            self._address, body.numbers("sequence-numbers"), mode, body.optional_text("session-id")
        )
        return {
            "messages": [
                {"lock-token": message.lock_token or _NO_LOCK, "message": encode_received(message)}
                for message in received
            ]
        }

    def _peek(self, body: Body) -> Fields | None:
        received = self._broker.peek(
            self._address,
            body.number("from-sequence-number"),
            min(body.number("message-count"), MOST_PEEKED),
            body.optional_text("session-id"),
        )
        return {"messages": list(map(_peeked, received))} if received else None

    def _delete(self, body: Body) -> Fields | None:
        deleted = self._broker.delete_messages(
            self._address,
            body.number("message-count"),
            names.from_millis(body.number("enqueued-time-utc")),
            body.optional_text("session-id"),
        )
        return {"message-count": Int(deleted)} if deleted else None

    def _update_disposition(self, body: Body) -> Fields:
        status = body.text("disposition-status")
        properties = properties_of(body.mapping("properties-to-modify"))
        for token in body.tokens("lock-tokens"):
            match status:
                case "completed":
                    self._broker.complete(self._address, token)
                case "abandoned":
                    self._broker.abandon(self._address, token, properties)
                case "defered":  # the service's own spelling
                    self._broker.defer(self._address, token, properties)
                case "suspended":
                    self._broker.dead_letter(
                        self._address,
                        token,
                        reason=body.optional_text("deadletter-reason"),
                        description=body.optional_text("deadletter-description"),
                        properties=properties,
                    )
                case _:
                    text = f"disposition-status is completed, abandoned, defered or suspended, not {status}"
                    raise AmqpError(ErrorCondition.INVALID_FIELD, text)
        return {}

    # ── sessions ─────────────────────────────────────────────────────────────────────────────────────────

    def _renew_session(self, body: Body) -> Fields:
        until = self._broker.renew_session(self._address, body.text("session-id"))
        return {"expiration": Timestamp(names.to_millis(until))}

    def _get_session_state(self, body: Body) -> Fields:
        return {"session-state": self._broker.session_state(self._address, body.text("session-id"))}

    def _set_session_state(self, body: Body) -> Fields:
        self._broker.set_session_state(self._address, body.text("session-id"), body.binary("session-state"))
        return {}

    def _get_sessions(self, body: Body) -> Fields | None:
        # Clients ask with the last moment of all for every session, with another for those whose state changed since.
        since = names.from_millis(body.number("last-updated-time"))
        skip = body.number("skip", 0)
        ids = self._broker.session_ids(
            self._address,
            updated_after=None if since >= names.LAST else since,
            skip=skip,
            top=body.number("top", 100),
        )
        return {"skip": Int(skip + len(ids)), "sessions-ids": Array(str, tuple(ids))} if ids else None


def _peeked(received: Received) -> Fields:
    return {"message": encode_received(received)}


def _properties(status: int, description: str) -> Fields:
    return {"statusCode": Int(status), "statusDescription": description}


def _failed(status: int, condition: str, text: str) -> Response:
    return Response(properties=_properties(status, text) | {"errorCondition": Symbol(condition)}, body={})
