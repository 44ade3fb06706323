"""`cloudq demo`."""
