"""PostgreSQL, MariaDB, Redis and PgBouncer, each as the tests start it."""

from __future__ import annotations

import signal
import socket
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

from tests.servers.own import Server, find, free_port


class PostgreSQL(Server):
    """A cluster without durability, which no test of a store asks for. `url` is SQLAlchemy's.

    Args:
        standby: Whether it only follows another one: none, which it waits for, and can be read meanwhile.
        settings: Of the server, in place of its defaults.
    """

    ending: ClassVar[signal.Signals] = signal.SIGINT  # it waits for no client

    def __init__(self, *, standby: bool = False, **settings: str) -> None:
        programs = self.check()
        self.port = port = free_port()
        self.url = f"postgresql+psycopg://cloudq@127.0.0.1:{port}/postgres"
        settings = {"fsync": "off", "full_page_writes": "off", "max_connections": "200", **settings}
        super().__init__(
            prepare=lambda data: [
                *(programs["initdb"], "-D", str(data), "-U", "cloudq", "-A", "trust", "-E", "UTF8", "--no-sync"),
                "--locale=C",
            ],
            settle=(lambda data: (data / "standby.signal").touch()) if standby else None,
            command=lambda data: [
                *(programs["postgres"], "-D", str(data), "-p", str(port), "-h", "127.0.0.1", "-k", str(data)),
                *(f"--{name}={value}" for name, value in settings.items()),
            ],
            ready=_is_open,
        )

    @classmethod
    def check(cls) -> dict[str, str]:
        """Where its programs are, or the test is skipped."""
        newest = _newest(Path("/usr/lib/postgresql"))
        return {name: str(newest / name) if newest else find("postgresql", name) for name in ("initdb", "postgres")}


class MariaDB(Server):
    """A server with the database `test`, which everybody on loopback may use. `url` is SQLAlchemy's.

    Args:
        settings: Of the server, in place of its defaults.
    """

    def __init__(self, **settings: str) -> None:
        programs = self.check()
        self.port = port = free_port()
        self.url = f"mysql+pymysql://root@127.0.0.1:{port}/test?charset=utf8mb4"
        settings = {"innodb-flush-log-at-trx-commit": "0", "innodb-buffer-pool-size": "64M", **settings}
        super().__init__(
            prepare=lambda data: [
                *(programs["mariadb-install-db"], "--no-defaults", f"--datadir={data}"),
                *("--auth-root-authentication-method=normal", "--skip-name-resolve"),
            ],
            command=lambda data: [
                *(programs["mariadbd"], "--no-defaults", f"--datadir={data}", f"--port={port}"),
                *("--bind-address=127.0.0.1", f"--socket={data}/socket", f"--pid-file={data}/pid"),
                "--skip-name-resolve",
                *(f"--{name}={value}" for name, value in settings.items()),
            ],
            ready=lambda _: _answers(port),
        )

    @classmethod
    def check(cls) -> dict[str, str]:
        """Where its programs are, or the test is skipped."""
        names = ("mariadb-install-db", "mariadbd", "my_print_defaults")
        return {name: find("mariadb-server-core mariadb-client-core", name) for name in names}


class Redis(Server):
    """A server that keeps nothing on disk.

    Args:
        settings: Of the server, in place of its defaults.
    """

    def __init__(self, **settings: str) -> None:
        server = find("redis-server", "redis-server", "valkey-server")
        self.port = port = free_port()
        self.url = f"redis://127.0.0.1:{port}/0"
        super().__init__(
            prepare=lambda _: None,
            command=lambda data: [
                *(server, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(data)),
                *(word for name, value in settings.items() for word in (f"--{name.replace('_', '-')}", *value.split())),
            ],
            ready=lambda _: _answers(port),
        )


class PgBouncer(Server):
    """A pooler before a PostgreSQL server: a server's connection is a client's for one transaction only.

    Args:
        database: SQLAlchemy's URL of a database of that server. `url` is the same one, through the pooler.
    """

    ending: ClassVar[signal.Signals] = signal.SIGTERM  # at once, from 1.18 on

    def __init__(self, database: str) -> None:
        pgbouncer = find("pgbouncer", "pgbouncer")
        before, _, name = database.rpartition("/")
        behind = before.rpartition(":")[2]
        self.port = port = free_port()
        self.url = f"{before.rpartition(':')[0]}:{port}/{name}"

        def prepare(data: Path) -> None:
            (data / "users.txt").write_text('"cloudq" ""\n')
            (data / "pgbouncer.ini").write_text(
                f"[databases]\n* = host=127.0.0.1 port={behind} user=cloudq\n"
                f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
                f"auth_type = trust\nauth_file = {data}/users.txt\n"
                # Few, so that two transactions of one client really come to lie on two connections.
                "pool_mode = transaction\ndefault_pool_size = 4\nmax_client_conn = 200\n"
            )

        super().__init__(
            prepare=prepare,
            command=lambda data: [pgbouncer, str(data / "pgbouncer.ini")],
            ready=lambda _: _answers(port),
        )


def _newest(folder: Path) -> Path | None:
    """Debian's, of which several may be there, and none on the PATH."""
    versions = sorted(folder.glob("*/bin/postgres"), key=lambda path: float(path.parts[-3]))
    return versions[-1].parent if versions else None


def _is_open(data: Path) -> bool:
    """As PostgreSQL's own `pg_ctl` asks: the port takes connections, and refuses them, before it is."""
    try:
        return (data / "postmaster.pid").read_text().splitlines()[7].strip() == "ready"
    except (OSError, IndexError):
        return False


def _answers(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False
