"""Emulators of hosted queues, for development and tests. They know nothing of the rest of cloudq."""
