"""Functions and results whose code has yet to run: what must not count as done."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final


@contextmanager
def _context() -> Iterator[None]:
    yield


@asynccontextmanager
async def _async_context() -> AsyncIterator[None]:
    yield


_CONTEXTS: Final = (type(_context()), type(_async_context()))
_LAZY: Final = (*_CONTEXTS, Generator, AsyncGenerator)
# contextlib makes all functions of these decorators from one code each.
_CONTEXT_CODES: Final = (_context.__code__, _async_context.__code__)


def has_yet_to_run(result: object) -> bool:
    """Whether a result is something whose code nothing would run: an awaitable, a generator or its context manager."""
    # By what it can do, since compilers (Cython, mypyc) have types of their own for it.
    return inspect.isawaitable(result) or isinstance(result, _LAZY)


def runs_nothing(function: Callable[..., Any]) -> str | None:
    """What a function is, in words, whose call runs none of its code, where that can be seen; else `None`."""
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        return "a generator"
    if getattr(function, "__code__", None) in _CONTEXT_CODES:
        return "a context manager"
    return None


def is_async(function: Callable[..., Any]) -> bool:
    """Whether a call gives a coroutine, by the function's kind or by the mark that frameworks set.

    Python 3.11 has its mark in asyncio (asgiref's sync_to_async sets it), later ones have it in inspect.
    """
    return inspect.iscoroutinefunction(function) or getattr(function, "_is_coroutine", None) is not None
