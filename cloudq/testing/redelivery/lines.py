"""Each statement of a task's code as a point: the functions of a file run code with calls between their statements.

They are compiled anew from their source, and have their own code again afterwards. No tracing: debuggers and coverage
tools see what they always see, and an error that is raised at a point goes through `with` and `try` as any other.
"""

from __future__ import annotations

import ast
import builtins
import gc
import inspect
import linecache
from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from types import CodeType, FunctionType
from typing import Final

from cloudq.errors import ConfigurationError
from cloudq.testing.redelivery.points import watching

# No name mangling takes place in classes, as these end with underscores.
_POINT: Final = "__cloudq_point__"
_VALUE: Final = "__cloudq_value__"
_LONGEST: Final = 60
# Not what tidies up: a crash in it would leave what the end of a process gives back.
_BLOCKS: Final = ("body", "orelse")
_WITH_BLOCKS: Final = (ast.stmt, ast.ExceptHandler, ast.match_case)
_LEAVING: Final = (ast.Return, ast.Raise, ast.Continue, ast.Break)
_changing: Final = Lock()


@contextmanager
def points_between_lines(files: Iterable[str], services: Sequence[Callable[..., object]] = ()) -> Iterator[None]:
    """Within the block, the functions of these files reach a point before each statement, and at each block's end.

    Those of the services don't: classes and functions that stand for what is elsewhere, which no crash here stops.

    Raises:
        ConfigurationError: A file's source is nested too deeply.
    """
    elsewhere = {name for service in services for name in _names_of(service)}
    with _changing:  # the code of a function is the same for all threads
        changed: list[tuple[FunctionType, CodeType]] = []
        setattr(builtins, _POINT, _reach)
        try:
            for file in set(files):
                codes = _instrumented(file)
                for function in _functions_of(file) if codes else ():
                    if _is_within(function, elsewhere):
                        continue
                    code = codes.get(_key(function.__code__))
                    if code is not None and code.co_freevars == function.__code__.co_freevars:
                        changed.append((function, function.__code__))
                        function.__code__ = code
            yield
        finally:
            for function, code in reversed(changed):
                function.__code__ = code
            # A thread that a task left behind may still run the other code.
            setattr(builtins, _POINT, _nothing)


def code_of(function: object) -> CodeType | None:
    """The code of a function, without what its decorators put around it."""
    code = getattr(inspect.unwrap(function), "__code__", None) if callable(function) else None
    return code if isinstance(code, CodeType) else None


def place(file: str, line: int) -> str:
    """What a report calls a line: its file's name, its number, and what it says."""
    text = " ".join(linecache.getline(file, line).split())
    shown = text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
    return f"{Path(file).name}:{line}: {shown}"


def _reach(point: str) -> None:
    watcher = watching.get()
    if watcher is not None and (watcher.all_lines or watcher.marked):
        watcher.reach(point)


def _nothing(_point: str) -> None:
    return


def _functions_of(file: str) -> list[FunctionType]:
    """Those that exist: of modules, classes and closures alike."""
    gc.unfreeze()  # what is frozen, as a worker that ran in this process does with all that it loaded, isn't listed
    found = [thing for thing in gc.get_objects() if type(thing) is FunctionType]
    return [function for function in found if function.__code__.co_filename == file]


def _names_of(service: Callable[..., object]) -> Iterator[tuple[str, str]]:
    """Module and name; of a class, those that it inherits from as well."""
    for named in inspect.getmro(service) if isinstance(service, type) else (service,):
        yield named.__module__, named.__qualname__


def _is_within(function: FunctionType, names: AbstractSet[tuple[str, str]]) -> bool:
    """Whether it is one of them, or within one: a method, or a function in one."""
    parts = function.__qualname__.split(".")
    return any((function.__module__, ".".join(parts[:count])) in names for count in range(1, len(parts) + 1))


def _instrumented(file: str) -> dict[tuple[str, int], CodeType]:
    """The code of each function in the file, with points; nothing where there is no source to read.

    Raises:
        ConfigurationError: Python can't compile the source again, as it is nested too deeply.
    """
    source = "".join(linecache.getlines(file))
    try:
        tree = ast.parse(source, file)
        _Points(file).put_into(tree)
        module = compile(tree, file, "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        return {}
    except RecursionError as error:
        # Without points in it, every task there would look better than it is.
        raise ConfigurationError(
            f"{file} has an expression or a chain of elif that is too long for points to be put between its lines",
            hint="split it, or move it into a module without tasks",
        ) from error
    return {_key(code): code for code in _codes(module)}


def _codes(code: CodeType) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            # No lambdas and generators in brackets: they have no statements, and several on a line have the same key.
            if not constant.co_name.startswith("<"):
                yield constant
            yield from _codes(constant)


def _key(code: CodeType) -> tuple[str, int]:
    return code.co_qualname, code.co_firstlineno


class _Points:
    """Puts a call before each statement of a function, and after the last one of each block.

    Not by functions that call each other for what is within: a chain of `elif` may be longer than such calls may be
    deep. What isn't a statement isn't gone into, however deep, as nothing in it is one.
    """

    def __init__(self, file: str) -> None:
        self._file = file

    def put_into(self, module: ast.Module) -> None:
        """Changes the module's functions, and those that are in them or in classes."""
        left: list[tuple[ast.AST, bool]] = [(module, False)]
        while left:
            node, is_run = left.pop()
            if isinstance(node, ast.ClassDef):
                is_run = False  # its own statements run once; its methods have points
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                is_run = True
            left += [(part, is_run) for part in ast.iter_child_nodes(node) if isinstance(part, _WITH_BLOCKS)]
            if is_run and not _tidies_up(node):
                self._put_into_blocks(node)

    def _put_into_blocks(self, node: ast.AST) -> None:
        for block in _BLOCKS[:1] if _undoes(node) else _BLOCKS:
            statements = getattr(node, block, None)
            if statements:
                setattr(node, block, list(self._with_points(statements)))

    def _with_points(self, statements: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
        for before, statement in zip((None, *statements), statements, strict=False):
            # None before a try: what was taken there (a lock, a transaction) is given back only from within; the first
            # point in it stands for both. None between a try that undoes and what completes it: the last one stands.
            silent = _is_docstring(statement) or isinstance(statement, ast.Try | ast.TryStar) or _undoes(before)
            if not silent:
                yield self._call(statement, place(self._file, statement.lineno))
            if isinstance(statement, ast.Return) and not isinstance(statement.value, ast.Constant | ast.Name | None):
                # What it returns is worked out here, and a block around it ends after that.
                name = ast.copy_location(ast.Name(_VALUE, ast.Store()), statement)
                yield ast.copy_location(ast.Assign([name], statement.value), statement)
                yield self._call(statement, f"after {place(self._file, statement.lineno)}")
                statement.value = ast.copy_location(ast.Name(_VALUE, ast.Load()), statement)
            yield statement
        last = statements[-1]
        if not isinstance(last, _LEAVING) and not _is_docstring(last):
            # Of what has blocks of its own, the last line says where that is.
            line = last.end_lineno if hasattr(last, "body") else last.lineno
            yield self._call(last, f"after {place(self._file, line or last.lineno)}")

    def _call(self, at: ast.stmt, point: str) -> ast.stmt:
        call = ast.Call(ast.Name(_POINT, ast.Load()), [ast.Constant(point)], [])
        return ast.fix_missing_locations(ast.copy_location(ast.Expr(call), at))


def _tidies_up(node: ast.AST) -> bool:
    """Whether it is `except ...:` that ends in a bare `raise`."""
    last = node.body[-1] if isinstance(node, ast.ExceptHandler) else None
    return isinstance(last, ast.Raise) and last.exc is None


def _undoes(node: ast.AST | None) -> bool:
    """Whether it is a `try` with such an `except`."""
    return isinstance(node, ast.Try | ast.TryStar) and any(map(_tidies_up, node.handlers))


def _is_docstring(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
