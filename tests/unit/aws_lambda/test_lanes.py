"""Which record may start next."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cloudq.aws_lambda.lanes import Lanes


def test_records_without_a_group_may_all_start_in_order() -> None:
    """On a standard queue nobody waits for anybody."""
    lanes = Lanes([None, None, None])
    assert 3 == len(lanes)
    assert [0, 1, 2, None] == [lanes.take() for _ in range(4)]
    assert not lanes.finished
    assert 0 == lanes.note_failure(0)
    lanes.finish(1)
    lanes.finish(2)
    assert lanes.finished


def test_one_of_a_group_at_a_time() -> None:
    """The next of a group waits for the one before it; other groups don't."""
    lanes = Lanes(["a", "a", "b", "a"])
    assert 2 == len(lanes)
    assert [0, 2, None] == [lanes.take() for _ in range(3)]
    lanes.finish(0)
    assert [1, None] == [lanes.take() for _ in range(2)]


def test_a_failure_closes_its_group() -> None:
    """What follows a failed record of its group isn't given, and doesn't count as left."""
    lanes = Lanes(["a", "a", "b", "a"])
    assert 4 == lanes.left
    assert 0 == lanes.take()
    assert 3 == lanes.left
    assert 2 == lanes.note_failure(0)
    assert 1 == lanes.left
    assert [2, None] == [lanes.take() for _ in range(2)]
    lanes.finish(2)
    assert lanes.finished


@given(st.lists(st.sampled_from(["a", "b", None]), max_size=12), st.randoms(use_true_random=False))
def test_a_group_is_given_in_order_up_to_its_first_failure(groups, random) -> None:
    """However many run at once and whatever becomes of them."""
    lanes = Lanes(groups)
    running: list[int] = []
    given_: list[int] = []
    failed: set[int] = set()
    while not lanes.finished:
        place = lanes.take() if random.random() < 0.6 else None
        if place is not None:
            assert groups[place] is None or groups[place] not in [groups[other] for other in running]
            running.append(place)
            given_.append(place)
        elif running:
            ended = running.pop(random.randrange(len(running)))
            if random.random() < 0.3:
                failed.add(ended)
                lanes.note_failure(ended)
            else:
                lanes.finish(ended)
    for group in ("a", "b"):
        places = [place for place, own in enumerate(groups) if own == group]
        first = next((place for place in places if place in failed), None)
        expected = places if first is None else [place for place in places if place <= first]
        assert expected == [place for place in given_ if groups[place] == group]
    assert sorted(given_, key=lambda place: (groups[place] is not None, place))[: groups.count(None)] == [
        place for place, own in enumerate(groups) if own is None
    ]
