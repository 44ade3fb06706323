"""`Mappings`: what has Lambda run a queue's messages, its event source mappings: looked at, disabled and enabled.

By ListEventSourceMappings and UpdateEventSourceMapping (AWS Lambda API Reference, 2026-11).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from cloudq.app import App
from cloudq.core.driver import QueueInspector
from cloudq.core.url import parse_url
from cloudq.errors import BackendError, OptionError, PermissionDenied, QueueNotFound

ALL: Final = "all"
"""In place of a mapping's UUID: every one of the queue."""

# Of what is asked of a service beside SQS, where SQS's own clients have theirs.
_READ: Final = 10.0
_POOL: Final = 4
_MOST: Final = 100


class Mapping(msgspec.Struct, frozen=True, kw_only=True):
    """One mapping of a queue to a function.

    Attributes:
        uuid: Its id.
        function: The function's name.
        state: The service's word: `Enabled`, `Disabling`, `Disabled`, ...; a change takes it a minute or so.
    """

    uuid: str
    function: str
    state: str

    @property
    def hands_over(self) -> bool:
        """Whether it does, or is about to; while it is made or changed it says `Creating` or `Updating`."""
        return not self.state.lower().startswith("disabl")


class Mappings:
    """The mappings of one queue.

    Args:
        client: A botocore client of Lambda.
        queue: The queue's name, for people.
        arn: Its full name on SQS.
    """

    def __init__(self, client: Any, queue: str, arn: str) -> None:
        self._client = client
        self._queue = queue
        self._arn = arn

    @classmethod
    def of(cls, app: App, queue: str) -> Mappings:
        """Those of a queue of an app.

        Raises:
            OptionError: The app isn't on Amazon SQS.
            QueueNotFound: There is no such queue.
            BackendError: The queue can't be asked for its full name.
        """
        if parse_url(app.url).scheme != "sqs":
            raise OptionError(
                f"queue {queue!r} has no Lambda mapping: it isn't on Amazon SQS", hint="leave --lambda-mapping out"
            )
        driver = app.driver()
        settings = driver.queue_settings(queue) if isinstance(driver, QueueInspector) else None
        if settings is None or settings.resource is None:
            raise QueueNotFound(f"there is no queue {queue!r}", hint="its infrastructure, or cloudq queues create")
        return cls(open_beside(driver, "lambda"), queue, settings.resource)

    def chosen(self, uuids: Sequence[str]) -> list[Mapping]:
        """Those that are named, in the service's order; `ALL` names every one.

        Raises:
            OptionError: One that is named isn't there, or there is none at all.
            PermissionDenied: The caller may not list them.
            BackendError: They can't be listed.
        """
        try:
            found = [_mapping(one) for one in listed(self._client, self._arn)]
        except Exception as error:
            raise self._meant(error, "lambda:ListEventSourceMappings") from error
        if not found:
            raise OptionError(f"queue {self._queue!r} has no Lambda mapping", hint="leave --lambda-mapping out")
        missing = set(uuids) - {ALL, *(one.uuid for one in found)}
        if missing:
            there = ", ".join(f"{one.uuid} of {one.function}" for one in found)
            raise OptionError(f"queue {self._queue!r} has no Lambda mapping {min(missing)!r}", hint=f"it has {there}")
        return [one for one in found if ALL in uuids or one.uuid in uuids]

    def switch(self, mapping: Mapping, *, on: bool) -> Mapping:
        """Enables or disables one: as it is afterwards. Without a call where it is so, or about to be.

        Invocations that are under way go on; what Lambda's pollers hold may still be handed to the function.

        Raises:
            PermissionDenied: The caller may not change it.
            BackendError: It couldn't be changed: while an earlier change isn't done, the service refuses another.
        """
        if mapping.hands_over is on:
            return mapping
        try:
            return _mapping(self._client.update_event_source_mapping(UUID=mapping.uuid, Enabled=on))
        except Exception as error:
            raise self._meant(error, "lambda:UpdateEventSourceMapping") from error

    def close(self) -> None:
        """Closes the connections."""
        self._client.close()

    def _meant(self, error: Exception, permission: str) -> Exception:
        from cloudq.drivers.sqs.faults import code_of, translate

        meant = translate(error, self._queue)
        if isinstance(meant, PermissionDenied):
            return PermissionDenied(f"{permission} isn't allowed here", hint="docs/reference/iam.md")
        if code_of(error) == "ResourceInUseException":
            return BackendError("the mapping is being changed by somebody", hint="try again in a minute")
        return meant


def listed(client: Any, arn: str) -> Sequence[dict[str, Any]]:
    """The mappings of a queue as Lambda tells them, at most about a hundred."""
    found: list[dict[str, Any]] = []
    marker: dict[str, str] = {}
    while len(found) < _MOST:
        answer = client.list_event_source_mappings(EventSourceArn=arn, **marker)
        found += answer.get("EventSourceMappings") or ()
        if not answer.get("NextMarker"):
            break
        marker = {"Marker": answer["NextMarker"]}
    return found


def open_beside(driver: Any, name: str) -> Any:
    """A client of another service of AWS, in the region and at the endpoint of SQS's driver.

    Args:
        driver: SQS's.
        name: Botocore's name of the service.
    """
    from cloudq.aws_wire.clients import Service, open_client
    from cloudq.drivers.sqs.hosts import host_of

    of_queues = driver.client.meta
    endpoint = str(of_queues.endpoint_url)
    service = Service(name=name, title=f"AWS {name}", hint="sqs://REGION", read_timeout=_READ, pool=_POOL)
    return open_client(service, of_queues.region_name, None if host_of(endpoint) is not None else endpoint)


def _mapping(told: dict[str, Any]) -> Mapping:
    arn = str(told.get("FunctionArn") or "FUNCTION")
    # arn:aws:lambda:REGION:ACCOUNT:function:NAME, or with :ALIAS behind it.
    function = arn.split(":", 6)[6] if arn.count(":") > 5 else arn
    return Mapping(uuid=str(told.get("UUID") or "UUID"), function=function, state=str(told.get("State") or "unknown"))
