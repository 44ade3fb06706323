"""One Python task queue over the hosted queues people already pay for."""

__version__ = "0.1.0.dev0"
