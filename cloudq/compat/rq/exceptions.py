"""RQ's exceptions, as far as programs catch them."""

from __future__ import annotations


class NoSuchJobError(Exception):
    """Nothing is noted of a job: it is another store's, was kept for long enough, or never was one."""
