-- The store of idempotency keys of cloudq, version 1. Times are microseconds since 1970, by this server's clock.

create table if not exists cloudq_store_schema (
    version integer primary key
);

-- What is claimed, released or done: one row a key. namespace, task and key are there for people; digest is of all three.
create table if not exists cloudq_claims (
    digest bytea primary key,
    namespace text not null,
    task text not null,
    key text not null,
    token bigint not null,
    owner text not null,
    held_until bigint,
    completed_at bigint,
    kept_until bigint not null,
    fingerprint bytea,
    result bytea
);
create index if not exists cloudq_claims_kept on cloudq_claims (kept_until);

-- Runs, results and marks of waiting messages.
create table if not exists cloudq_notes (
    digest bytea primary key,
    namespace text not null,
    name text not null,
    version bigint not null,
    written_at bigint not null,
    kept_until bigint not null,
    note bytea not null
);
create index if not exists cloudq_notes_kept on cloudq_notes (kept_until);

insert into cloudq_store_schema (version) values (1);
