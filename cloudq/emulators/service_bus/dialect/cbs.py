"""`$cbs`, where clients show their tokens. Every token is right, if there is what it is for."""

from __future__ import annotations

from typing import Final

from cloudq.emulators.service_bus.amqp.errors import AmqpError
from cloudq.emulators.service_bus.amqp.types import Int
from cloudq.emulators.service_bus.broker.api import BrokerError, Condition, Messaging
from cloudq.emulators.service_bus.dialect.addresses import NodeKind, parse_node
from cloudq.emulators.service_bus.dialect.faults import FaultPoint, Faults
from cloudq.emulators.service_bus.dialect.requests import Request, Response

_ACCEPTED, _BAD_REQUEST, _UNAUTHORIZED, _NOT_FOUND = 202, 400, 401, 404
OPERATION: Final = "put-token"


class ClaimsBasedSecurity:
    """Answers `put-token`."""

    __slots__ = ("_broker", "_faults")

    def __init__(self, broker: Messaging, faults: Faults) -> None:
        self._broker = broker
        self._faults = faults

    def answer(self, request: Request) -> Response:
        """Takes the token. One for an entity that isn't there is refused, as the service refuses it."""
        if request.operation != OPERATION:
            return _response(_BAD_REQUEST, f"$cbs knows {OPERATION}, not {request.operation}")
        try:
            self._faults.check(FaultPoint.AUTHORIZE)
        except AmqpError as error:
            return _response(_UNAUTHORIZED, error.text)
        audience = request.properties.get("name")
        if isinstance(audience, str) and not self._exists(audience):
            return _response(_NOT_FOUND, f"The messaging entity '{audience}' could not be found.")
        return _response(_ACCEPTED, "Accepted")

    def _exists(self, audience: str) -> bool:
        """Whether there is what a token is for: an entity, or the namespace as a whole."""
        try:
            node = parse_node(audience)
        except AmqpError:
            return True  # the namespace's own address has no path
        if node.kind is NodeKind.CBS:
            return True
        for known in (self._broker.receiver_entity, self._broker.sender_entity):
            try:
                known(node.address)
            except BrokerError as error:
                if error.condition is not Condition.NOT_FOUND:
                    return True
            else:
                return True
        return False


def _response(status: int, description: str) -> Response:
    return Response(properties={"status-code": Int(status), "status-description": description})
