"""Azure Service Bus: queues, sessions and subscriptions over its own SDK. Needs the extra `cloudq[servicebus]`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cloudq.drivers.service_bus.driver import ServiceBusDriver as ServiceBusDriver

__all__ = ["ServiceBusDriver"]


def __getattr__(name: str) -> Any:
    # The SDK takes a third of a second to load: not where it isn't needed (a Function whose tasks succeed).
    if name == "ServiceBusDriver":
        from cloudq.drivers.service_bus.driver import ServiceBusDriver

        return ServiceBusDriver
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
