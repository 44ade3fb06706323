"""Dependencies of tasks: what a run needs, and no message carries. Opened for an attempt, or once for a process."""
