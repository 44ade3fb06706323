"""Notes on Redis, without a server: what is made of answers and of errors; the store conformance kit has the rest."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
import redis

from cloudq.core.notes import Written
from cloudq.errors import StoreUnavailable
from cloudq.stores.redis import scripts
from cloudq.stores.redis.notes import RedisNotes

DAY = timedelta(days=1)


class Answers:
    """A client that says the next of some things to each call."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.calls: list[tuple[list[str], list[Any]]] = []

    def register_script(self, script: str) -> Any:
        def run(keys: list[str], args: list[Any]) -> Any:
            self.calls.append((keys, args))
            answer = self.answers.pop(0)
            answer = answer(args) if callable(answer) else answer
            if isinstance(answer, Exception):
                raise answer
            return answer

        return run


def notes(client: Answers) -> RedisNotes:
    return RedisNotes(client, "app", now=scripts.NOW, translated=lambda error: StoreUnavailable(str(error)))  # type: ignore[arg-type]


@pytest.mark.parametrize("script", [scripts.READ_NOTE, scripts.WRITE_NOTE], ids=["read", "write"])
def test_a_script_touches_one_key(script: str) -> None:
    """So a cluster's node can run it."""
    commands = re.findall(r"redis\.call\('(\w+)'(?:, (\S+?))?[,)]", script)
    assert commands
    assert {key for _, key in commands} == {"KEYS[1]"}


def test_a_version_is_compared_as_a_text() -> None:
    """As a number of Lua's, 62 bits would lose their last digits."""
    assert "if there ~= after then return 0 end" in scripts.WRITE_NOTE
    assert "tonumber(ARGV[1])" not in scripts.WRITE_NOTE


def test_a_write_that_was_carried_out_twice_knows_itself() -> None:
    """The client's own second try is refused by what its first one wrote."""
    client = Answers(0)
    client.answers.append(lambda _: [b"%d" % client.calls[0][1][1], b"x", b"0", b"0", b"1"])
    said = notes(client).write("run 1", b"x", after=0, keep=DAY)
    assert said == Written(client.calls[0][1][1])


def test_errors_are_translated() -> None:
    """As the store's own are."""
    with pytest.raises(StoreUnavailable, match="away"):
        notes(Answers(redis.ConnectionError("away"))).read("run 1")


def test_namespaces_and_notes_have_keys_of_their_own() -> None:
    """Apart from the claims'."""
    client = Answers(None)
    assert notes(client).read("run 1") is None
    [(keys, _)] = client.calls
    assert keys[0].startswith("cloudq:app:note:")
