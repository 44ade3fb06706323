"""Images come in over HTTP, a worker makes their thumbnails."""
