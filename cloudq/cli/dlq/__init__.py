"""`cloudq dlq`: dead letters are shown, redriven, purged."""
