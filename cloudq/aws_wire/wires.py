"""`Wires`: the two ways to make a client's calls, and which is taken: the lean one steps aside by itself."""

from __future__ import annotations

from collections.abc import Callable, Collection
from threading import Lock
from typing import Any, Final, Literal, TypeAlias

from cloudq.aws_wire.instrumentations import past_opentelemetry
from cloudq.core.safe_log import SafeLogger
from cloudq.errors import ConfigurationError

logger = SafeLogger("cloudq")

WireName: TypeAlias = Literal["auto", "boto3"]
"""Who makes the calls that repeat: a lean client, as long as nothing foreign is on the SDK's way; or the SDK."""

_NAMES: Final[tuple[WireName, ...]] = ("auto", "boto3")


def wire_named(text: str) -> WireName:
    """The wire of that name.

    Raises:
        ConfigurationError: There is none.
    """
    for name in _NAMES:
        if name == text:
            return name
    raise ConfigurationError(
        f"wire is none of {' and '.join(_NAMES)}", hint="wire=boto3 has the SDK make all calls; it isn't needed else"
    )


class Wires:
    """Says who makes a client's calls: a lean client, while nobody is to see them but AWS; else the client itself.

    Threads may share it.

    Args:
        client: A botocore client, made here and prepared.
        make: Makes the lean client of it, whose `close` closes both.
        operations: The names of the calls that this one makes, as the service has them.
        title: What people call the service, for the log.

    Attributes:
        client: The same.
    """

    def __init__(self, client: Any, make: Callable[[Any], Any], operations: Collection[str], *, title: str) -> None:
        # Not before a driver or a store is opened, as the SDK itself.
        from cloudq.aws_wire.service import Unusual
        from cloudq.aws_wire.shipped import Watch

        self.client = client
        self._title = title
        self._watch = Watch(client, operations)
        self._lock = Lock()
        self._told: str | None = None
        try:
            self._lean: Any = make(client)
        except Unusual as reason:
            self._lean = None
            self._tell(str(reason))
        else:
            self.caller()

    def caller(self) -> Any:
        """Who makes the next call. Costs next to nothing: ask before each."""
        if self._lean is None:
            return self.client
        reason = self._watch.foreign()
        if reason != self._told:
            self._tell(reason)
        return self._lean if reason is None else self.client

    def pass_opentelemetry(self, passes: bool) -> None:
        """Whether OpenTelemetry's instrumentations are called past: then they are nobody who is to see the calls."""
        self._watch.look_past(past_opentelemetry if passes else None)

    def close(self) -> None:
        """Closes the connections that are idle, the client's too."""
        (self._lean or self.client).close()

    def _tell(self, reason: str | None) -> None:
        with self._lock:
            if reason == self._told:
                return  # another thread did
            self._told = reason
        if reason is None:
            logger.info("calls to %s that repeat are made by cloudq again, without the SDK", self._title)
        else:
            logger.info("calls to %s are made by the SDK: %s", self._title, reason)
