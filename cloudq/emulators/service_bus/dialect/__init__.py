"""Service Bus's own way of using AMQP: addresses, annotations, settlement, `$cbs` and `$management`.

What is known of it comes from the clients' sources (azure-servicebus 7.15 for Python, @azure/service-bus 7.9 for
JavaScript) and from "AMQP 1.0 in Azure Service Bus: request-response-based operations" (Microsoft Learn, 2024-06).
"""
