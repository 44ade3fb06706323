"""One each."""
