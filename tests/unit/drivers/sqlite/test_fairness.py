"""Round robin over fairness keys in one file, whoever sends and receives."""

from datetime import timedelta

import pytest

from cloudq.core.driver import Ack, Release
from cloudq.drivers.sqlite import fairness

MINUTE = timedelta(minutes=1)


@pytest.fixture
def fill(bench, driver):
    """Stores a message for each key, in this order; its id is its key and its number. `-` is without a key."""

    def fill(keys, **options):
        for number, key in enumerate(keys):
            fields = {} if key == "-" else {"fairness_key": key}
            bench.send(options.get("driver", driver), f"{key}{number}", **fields)

    return fill


def served(bench, driver, count, limit=1):
    """The keys of what comes, receive after receive."""
    came = []
    while len(came) < count:
        brought = bench.receive(driver, limit=limit)
        assert brought
        came += [one.id for one in brought]
    assert [] == bench.receive(driver)
    return came


@pytest.mark.parametrize("limit", [1, 3, 10])
def test_one_of_each_key_in_turn(bench, driver, fill, limit):
    """However much is asked for at once: what comes last of a key with little comes among the first."""
    fill("aaaaaaaab")
    came = served(bench, driver, 9, limit)
    assert came.index("b8") <= 2
    assert [f"a{number}" for number in range(8)] == [one for one in came if one != "b8"]


def test_each_key_has_the_same_share_however_much_it_has(bench, driver, fill):
    """Of the first nine of three keys, about three each; one place of a lap goes to what is oldest."""
    fill("a" * 20 + "b" * 5 + "c" * 5)
    first = "".join(one[0] for one in served(bench, driver, 30)[:12])
    assert all(2 <= first.count(key) <= 6 for key in "abc"), first


def test_where_one_receive_stopped_the_next_goes_on(bench, driver, fill):
    """A worker that takes one message at a time serves all keys."""
    fill("aaabbbccc")
    assert set("abc") == {one[0] for one in served(bench, driver, 9)[:4]}


def test_what_has_no_key_is_not_left_behind(bench, driver, fill):
    """It takes part by its age, in each lap."""
    fill("--" + "ab" * 10)
    assert {"-0", "-1"} <= set(served(bench, driver, 22)[:7])


def test_a_process_that_has_sent_none_learns_of_keys(bench, driver, fill):
    """At its first receive, and in a second where the queue had none before."""
    other = bench.open()
    fill("aaaaab")
    assert "b5" in [one.id for _ in range(3) for one in bench.receive(other, limit=1)]
    bench.settle(other, Ack(), *bench.receive(other))
    late = bench.open()
    assert [] == bench.receive(late, "later")
    bench.clock.advance(timedelta(seconds=1))
    for key in "aaaaab":
        bench.send(driver, key, queue="later", fairness_key=key)
    assert "b" in [one.id for _ in range(3) for one in bench.receive(late, "later", limit=1)]


def test_leased_and_delayed_messages_take_no_turn(bench, driver, fill):
    """Only what is ready does; what is released is ready again, in its key's place."""
    for number in range(3):
        bench.send(driver, f"late{number}", fairness_key=f"late{number}", delay=MINUTE)
    fill("aab")
    held = bench.receive(driver, limit=3)
    assert ["a0", "a1", "b2"] == sorted(one.id for one in held)
    assert [] == bench.receive(driver)
    assert [None] * 3 == bench.settle(driver, Release(), *held)
    bench.clock.advance(MINUTE)
    assert {"late0", "late1", "late2", "a0", "b2"} <= set(served(bench, driver, 6)[:6])


def test_very_many_keys_with_nothing_ready_hold_nothing_up(bench, driver, monkeypatch, fill):
    """Of one receive a bounded number is looked at; then the oldest comes."""
    monkeypatch.setattr(fairness, "MOST_KEYS", 5)
    for number in range(20):
        bench.send(driver, f"x{number}", fairness_key=f"a{number:02}", delay=MINUTE)
    fill("zz")
    assert ["z0", "z1"] == served(bench, driver, 2)


def test_keys_are_forgotten_with_their_messages(bench, driver, fill):
    """A queue that holds none any more is read as any other."""
    fill("ab")
    bench.settle(driver, Ack(), *bench.receive(driver))
    bench.clock.advance(timedelta(seconds=1))
    bench.receive(driver)
    assert {} == driver._session._last_key


def test_what_is_looked_for_is_found_in_an_index(bench, driver):
    """However long the backlog is."""
    for statement in (fairness._NEXT_KEY, fairness._READY):
        parameters = [None] * statement.count("?")
        [(*_, plan)] = bench.query(f"EXPLAIN QUERY PLAN {statement}", *parameters)
        assert "message_fair" in plan
        assert "TEMP B-TREE" not in plan


def test_a_key_of_another_type_stops_nothing(bench, driver, fill):
    """A row that another program changed."""
    fill("ab")
    driver._database().write(
        lambda cursor: cursor.execute("UPDATE message SET fair_key = x'00' WHERE id = 'a0'"), durable=False
    )
    assert ["a0", "b1"] == sorted(served(bench, driver, 2, limit=5))


def test_on_an_ordered_queue_there_is_nothing_to_share(bench, driver):
    """The driver isn't given a key there, and refuses one."""
    [result] = driver.send([bench.item("a", "q.fifo", ordering_key="k", fairness_key="f")])
    assert "leaves nothing to share" in str(result.error)
