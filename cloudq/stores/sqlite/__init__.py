"""The embedded store: tables of its own in an SQLite file, that of the embedded backend too.

Local disks only: SQLite's locks, and those of this store, can't be trusted over a network.
"""

from cloudq.stores.sqlite.store import SqliteStore

__all__ = ["SqliteStore"]
