"""A claim's life in a store, as a table: whole, and never kinder to a stale owner than to a new one."""

from __future__ import annotations

import pytest

from cloudq.core.claim_life import TABLE, Call, Does, Seen, next_token

MINE = {Seen.OWN, Seen.OWN_RELEASED, Seen.OWN_COMPLETED}
CHANGES = {Does.TAKES, Does.EXTENDS, Does.COMPLETES, Does.RELEASES, Does.REMOVES}


def test_every_call_has_an_answer_to_all_that_can_be_seen() -> None:
    """No state is left to a store's own idea."""
    assert {call: set(row) for call, row in TABLE.items()} == {call: set(Seen) for call in Call}


@pytest.mark.parametrize("call", [Call.RENEW, Call.COMPLETE, Call.RELEASE])
@pytest.mark.parametrize("seen", sorted(set(Seen) - MINE, key=lambda seen: seen.name))
def test_a_stale_owner_changes_nothing(call: Call, seen: Seen) -> None:
    """Nor is it said to have."""
    assert TABLE[call][seen] is Does.REFUSES


@pytest.mark.parametrize("seen", [Seen.HELD, Seen.COMPLETED, Seen.OWN_COMPLETED])
def test_what_is_held_or_done_is_taken_by_nobody(seen: Seen) -> None:
    """A completed key not even by its own owner."""
    assert TABLE[Call.CLAIM][seen] is Does.REFUSES


def test_a_call_whose_answer_was_lost_can_be_made_again() -> None:
    """The second one finds what the first one did, and changes no more."""
    after = {Call.CLAIM: Seen.OWN, Call.COMPLETE: Seen.OWN_COMPLETED, Call.RELEASE: Seen.OWN_RELEASED}
    assert {call: TABLE[call][seen] for call, seen in after.items()} == {
        Call.CLAIM: Does.EXTENDS,
        Call.COMPLETE: Does.AGREES,
        Call.RELEASE: Does.AGREES,
    }


def test_an_operator_removes_a_claim_that_holds_by_force_only() -> None:
    """Its owner may be at work."""
    kept = {seen for seen in Seen if TABLE[Call.FORGET][seen] is Does.REFUSES}
    assert kept == {Seen.HELD, Seen.OWN}
    assert [seen for seen in Seen if TABLE[Call.FORGET_LIVE][seen] not in CHANGES] == [Seen.NOTHING]


@pytest.mark.parametrize(("last", "now", "token"), [(0, 17, 17), (17, 17, 18), (99, 17, 100)])
def test_tokens_only_grow(last: int, now: int, token: int) -> None:
    """Also where the clock stands still, or was set back."""
    assert next_token(last, now) == token
