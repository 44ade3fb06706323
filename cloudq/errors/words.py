"""Words that messages of errors are made of."""

from __future__ import annotations

from collections.abc import Iterable


def nearest(name: str, known: Iterable[str]) -> str:
    """A suggestion to end a message with: `did you mean 'x'?`, or the known names, or that there are none."""
    from difflib import get_close_matches  # not before there is a mistake

    names = sorted(known)
    close = get_close_matches(name, names, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]!r}?"
    if not names:
        return "none is declared"
    shown = ", ".join(names[:8])
    return f"known: {shown}" + (f" and {len(names) - 8} more" if len(names) > 8 else "")


def kind_of(value: object) -> str:
    """What a value is, with its article: `an int`, `a Task`."""
    kind = type(value).__name__
    return f"{'an' if kind[:1].lower() in 'aeiou' else 'a'} {kind}"


def place(error: BaseException) -> str:
    """Where a module that was being imported raised it, as ` (file:line)`; nothing where the error says so itself.

    The line is the program's own that is nearest to the fault, since users can't fix a package's lines. If a package
    raised it, its line follows.
    """
    from itertools import dropwhile
    from pathlib import Path
    from traceback import extract_tb

    if isinstance(error, SyntaxError):
        return ""
    files = [(frame.filename, frame.lineno) for frame in extract_tb(error.__traceback__)]
    # Before the import machinery is who asked for the module, behind it the module itself.
    inside = [at for at in dropwhile(lambda at: not at[0].startswith("<frozen"), files) if at[0][0] != "<"]
    if not inside:
        return ""
    mine = next((at for at in reversed(inside) if not _is_installed(at[0])), inside[-1])
    # What cloudq itself raised says what it is about.
    ours = inside[-1][0].startswith(str(Path(__file__).parents[1]))
    raised = "" if mine == inside[-1] or ours else f", raised at {inside[-1][0]}:{inside[-1][1]}"
    return f" ({mine[0]}:{mine[1]}{raised})"


def _is_installed(file: str) -> bool:
    """Whether a file is Python's own, a package's or cloudq's, and not the program's."""
    from pathlib import Path
    from sysconfig import get_paths

    paths = get_paths()
    theirs = {paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")} | {str(Path(__file__).parents[1])}
    return file.startswith(tuple(f"{folder}{end}" for folder in theirs for end in ("/", "\\")))
