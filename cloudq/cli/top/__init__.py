"""`cloudq top`: queues, workers and dead letters at a glance, again and again."""
