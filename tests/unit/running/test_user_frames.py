"""What a person sees of the traceback of a failed attempt."""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable
from pathlib import Path

import cloudq
from cloudq.running.user_frames import LONGEST, MOST_FRAMES, short_traceback

CLOUDQ = str(Path(cloudq.__file__).parent / "core" / "processor.py")
INSTALLED = "/srv/env/lib/python3.12/site-packages/"
STANDARD = traceback.__file__


def code(path: str, module: str, name: str, body: str, **names: object) -> Callable[..., object]:
    """A function as it would be in that file and module."""
    space: dict[str, object] = {"__name__": module, **names}
    exec(compile(f"def {name}():\n    {body}\n", path, "exec"), space)  # noqa: S102 - frames are told by their files
    return space[name]  # type: ignore[return-value]  # it was defined


def raised(function: Callable[..., object]) -> BaseException:
    error: BaseException | None = None
    try:
        function()
    except Exception as caught:
        error = caught
    assert error is not None
    assert error.__traceback__ is not None
    return error.with_traceback(error.__traceback__.tb_next)  # without this frame


def frames(text: str) -> list[str]:
    return [line.split(", in ")[1] for line in text.splitlines() if line.startswith("  File ")]


def test_the_frames_of_others_are_left_out() -> None:
    """cloudq's, the standard library's and those of packages, but for the one that raised."""
    raiser = code(INSTALLED + "bank/api.py", "bank.api", "connect", "raise ConnectionError('no route')")
    between = code(INSTALLED + "bank/http.py", "bank.http", "request", "connect()", connect=raiser)
    charge = code("/srv/shop/tasks.py", "tasks", "charge", "request()", request=between)
    pay = code("/srv/shop/tasks.py", "tasks", "pay", "submit()", submit=code(STANDARD, "t", "s", "f()", f=charge))
    run = code(CLOUDQ, "cloudq.core.processor", "run_steps", "pay()", pay=pay)
    text = short_traceback(raised(run))
    assert ["pay", "charge", "connect"] == frames(text)
    assert text.startswith("Traceback (most recent call last):\n")
    assert text.endswith("\nConnectionError: no route")


def test_an_app_that_is_installed_has_frames_of_its_own() -> None:
    """A container's often is: the package of the task's function is the user's, wherever it lies."""
    helper = code(INSTALLED + "shop/money.py", "shop.money", "parse", "int('x')")
    lib = code(INSTALLED + "bank.py", "bank", "lib", "parse()", parse=helper)
    pay = code(INSTALLED + "shop/tasks.py", "shop.tasks", "pay", "lib()", lib=lib)
    run = code(CLOUDQ, "cloudq.core.processor", "run_steps", "pay()", pay=pay)
    assert ["pay", "parse"] == frames(short_traceback(raised(run)))


def test_only_the_last_of_many_frames_are_shown() -> None:
    """A recursion has a thousand."""

    def odd(left: int) -> None:
        if not left:
            raise ValueError("at the bottom")
        even(left - 1)

    def even(left: int) -> None:
        odd(left - 1)

    assert MOST_FRAMES == len(frames(short_traceback(raised(lambda: odd(50)))))


def test_causes_and_groups_are_shown_in_the_same_way() -> None:
    """With their own frames."""
    api = code(INSTALLED + "bank/api.py", "bank.api", "inner", "raise OSError('cut')")
    middle = code(INSTALLED + "bank/mid.py", "bank.mid", "middle", "inner()", inner=api)

    def pay() -> None:
        try:
            middle()
        except OSError as error:
            raise ExceptionGroup("two", [raised(middle), ValueError("b")]) from error

    text = short_traceback(raised(pay))
    assert "OSError: cut" in text
    assert "direct cause" in text
    assert "ExceptionGroup: two (2 sub-exceptions)" in text
    assert "in inner" in text
    assert 1 == text.count("in middle"), "the one in the group has no frame of the user's"


def test_without_a_frame_of_the_users_all_are_shown() -> None:
    """What fails in cloudq itself, or in a library without the user's code, is looked for there."""
    run = code(CLOUDQ, "cloudq.core.processor", "bind", "raise TypeError('x')")
    assert ["bind"] == frames(short_traceback(raised(run)))


def test_an_error_without_a_traceback_is_one_line() -> None:
    """One that was never raised: a process that died."""
    assert "RuntimeError: gone" == short_traceback(RuntimeError("gone"))


def test_it_is_bounded() -> None:
    """An exception's text may be as long as a payload; its end is what is shown."""
    text = short_traceback(ValueError("x" * 100_000 + "end"))
    assert LONGEST == len(text)
    assert text.endswith("end")


def test_notes_are_shown() -> None:
    """They say what the code around the error knows."""
    error = raised(lambda: json.loads("{"))
    error.add_note("of order 42")
    assert short_traceback(error).endswith("of order 42")
