"""`cloudq dlq`: dead letters are listed, shown, redriven, edited, purged, exported and imported."""
