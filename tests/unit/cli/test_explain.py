"""`cloudq explain`: what the documentation says of an error's code, offline."""

from __future__ import annotations

import json

import pytest

from tests.unit.cli.test_failures import KINDS


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_every_code_and_every_class_is_explained(cli, kind):
    """The code, and the class's name, show the same section, which begins with the class."""
    result = cli("explain", kind.code)
    assert (0, "") == (result.code, result.err)
    assert result.out.startswith(f"`{kind.__name__}`: ")
    assert result == cli("explain", kind.__name__)


def test_links_are_written_out(cli):
    """A link of the page leads nowhere in a terminal, so its target is told as a path."""
    out = cli("explain", "configuration").out
    assert "Configuration (docs/reference/configuration.md)" in out
    assert "](" not in out
    assert "large payloads (docs/how-to/large-payloads.md)" in cli("explain", "message-too-large").out


def test_alone_it_lists_the_codes(cli):
    """Each code with the first sentence on it; as JSON with the whole text."""
    listed = cli("explain").out.splitlines()
    assert {kind.code for kind in KINDS.values()} == {line.split()[0] for line in listed[1:]}
    assert "`TransientError`: a failure that passes by itself." in "\n".join(listed)
    texts = [json.loads(line) for line in cli("explain", "--json").out.splitlines()]
    assert {kind.code for kind in KINDS.values()} == {each["code"] for each in texts}
    assert texts[0] == json.loads(cli("explain", texts[0]["code"], "--json").out)


def test_an_unknown_code_suggests_the_nearest(cli):
    """It ends with 2, names the nearest, and says how to see all of them."""
    result = cli("explain", "queue-notfound")
    assert (2, "") == (result.code, result.out)
    assert "'queue-notfound': did you mean 'queue-not-found'?" in result.err
    assert "  hint: cloudq explain, by itself, lists the codes\n" in result.err
