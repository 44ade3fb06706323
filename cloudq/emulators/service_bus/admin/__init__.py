"""The administration: Atom XML over HTTP, as `ServiceBusAdministrationClient` speaks it."""
