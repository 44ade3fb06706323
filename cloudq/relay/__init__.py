"""The relay: publishes what programs have stored in their outbox. A host beside the worker and the push edge."""
