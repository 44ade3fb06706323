"""Azure Service Bus: queues, sessions and subscriptions over its own SDK."""

from cloudq.drivers.service_bus.driver import ServiceBusDriver as ServiceBusDriver
