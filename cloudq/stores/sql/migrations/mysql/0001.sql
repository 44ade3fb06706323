-- The store of idempotency keys of cloudq, version 1. Times are microseconds since 1970, by this server's clock.
-- Texts are compared by their bytes: the usual collations take A for a, and leave trailing spaces out.

create table if not exists cloudq_store_schema (
    version integer primary key
) engine = InnoDB;

-- What is claimed, released or done: one row a key. namespace, task and key are there for people; digest is of all three.
create table if not exists cloudq_claims (
    digest binary(32) primary key,
    namespace varchar(128) character set utf8mb4 collate utf8mb4_bin not null,
    task text character set utf8mb4 collate utf8mb4_bin not null,
    `key` text character set utf8mb4 collate utf8mb4_bin not null,
    token bigint not null,
    owner varchar(255) character set utf8mb4 collate utf8mb4_bin not null,
    held_until bigint,
    completed_at bigint,
    kept_until bigint not null,
    fingerprint binary(32),
    result longblob,
    index cloudq_claims_kept (kept_until)
) engine = InnoDB;

-- Runs, results and marks of waiting messages.
create table if not exists cloudq_notes (
    digest binary(32) primary key,
    namespace varchar(128) character set utf8mb4 collate utf8mb4_bin not null,
    name text character set utf8mb4 collate utf8mb4_bin not null,
    version bigint not null,
    written_at bigint not null,
    kept_until bigint not null,
    note longblob not null,
    index cloudq_notes_kept (kept_until)
) engine = InnoDB;

insert into cloudq_store_schema (version) values (1);
