"""`Depends`: how a parameter says that it is filled in, and by what. FastAPI's own mark is read, too."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Annotated, Any, Final, Literal, TypeAlias, get_args, get_origin

import msgspec

from cloudq.errors import TaskDefinitionError
from cloudq.tasks.context import Context

Scope: TypeAlias = Literal["attempt", "process"]

_SCOPES: Final = ("attempt", "process")
# Known by its name, so that nothing of FastAPI is imported here.
_FASTAPI: Final = ("fastapi.params", "Depends")

INJECTED: Final[Any] = type("_Injected", (), {"__repr__": lambda _: "cloudq.INJECTED"})()
"""The default of a parameter that is a dependency, so that type checkers let callers leave it out."""


def _own_type() -> None:
    """Stands for the type of the parameter itself, until that is known."""


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """What stands beside a parameter's type, or as its default.

    Attributes:
        function: What gives the value.
        scope: For how long a value serves.
        use_cache: Whether those who ask for the same one within an attempt share it.
    """

    function: Callable[..., Any]
    scope: Scope = "attempt"
    use_cache: bool = True


def Depends(  # noqa: N802 - FastAPI's name: there, too, it reads as a kind
    function: Callable[..., Any] | None = None, /, *, scope: Scope = "attempt", use_cache: bool = True
) -> Any:
    """Marks a parameter of a task, or of another dependency, as filled in by a function.

    Such a parameter is no part of the payload: nobody sends it, and a message that names it is refused.

    Example:
        ```python
        from collections.abc import Iterator
        from sqlite3 import Connection, connect
        from typing import Annotated

        import cloudq

        def get_connection() -> Iterator[Connection]:
            connection = connect("shop.db")
            try:
                yield connection
            finally:
                connection.close()

        @cloudq.task
        def welcome(
            user_id: int, connection: Annotated[Connection, cloudq.Depends(get_connection)] = cloudq.INJECTED
        ) -> None: ...
        ```

    Args:
        function: A function, an async one, a generator or an async generator that yields once: what follows the `yield`
            runs when the attempt has ended, however it ended. Or a class. Left out: the parameter's own type. Its own
            parameters are dependencies, a `Context`, or have defaults. Async ones are for async tasks.
        scope: `"attempt"`: one for each run of a task. `"process"`: one for all runs of the process, made when it is
            first asked for, by whichever run comes first, and closed after the last one; an async one is made once for
            each event loop that runs tasks.
        use_cache: Whether all that ask for the function within one attempt share one value.

    Returns:
        The mark; typed so that it may be a parameter's default as well: `connection: Connection = Depends(...)`.

    Raises:
        TaskDefinitionError: One of these can't be.
    """
    if function is not None and not callable(function):
        raise TaskDefinitionError(
            f"Depends takes a function, not {function!r}", hint="Depends(get_session), without a call"
        )
    if scope not in _SCOPES:
        raise TaskDefinitionError(f'scope of Depends is "attempt" or "process", not {scope!r}', hint='scope="process"')
    if scope == "process" and not use_cache:
        raise TaskDefinitionError(
            "use_cache=False of a dependency of the process: it is one value", hint="leave one of them out"
        )
    return Mark(function=_own_type if function is None else function, scope=scope, use_cache=use_cache)


def mark_of(parameter: inspect.Parameter, annotation: Any, whose: str) -> Mark | None:
    """How a parameter is filled in; `None`: it isn't a dependency.

    Args:
        parameter: The parameter.
        annotation: Its annotation, as `evaluated` gives it.
        whose: Whose parameter, for messages.

    Raises:
        TaskDefinitionError: It is marked twice, or by a mark that asks for what there isn't here.
    """
    kind, beside = _parts(annotation)
    what = f"{parameter.name!r} of {whose}"
    found = [mark for mark in (_mark(one, what) for one in (*beside, parameter.default)) if mark is not None]
    if not found:
        return None
    if len(found) > 1:
        raise TaskDefinitionError(
            f"{what} has two marks of a dependency", hint="one Depends in Annotated, and the default cloudq.INJECTED"
        )
    if parameter.kind is parameter.POSITIONAL_ONLY:
        raise TaskDefinitionError(
            f"{what} is a dependency, which is given by name, and positional-only", hint="put it behind the slash"
        )
    [mark] = found
    if mark.function is not _own_type:
        return mark
    if not callable(kind):
        raise TaskDefinitionError(
            f"{what} is marked Depends() without a function, and its type can't be called", hint="Depends(get_session)"
        )
    return Mark(function=kind, scope=mark.scope, use_cache=mark.use_cache)


def is_marked(annotation: Any) -> bool:
    """Whether a type that was resolved later is a dependency's."""
    return any(_mark(one, "a parameter") is not None for one in _parts(annotation)[1])


def evaluated(annotation: Any, names: dict[str, Any]) -> Any:
    """An annotation that was written as a text; the text itself where a name in it isn't there, or not yet.

    Args:
        annotation: As it stands in the signature.
        names: Those of the module that it stands in.
    """
    while isinstance(annotation, str):  # twice, where a text is annotated under `from __future__ import annotations`
        try:
            # The user's own annotation in the user's own module, which is what get_type_hints does with all of them.
            annotation = eval(annotation, names)  # noqa: S307
        except Exception:  # noqa: BLE001 - a forward reference, or a name that exists for type checkers only
            return annotation
    return annotation


def is_context(annotation: Any) -> bool:
    """Whether what is annotated so is given the running task's Context."""
    if isinstance(annotation, str):
        return annotation.strip("'\"") in {"Context", "cloudq.Context"}
    return annotation is Context


def _parts(annotation: Any) -> tuple[Any, tuple[Any, ...]]:
    """The type, and what stands beside it in Annotated; behind the name of an alias, too."""
    seen: list[Any] = []
    try:
        while hasattr(annotation, "__value__") and annotation not in seen:
            seen.append(annotation)
            annotation = annotation.__value__
    except NameError:  # of a class further down in the module: it is looked at again once all are there
        return annotation, ()
    if get_origin(annotation) is not Annotated:
        return annotation, ()
    kind, *beside = get_args(annotation)
    return kind, tuple(beside)


def _mark(value: Any, what: str) -> Mark | None:
    if isinstance(value, Mark):
        return value
    kinds = [(kind.__module__, kind.__name__) for kind in type(value).__mro__]
    if _FASTAPI not in kinds:
        return None
    if kinds[0] != _FASTAPI:
        raise TaskDefinitionError(
            f"{what} is marked {kinds[0][1]} of FastAPI, which looks at a request: there is none here",
            hint="cloudq.Depends(a function that gets by without the request)",
        )
    if getattr(value, "max_concurrency", None) is not None:
        raise TaskDefinitionError(
            f"{what}: max_concurrency of FastAPI's Depends isn't kept here",
            hint="the task option at_once bounds how many runs there are",
        )
    # Its scopes, "function" and "request", are both an attempt's: there is no answer to be sent in between.
    return Mark(function=value.dependency or _own_type, use_cache=value.use_cache)
