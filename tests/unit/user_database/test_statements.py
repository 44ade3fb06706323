"""Scripts: written once, carried out by sync and by async connections."""

from __future__ import annotations

import asyncio

import pytest

from cloudq.user_database.statements import Answer, Move, Script, Statement, Step, arun, run


class Recorder:
    """Answers each step with its number, and fails at the one it was told to."""

    def __init__(self, fails_at: int | None = None) -> None:
        self.steps: list[Step] = []
        self.fails_at = fails_at

    def do(self, step: Step, /) -> Answer:
        self.steps.append(step)
        if len(self.steps) == self.fails_at:
            raise LookupError("the driver's own")
        return Answer(changed=len(self.steps))

    async def ado(self, step: Step, /) -> Answer:
        return self.do(step)


def script() -> Script[list[int]]:
    """Two steps, and one more for a failure."""
    found = []
    for step in (Move.BEGIN, Statement("select :a", {"a": 1})):
        try:
            answer = yield step
        except LookupError:
            answer = yield Move.ROLLBACK
        found.append(answer.changed)
    return found


class TestRun:
    def test_each_step_gets_its_answer(self) -> None:
        """What a step brought is sent to the script, and its result returned, sync and async."""
        database = Recorder()
        assert run(database, script()) == [1, 2]
        assert database.steps == [Move.BEGIN, Statement("select :a", {"a": 1})]
        assert asyncio.run(arun(Recorder(), script())) == [1, 2]

    def test_a_failed_step_is_the_scripts_to_handle(self) -> None:
        """The driver's error is thrown into the script, which may go on."""
        assert run(Recorder(fails_at=1), script()) == [2, 3]
        assert asyncio.run(arun(Recorder(fails_at=1), script())) == [2, 3]

    def test_what_the_script_does_not_handle_is_raised(self) -> None:
        """As it was raised."""

        def helpless() -> Script[None]:
            yield Move.COMMIT

        with pytest.raises(LookupError, match="the driver's own"):
            run(Recorder(fails_at=1), helpless())
        with pytest.raises(LookupError, match="the driver's own"):
            asyncio.run(arun(Recorder(fails_at=1), helpless()))


class TestStatement:
    def test_parameters_in_the_style_of_drivers(self) -> None:
        """`:name` becomes `%(name)s`, each time."""
        statement = Statement("select :one, :two_2, :one", {})
        assert statement.in_pyformat() == "select %(one)s, %(two_2)s, %(one)s"
