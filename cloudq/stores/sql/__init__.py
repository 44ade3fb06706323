"""The store on PostgreSQL, MariaDB and MySQL, through SQLAlchemy Core."""

from cloudq.stores.sql.store import SqlStore

__all__ = ["SqlStore"]
