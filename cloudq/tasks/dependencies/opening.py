"""One dependency is opened, and closed: here, or from an event loop without blocking it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator
from functools import partial
from typing import Any, NamedTuple, TypeAlias, TypeVar

from cloudq.core.safe_log import SafeLogger, is_ctrl_c
from cloudq.tasks.dependencies.nodes import Kind, Node

T = TypeVar("T")

logger = SafeLogger("cloudq")


class Opened(NamedTuple):
    """A generator that is to be closed.

    Attributes:
        node: The dependency.
        generator: It stands at its `yield`, or hasn't got there.
    """

    node: Node
    generator: Any


Stack: TypeAlias = list[Opened]
"""What is to be closed, the latest last."""


def open_here(node: Node, arguments: dict[str, object], stack: Stack) -> Any:
    """The value of a plain dependency. A generator is on the stack before its code runs: an interruption loses none."""
    result = node.function(**arguments)
    if node.kind is not Kind.GENERATOR:
        return result
    stack.append(Opened(node, result))
    try:
        return next(result)
    except StopIteration:
        raise RuntimeError(f"dependency {node.name} ended without a yield") from None


async def open_on_loop(node: Node, arguments: dict[str, object], stack: Stack) -> Any:
    """The value of any; a plain one's code runs in a thread."""
    if node.kind is Kind.ASYNC:
        return await node.function(**arguments)
    if node.kind is not Kind.ASYNC_GENERATOR:
        return await in_a_thread(partial(open_here, node, arguments, stack))
    generator = node.function(**arguments)
    stack.append(Opened(node, generator))
    try:
        return await anext(generator)
    except StopAsyncIteration:
        raise RuntimeError(f"dependency {node.name} ended without a yield") from None


def close_here(stack: Stack, error: BaseException | None = None) -> None:
    """Closes them, the latest first.

    Args:
        stack: What is left on it afterwards was closed by an interruption.
        error: What the attempt failed with: each learns of it at its `yield`, and none can change it. What it raises
            itself is logged.

    Raises:
        BaseException: Without an error: what one raised. The others aren't closed yet.
    """
    while stack:
        opened = stack[-1]
        if error is None:
            _finish(opened)
        else:
            _told(opened, error)
        stack.pop()


async def close_on_loop(stack: Stack, error: BaseException | None = None) -> None:
    """As `close_here`. What a coroutine that is thrown away can't await is left to the end of its loop."""
    while stack:
        opened = stack[-1]
        is_async = opened.node.kind is Kind.ASYNC_GENERATOR
        if isinstance(error, GeneratorExit):
            if not is_async:
                _told(opened, error)
        elif is_async:
            await (_afinish(opened) if error is None else _atold(opened, error))
        else:
            await in_a_thread(partial(_finish, opened) if error is None else partial(_told, opened, error))
        stack.pop()


def _finish(opened: Opened) -> None:
    generator: Generator[Any, None, None] = opened.generator
    try:
        next(generator)
    except StopIteration:
        return
    generator.close()
    raise RuntimeError(f"dependency {opened.node.name} yielded twice")


async def _afinish(opened: Opened) -> None:
    generator: AsyncGenerator[Any, None] = opened.generator
    try:
        await anext(generator)
    except StopAsyncIteration:
        return
    await generator.aclose()
    raise RuntimeError(f"dependency {opened.node.name} yielded twice")


def _told(opened: Opened, error: BaseException) -> None:
    trace = error.__traceback__
    try:
        opened.generator.throw(error)
        opened.generator.close()
    except BaseException as raised:  # noqa: BLE001 - the attempt has failed already, and that decides
        _log_unless_told(opened, error, raised)
    finally:
        error.__traceback__ = trace  # which says where the task failed, and not who was told


async def _atold(opened: Opened, error: BaseException) -> None:
    trace = error.__traceback__
    try:
        await opened.generator.athrow(error)
        await opened.generator.aclose()
    except BaseException as raised:  # noqa: BLE001 - the attempt has failed already, and that decides
        _log_unless_told(opened, error, raised)
    finally:
        error.__traceback__ = trace


def _log_unless_told(opened: Opened, error: BaseException, raised: BaseException) -> None:
    """What a generator raised that was told of an error: that error, nothing at all, or one of its own."""
    if raised is error or isinstance(raised, (StopIteration, StopAsyncIteration)):
        return
    if isinstance(raised, RuntimeError) and raised.__cause__ is error:
        return  # a StopIteration of the task's, which Python doesn't let through a generator
    logger.error("dependency %s failed at its end, after the attempt had failed", opened.node.name, exc_info=raised)
    if is_ctrl_c(raised):
        raise raised


async def in_a_thread(function: Callable[[], T]) -> T:
    """Awaits a blocking call in a thread, in a copy of this context, to its end: cancelled meanwhile, it raises then.

    What was opened by then is known by then, and so it is closed.
    """
    import asyncio
    from contextvars import copy_context

    work = asyncio.get_running_loop().run_in_executor(None, copy_context().run, _without_stop, function)
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError as cancelled:
        while not work.done():
            try:
                await asyncio.wait([work])
            except asyncio.CancelledError:
                continue  # once more: what runs there isn't stopped by it either
        if not work.cancelled() and (failed := work.exception()) is not None:
            logger.debug("what a cancelled run waited for failed", exc_info=failed)
        raise cancelled from None


def _without_stop(function: Callable[[], T]) -> T:
    """A future takes no StopIteration: what waits for it would wait forever."""
    try:
        return function()
    except StopIteration as stopped:
        raise RuntimeError("a dependency raised StopIteration") from stopped
