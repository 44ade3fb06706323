"""Lines as points: between the statements of a file's functions, whose behaviour stays what it is."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
from pathlib import Path

import lined
import pytest
from test_points import Notes

from cloudq.errors import ConfigurationError
from cloudq.testing.redelivery.lines import code_of, place, points_between_lines
from cloudq.testing.redelivery.points import Crash, watching


@pytest.fixture
def notes():
    """Watches all lines of what the test calls."""
    watcher = Notes()
    watcher.all_lines = True
    token = watching.set(watcher)
    yield watcher
    watching.reset(token)


def texts(notes):
    """The lines that were reached, without file and number."""
    return [point.split(": ", 1)[1] if ":" in point else point for point, _ in notes.reached]


def test_each_statement_is_a_point(notes):
    """Before it; and after the last one of a block, and after what a return works out."""
    log = []
    with points_between_lines([lined.__file__]):
        assert 2 == lined.plain(log)
    assert ["first", "second"] == log
    expected = [
        'log.append("first")', "if log:", 'log.append("second")', 'log.append("second")',
        "return len(log)", "return len(log)",
    ]  # fmt: skip
    assert expected == texts(notes)
    assert notes.reached[3][0].startswith("after lined.py:")


def test_functions_that_the_collector_had_frozen_have_points(notes):
    """A worker freezes all that it loaded: one that ran in this process before must not make the task look right."""
    gc.freeze()
    with points_between_lines([lined.__file__]):
        lined.plain([])
    assert 6 == len(notes.reached)


def test_the_code_is_its_own_again_afterwards(notes):
    """Also after an error; nothing is reached any more."""
    before = lined.plain.__code__
    with pytest.raises(AttributeError), points_between_lines([lined.__file__]):
        lined.plain(None)
    assert ['log.append("first")'] == texts(notes)
    notes.reached.clear()
    assert lined.plain.__code__ is before
    lined.plain([])
    assert [] == notes.reached


def test_an_error_at_a_point_goes_through_the_blocks_around_it(notes, monkeypatch):
    """A crash after a block's last line, before its end, undoes what the block undoes."""

    def reach(point):
        if "in the block" in point and point.startswith("after"):
            raise Crash(point)

    monkeypatch.setattr(notes, "reach", reach)
    log = []
    with pytest.raises(Crash), points_between_lines([lined.__file__]):
        lined.closing(log)
    assert ["enter", "in the block", "undone"] == log


def test_every_kind_of_function_behaves_as_it_did(notes):
    """Closures, methods, generators, coroutines, lambdas."""
    closure = lined.outer(1)
    with points_between_lines([lined.__file__]):
        till, log = lined.Till(), []
        till.add(5)
        assert 5 == till.sum
        assert [0, 1] == list(lined.drawn(log))
        asyncio.run(lined.waiting(log))
        assert [0, 1, "async"] == log
        assert (2, 3) == (closure(), lined.outer(2)())
        assert ("x", "x") == lined.pair("x")
    reached = texts(notes)
    assert {"self.sum += amount", "yield number", 'log.append("async")', "return number + 1"} <= set(reached)


def test_lambdas_on_one_line_stay_apart():
    """Else the state that a check compares may be worked out by the code that puts it back."""
    before = lined.one_more.__code__
    with points_between_lines([lined.__file__]):
        assert (3, 20) == (lined.one_more(2), lined.tenfold(2))
        assert lined.one_more.__code__ is before


def test_an_expression_and_a_chain_of_elif_may_be_long(tmp_path, notes):
    """Longer than calls in Python may be deep: nothing is looked for in the one, and the other is gone through."""
    file = str(tmp_path / "long.py")
    chain = "".join(f"    elif number == {each}:\n        found = {each}\n" for each in range(1, 400))
    total = " + ".join(["number"] * 500)
    source = f"def chosen(number):\n    if number == 0:\n        found = 0\n{chain}    return {total}\n"
    function = defined(file, source)
    with points_between_lines([file]):
        assert 500 * 399 == function(399)
    assert "found = 399" in texts(notes)


def test_a_file_that_cant_be_compiled_with_points_is_refused(tmp_path):
    """Without points in it the tasks of a check would look better than they are."""
    file = str(tmp_path / "endless.py")
    (tmp_path / "endless.py").write_text("total = " + " + ".join(["1"] * 50_000))
    with pytest.raises(ConfigurationError, match=r"endless\.py has an expression"), points_between_lines([file]):
        pytest.fail("the block was entered")


def defined(file, source):
    """The function of a file that is written, and run as a module would be."""
    Path(file).write_text(source)
    names = {}
    exec(compile(source, file, "exec"), names)  # noqa: S102 - the source is this test's own
    return next(thing for name, thing in names.items() if callable(thing) and not name.startswith("__"))


def test_only_the_named_files_have_points(notes):
    """What others wrote runs as it is."""
    with points_between_lines([__file__]):
        lined.plain([])
    assert [] == notes.reached


def test_lines_count_only_where_they_are_watched(notes):
    """With `marked` points only, a line outside of a block is none."""
    notes.all_lines = False
    with points_between_lines([lined.__file__]):
        lined.plain([])
        notes.marked = 1
        lined.plain([])
    assert 6 == len(notes.reached)


@pytest.mark.parametrize("file", ["<string>", "nowhere.py", ""])
def test_a_file_without_a_source_has_no_points(file):
    """That is no error."""
    with points_between_lines([file]):
        assert 2 == lined.plain([])


def test_tracers_are_left_alone():
    """A debugger or coverage tool sees what it always sees."""
    before = sys.gettrace()
    with points_between_lines([lined.__file__]):
        assert sys.gettrace() is before


def test_the_code_of_a_function_is_that_below_its_decorators():
    """`contextmanager` wraps it."""
    assert code_of(lined.noted).co_qualname == "noted"
    assert code_of(lined.noted).co_filename == lined.__file__
    assert code_of("noted") is None


def test_a_place_is_short():
    """File, number, and the text, cut where it is long."""
    line = lined.plain.__code__.co_firstlineno
    assert f"lined.py:{line}: def plain(log):" == place(lined.__file__, line)
    assert place(__file__, 1).endswith("...")
    assert len(place(__file__, 1)) < 90


def test_what_tidies_up_has_no_points(notes):
    """A crash there would leave to nobody what the end of a process gives back: a lock, an open transaction."""
    log = []
    with points_between_lines([lined.__file__]):
        lined.locked(log, threading.Lock())
        with pytest.raises(KeyError):
            lined.undone(log)
        lined.handled(log)
    assert ["held", "begun", "undone", "handled"] == log
    expected = {"lock.acquire()", 'log.append("held")', "lock.release()", 'log.append("begun")', 'del {}["nothing"]'}
    assert expected | {'log.append("handled")', "[].pop()"} == set(texts(notes))


def test_every_kind_of_block_behaves_as_it_did(notes):
    """`match`, loops with `else`, `global`, `super()` without arguments, bodies that are empty."""
    with points_between_lines([lined.__file__]):
        assert (1, [0, 0]) == (lined.chosen([1], []), lined.chosen([0, 2, 0], []))
        till = lined.Derived()
        assert till.add(2) is None
        assert (4, None) == (till.sum, till.nothing())
    assert {"last = one", "continue", "return [*log]", "super().add(amount)"} <= set(texts(notes))


@pytest.mark.parametrize("function", [lined.committed, lined.committed_in_else])
def test_no_point_is_between_what_undoes_and_what_commits(notes, function):
    """A crash there could be undone by nobody; that after the last line before is the same, and is undone."""
    with points_between_lines([lined.__file__]):
        function([])
    reached = [point.partition(" ")[0] + " " + point.split(": ", 1)[1] for point, _ in notes.reached]
    begun = [point for point in reached if "begun" in point]
    committed = [point for point in reached if "committed" in point and not point.startswith("after")]
    assert (2, []) == (len(begun), committed)
