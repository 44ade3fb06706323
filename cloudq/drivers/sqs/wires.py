"""`Wires`: the two ways to make a client's calls, and which is taken: the lean one steps aside by itself."""

from __future__ import annotations

from threading import Lock
from typing import Any, Final, Literal, TypeAlias

from cloudq.core.safe_log import SafeLogger
from cloudq.errors import ConfigurationError

logger = SafeLogger("cloudq")

WireName: TypeAlias = Literal["auto", "boto3"]
"""Who makes the calls that repeat: a `LeanClient`, as long as nothing foreign is on the SDK's way; or the SDK."""

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
    """Says who makes a client's calls: a `LeanClient`, while nobody is to see them but AWS; else the client itself.

    Threads may share it.

    Args:
        client: A botocore client, made here and prepared.

    Attributes:
        client: The same.
    """

    def __init__(self, client: Any) -> None:
        # Not before a driver is opened, as the SDK itself.
        from cloudq.aws_wire.service import Unusual
        from cloudq.aws_wire.shipped import Watch
        from cloudq.drivers.sqs.lean import OPERATIONS, LeanClient

        self.client = client
        self._watch = Watch(client, OPERATIONS)
        self._lock = Lock()
        self._told: str | None = None
        try:
            self._lean: Any = LeanClient(client)
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

    def close(self) -> None:
        """Closes the connections that are idle, the client's too."""
        (self._lean or self.client).close()

    def _tell(self, reason: str | None) -> None:
        with self._lock:
            if reason == self._told:
                return  # another thread did
            self._told = reason
        if reason is None:
            logger.info("calls to Amazon SQS that repeat are made by cloudq again, without the SDK")
        else:
            logger.info("calls to Amazon SQS are made by the SDK: %s", reason)
