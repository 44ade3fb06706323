"""The embedded backend: one SQLite file, many processes, no server.

Local disks only: SQLite's locks, and those of this driver, can't be trusted over a network.
"""

from cloudq.drivers.sqlite.driver import SQLiteDriver

__all__ = ["SQLiteDriver"]
