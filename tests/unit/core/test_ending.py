"""The words for how deliveries end."""

from __future__ import annotations

import json

from cloudq.core.ending import Ending


def test_an_ending_is_its_word_wherever_it_is_written() -> None:
    """In a line of text, in JSON, as a key, and as a name that metrics and SQL take without quotes."""
    assert "a dead_lettered b" == f"a {Ending.DEAD_LETTERED} b"
    assert '{"dead_lettered": "released"}' == json.dumps({Ending.DEAD_LETTERED: Ending.RELEASED})
    assert all(ending.isidentifier() and ending == ending.lower() for ending in Ending)
