"""Loading without looking for garbage."""

from __future__ import annotations

import gc

import pytest

from cloudq.cli.starting import Starting


@pytest.fixture(autouse=True)
def collecting():
    """As every program begins."""
    threshold = gc.get_threshold()
    gc.enable()
    yield
    gc.unfreeze()
    gc.enable()
    gc.set_threshold(*threshold)


def looks_for_garbage() -> bool:
    """Whether anybody does while many objects are made."""
    looked = []
    gc.callbacks.append(lambda phase, _: looked.append(phase))
    try:
        kept = [[number] for number in range(20_000)]
        del kept
    finally:
        gc.callbacks.pop()
    return bool(looked)


def test_nothing_is_looked_for_until_the_start_is_over():
    """Then it is again, within the block, too."""
    frozen = gc.get_freeze_count()
    with Starting() as starting:
        assert not looks_for_garbage()
        starting.over()
        assert looks_for_garbage()
        assert gc.get_freeze_count() > frozen
    assert looks_for_garbage()


def test_a_start_that_fails_is_over():
    """What comes next may be another command in this process."""
    with pytest.raises(KeyError), Starting():
        raise KeyError
    assert looks_for_garbage()


def test_a_program_that_collects_by_itself_goes_on_so():
    """Where it was off before, it stays off."""
    gc.disable()
    with Starting() as starting:
        starting.over()
    assert not looks_for_garbage()


def test_an_app_that_turns_the_collector_off_has_it_off():
    """It says so while it is imported, which is during the start: programs with large heaps do."""
    frozen = gc.get_freeze_count()
    with Starting() as starting:
        gc.disable()
        starting.over()
    assert not gc.isenabled()
    assert frozen == gc.get_freeze_count()


def test_an_app_that_sets_the_collector_has_it_so():
    """Its own threshold holds from when it is set."""
    with Starting() as starting:
        gc.set_threshold(5000, 20, 30)
        starting.over()
    assert (5000, 20, 30) == gc.get_threshold()


def test_the_threshold_is_the_one_from_before():
    """Of each generation."""
    gc.set_threshold(1234, 5, 6)
    with Starting() as starting:
        starting.over()
    assert (1234, 5, 6) == gc.get_threshold()


def test_a_worker_collects_while_it_works(cli, writer):
    """And not while its app is loaded."""
    (writer.path / "app.py").write_text(
        "import cloudq\n"
        f"from {__name__} import looks_for_garbage\n"
        "print('loaded', looks_for_garbage())\n"
        "@cloudq.task\ndef look() -> None: print('ran', looks_for_garbage())\n"
    )
    assert "loaded False" in cli("worker", "--burst", "--app", "app").err
    assert 0 == cli("send", "app.look", "--app", "app").code
    ran = cli("worker", "--burst", "--app", "app")
    assert 0 == ran.code, ran.err
    assert "ran True" in ran.out
