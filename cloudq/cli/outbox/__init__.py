"""`cloudq outbox`, and the relay inside `cloudq worker`."""
