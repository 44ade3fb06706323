"""PostgreSQL, MariaDB and Redis, each as the tests start it."""

from __future__ import annotations

import socket
from contextlib import suppress
from pathlib import Path

from tests.servers.own import Server, find, free_port


class PostgreSQL(Server):
    """A cluster without durability, which no test of a store asks for. `url` is SQLAlchemy's."""

    def __init__(self) -> None:
        bin_ = _newest(Path("/usr/lib/postgresql"))
        initdb = str(bin_ / "initdb") if bin_ else find("postgresql", "initdb")
        postgres = str(bin_ / "postgres") if bin_ else find("postgresql", "postgres")
        port = free_port()
        self.url = f"postgresql+psycopg://cloudq@127.0.0.1:{port}/postgres"
        super().__init__(
            prepare=lambda data: [initdb, "-D", str(data), "-U", "cloudq", "-A", "trust", "-E", "UTF8", "--no-sync"],
            command=lambda data: [
                *(postgres, "-D", str(data), "-p", str(port), "-h", "127.0.0.1", "-k", str(data)),
                *("-c", "fsync=off", "-c", "max_connections=200"),
            ],
            ready=lambda: _answers(port),
        )


class MariaDB(Server):
    """A server with the database `cloudq`, which everybody on loopback may use."""

    def __init__(self) -> None:
        install = find("mariadb-server", "mariadb-install-db", "mysql_install_db")
        server = find("mariadb-server", "mariadbd", "mysqld")
        port = free_port()
        self.url = f"mysql+pymysql://root@127.0.0.1:{port}/test?charset=utf8mb4"
        super().__init__(
            prepare=lambda data: [
                *(install, f"--datadir={data}", "--auth-root-authentication-method=normal", "--no-defaults"),
            ],
            command=lambda data: [
                *(server, "--no-defaults", f"--datadir={data}", f"--port={port}", "--bind-address=127.0.0.1"),
                *(f"--socket={data}/socket", "--innodb-flush-log-at-trx-commit=0", f"--pid-file={data}/pid"),
            ],
            ready=lambda: _answers(port),
        )


class Redis(Server):
    """A server that keeps nothing on disk. `port` is where."""

    def __init__(self) -> None:
        server = find("redis-server", "redis-server", "valkey-server")
        self.port = port = free_port()
        super().__init__(
            prepare=lambda _: None,
            command=lambda data: [
                *(server, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(data)),
            ],
            ready=lambda: _answers(port),
        )


def _newest(folder: Path) -> Path | None:
    """Debian's, of which several may be there, and none on the PATH."""
    versions = sorted(folder.glob("*/bin/postgres"), key=lambda path: float(path.parts[-3]))
    return versions[-1].parent if versions else None


def _answers(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False
