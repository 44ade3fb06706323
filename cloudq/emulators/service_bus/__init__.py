"""An emulator of Azure Service Bus: `broker` keeps the messages, `amqp` speaks to clients, `admin` manages entities."""
