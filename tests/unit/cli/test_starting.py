"""Loading without looking for garbage."""

from __future__ import annotations

import gc

import pytest

from cloudq.cli.starting import Starting


@pytest.fixture(autouse=True)
def collecting():
    gc.enable()
    yield
    gc.unfreeze()
    gc.enable()


def test_nothing_is_looked_for_until_the_start_is_over():
    """Then it is again, within the block, too."""
    frozen = gc.get_freeze_count()
    with Starting() as starting:
        assert not gc.isenabled()
        starting.over()
        assert gc.isenabled()
        assert gc.get_freeze_count() > frozen
    assert gc.isenabled()


def test_a_start_that_fails_is_over():
    """What comes next may be another command in this process."""
    with pytest.raises(KeyError), Starting():
        raise KeyError
    assert gc.isenabled()


def test_a_program_that_collects_by_itself_goes_on_so():
    """Where it was off before, it stays off."""
    gc.disable()
    with Starting() as starting:
        starting.over()
    assert not gc.isenabled()


def test_a_worker_collects_while_it_works(cli, writer):
    """And not while its app is loaded."""
    (writer.path / "app.py").write_text(
        "import cloudq, gc\n"
        "print('loaded', gc.isenabled())\n"
        "@cloudq.task\ndef look() -> None: print('ran', gc.isenabled())\n"
    )
    assert "loaded False" in cli("worker", "--burst", "--app", "app").err
    assert 0 == cli("send", "app.look", "--app", "app").code
    ran = cli("worker", "--burst", "--app", "app")
    assert 0 == ran.code, ran.err
    assert "ran True" in ran.out
