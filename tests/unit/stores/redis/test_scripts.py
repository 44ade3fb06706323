"""What Redis runs, as far as it can be said without a server; the store conformance kit runs it on one."""

from __future__ import annotations

import re

import pytest

from cloudq.stores.redis import scripts

SCRIPTS = {name: getattr(scripts, name) for name in ("CLAIM", "RENEW", "COMPLETE", "RELEASE", "FORGET", "SHOW")}
WRITES = "HSET|HDEL|DEL|PEXPIRE"


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_touches_one_key(name: str) -> None:
    """So a cluster's node can run it: every command names the script's only key."""
    commands = re.findall(r"redis\.call\('(\w+)'(?:, (\S+?))?[,)]", scripts.whole(SCRIPTS[name]))
    assert {key for command, key in commands if command != "TIME"} == {"KEYS[1]"}


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_goes_by_the_servers_time(name: str) -> None:
    """It is asked for once: all of a script happens at one moment."""
    assert scripts.whole(SCRIPTS[name]).count("redis.call('TIME')") == 1


@pytest.mark.parametrize("name", ["RENEW", "COMPLETE", "RELEASE"])
def test_the_token_is_compared_before_anything_is_written(name: str) -> None:
    """Fencing."""
    before, refused, _ = SCRIPTS[name].partition("if not mine then return 0 end")
    assert refused
    assert not re.search(WRITES, before)
