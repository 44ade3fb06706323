"""The outbox's tables, in the SQL of each database, and their version.

```
 cloudq_outbox           a row for each message that is still to be published; publishing deletes it
 cloudq_outbox_locks     4,096 rows, which the user's transaction locks: each stands for many ordering keys
 cloudq_outbox_numbers   where numbers come from, each greater than those before it
 cloudq_outbox_relays    on SQLite alone, where rows have no locks: which relay reads
 cloudq_outbox_schema    one row: the version of all of them
```
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from cloudq.errors import SchemaMismatch
from cloudq.user_database import Dialect, Script, Statement
from cloudq.user_database.faults import is_missing_table

VERSION: Final = 1
_SIDE: Final = 64
LOCKS: Final = _SIDE * _SIDE
"""How many locks of ordering keys there are, numbered from 0."""
LONGEST_NAMESPACE: Final = 128
"""The most characters of a namespace."""
CHANNEL: Final = "cloudq_outbox"
"""Where PostgreSQL tells that something was committed, if the tables were made so that it does."""

NOW: Final = {
    Dialect.POSTGRESQL: "cast(extract(epoch from clock_timestamp()) * 1000000 as bigint)",
    Dialect.MYSQL: "timestampdiff(microsecond, '1970-01-01', utc_timestamp(6))",
    Dialect.SQLITE: "cast((julianday('now') - 2440587.5) * 86400000000 as integer)",
}
"""The database's own time as an SQL expression: microseconds since 1970."""

_POSTGRESQL: Final = """
create table if not exists cloudq_outbox (
    id bigint generated always as identity primary key,
    namespace varchar(128) not null,
    queue text not null,
    task text not null,
    body bytea not null,
    ordering_key text,
    key_digest bytea not null,
    number bigint not null,
    due bigint not null default 0,
    created_at bigint not null,
    attempts integer not null default 0,
    last_error text,
    parked_at bigint
);

create index if not exists cloudq_outbox_order on cloudq_outbox (namespace, key_digest, number, id);

-- Rows come and go by the minute: without this the statistics say that the table is empty, or huge.
alter table cloudq_outbox set (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);

create table if not exists cloudq_outbox_locks (stripe integer primary key);

{locks}

create sequence if not exists cloudq_outbox_numbers;

create table if not exists cloudq_outbox_schema (version integer primary key);

insert into cloudq_outbox_schema (version) select {version}
 where not exists (select 1 from cloudq_outbox_schema);
"""

# A trigger of the statement: the server sends equal notifications of one transaction once.
_NOTIFY: Final = """
create or replace function cloudq_outbox_notify() returns trigger language plpgsql as
'begin perform pg_notify(''{channel}'', ''''); return null; end';

drop trigger if exists cloudq_outbox_notify on cloudq_outbox;

create trigger cloudq_outbox_notify after insert on cloudq_outbox
   for each statement execute procedure cloudq_outbox_notify();
"""

# Texts are compared by their bytes: the usual collations take A for a, and leave trailing spaces out.
_MYSQL: Final = """
create table if not exists cloudq_outbox (
    id bigint not null auto_increment primary key,
    namespace varchar(128) character set utf8mb4 collate utf8mb4_bin not null,
    queue varchar(255) character set utf8mb4 collate utf8mb4_bin not null,
    task text character set utf8mb4 collate utf8mb4_bin not null,
    body longblob not null,
    ordering_key text character set utf8mb4 collate utf8mb4_bin,
    key_digest varbinary(32) not null,
    number bigint not null,
    due bigint not null default 0,
    created_at bigint not null,
    attempts integer not null default 0,
    last_error text character set utf8mb4 collate utf8mb4_bin,
    parked_at bigint,
    index cloudq_outbox_order (namespace, key_digest, number, id)
) engine = InnoDB;

create table if not exists cloudq_outbox_locks (stripe integer not null primary key) engine = InnoDB;

{locks}

create table if not exists cloudq_outbox_numbers (id bigint not null auto_increment primary key) engine = InnoDB;

create table if not exists cloudq_outbox_schema (version integer not null primary key) engine = InnoDB;

insert into cloudq_outbox_schema (version) select {version} from dual
 where not exists (select 1 from cloudq_outbox_schema);
"""

# Numbers of rows are never used again, so that `skip 7` can't mean another row than the one that was seen.
_SQLITE: Final = """
create table if not exists cloudq_outbox (
    id integer primary key autoincrement,
    namespace text not null,
    queue text not null,
    task text not null,
    body blob not null,
    ordering_key text,
    key_digest blob not null,
    number integer not null,
    due integer not null default 0,
    created_at integer not null,
    attempts integer not null default 0,
    last_error text,
    parked_at integer
);

create index if not exists cloudq_outbox_order on cloudq_outbox (namespace, key_digest, number, id);

create table if not exists cloudq_outbox_numbers (last integer not null);

insert into cloudq_outbox_numbers (last) select 0 where not exists (select 1 from cloudq_outbox_numbers);

create table if not exists cloudq_outbox_relays (
    namespace text not null primary key,
    owner text not null,
    held_until integer not null
) without rowid;

create table if not exists cloudq_outbox_schema (version integer primary key);

insert into cloudq_outbox_schema (version) select {version}
 where not exists (select 1 from cloudq_outbox_schema);
"""

# By a square, as MySQL bounds how deep a recursion goes.
_LOCKS: Final = """
insert into cloudq_outbox_locks (stripe)
  with recursive side (n) as (select 0 union all select n + 1 from side where n < {most})
select a.n * {side} + b.n from side a cross join side b
 where not exists (select 1 from cloudq_outbox_locks);
"""

_SCHEMAS: Final = {Dialect.POSTGRESQL: _POSTGRESQL, Dialect.MYSQL: _MYSQL, Dialect.SQLITE: _SQLITE}
_COMMENT: Final = re.compile(r"^--.*$", re.MULTILINE)


def is_namespace(value: object) -> bool:
    """Whether it is the name of a namespace: a text that every database tells from all others."""
    return (
        isinstance(value, str)
        and len(value) <= LONGEST_NAMESPACE
        and value.isprintable()
        and value == value.strip()  # MariaDB leaves spaces at the end out
    )


def schema_sql(dialect: Dialect, *, notify: bool = False) -> str:
    """The statements that make the tables, as a script for the database's own shell or for a migration.

    They can be run again: what is there stays.

    Args:
        dialect: Whose SQL.
        notify: PostgreSQL alone: has each commit of rows tell the relays that listen. It costs every such commit of the
            whole server a turn in one line, so it is for those who want messages out within milliseconds.

    Raises:
        ValueError: `notify` on another database.
    """
    locks = _LOCKS.replace("{side}", str(_SIDE)).replace("{most}", str(_SIDE - 1)).strip()
    text = _SCHEMAS[dialect].replace("{locks}", locks)
    if notify:
        if dialect is not Dialect.POSTGRESQL:
            raise ValueError(f"{dialect.value} has no notifications")
        text += _NOTIFY.replace("{channel}", CHANNEL)
    return text.replace("{version}", str(VERSION)).strip() + "\n"


def statements(dialect: Dialect, *, notify: bool = False) -> Sequence[str]:
    """`schema_sql`, one by one, as drivers take them."""
    script = _COMMENT.sub("", schema_sql(dialect, notify=notify))
    # Each ends at the end of a line and is followed by an empty one, which none has within.
    return [part.strip().removesuffix(";") for part in script.split(";\n\n") if part.strip()]


def creation(dialect: Dialect, *, notify: bool = False) -> Script[None]:
    """Makes what is missing. MariaDB and MySQL commit each step by itself, and what was open before."""
    for statement in statements(dialect, notify=notify):
        yield Statement(statement)


def check() -> Script[None]:
    """Makes sure that the tables are there, and of this version.

    Raises:
        SchemaMismatch: They aren't.
    """
    try:
        answer = yield Statement("select version from cloudq_outbox_schema")
    except Exception as error:
        if is_missing_table(error):
            raise missing() from error
        raise
    versions = [int(row[0]) for row in answer.rows]
    if versions != [VERSION]:
        raise SchemaMismatch(
            f"the outbox's tables are of version {', '.join(map(str, versions)) or 'none'}; "
            f"this release works with {VERSION}",
            hint="run the release that made them, or upgrade this one",
        )


def missing() -> SchemaMismatch:
    """The error of a database without the tables."""
    return SchemaMismatch(
        "the outbox's tables aren't in this database",
        hint="make them in a migration, by what `cloudq outbox schema` prints",
    )
