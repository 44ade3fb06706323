"""Queues, topics and subscriptions in memory: no network, no threads, and no clock of its own."""
