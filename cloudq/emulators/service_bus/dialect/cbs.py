"""`$cbs`, where clients show their tokens. Every token is right: the emulator has nobody to keep out."""

from __future__ import annotations

from typing import Final

from cloudq.emulators.service_bus.amqp.errors import AmqpError
from cloudq.emulators.service_bus.amqp.types import Int
from cloudq.emulators.service_bus.dialect.faults import FaultPoint, Faults
from cloudq.emulators.service_bus.dialect.requests import Request, Response

_ACCEPTED, _BAD_REQUEST, _UNAUTHORIZED = 202, 400, 401
OPERATION: Final = "put-token"


class ClaimsBasedSecurity:
    """Answers `put-token`."""

    __slots__ = ("_faults",)

    def __init__(self, faults: Faults) -> None:
        self._faults = faults

    def answer(self, request: Request) -> Response:
        """Takes the token, unless it is one's wish that it be refused."""
        if request.operation != OPERATION:
            return _response(_BAD_REQUEST, f"$cbs knows {OPERATION}, not {request.operation}")
        try:
            self._faults.check(FaultPoint.AUTHORIZE)
        except AmqpError as error:
            return _response(_UNAUTHORIZED, error.text)
        return _response(_ACCEPTED, "Accepted")


def _response(status: int, description: str) -> Response:
    return Response(properties={"status-code": Int(status), "status-description": description})
