"""Stores of idempotency keys: one room each, over the contract of `cloudq.core.store` alone."""
