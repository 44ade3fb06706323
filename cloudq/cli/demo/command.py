"""`cloudq demo`: a tour of sending, working, a dead letter and its redrive, on the text files of a folder."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

from cloudq.cli.demo.text import Lines, dead_letters
from cloudq.cli.dlq.text import show
from cloudq.cli.options import Debug
from cloudq.cli.output import progress, table, write
from cloudq.cli.parameters import Option
from cloudq.core.clock import monotonic
from cloudq.errors import CloudqError, ConfigurationError

if TYPE_CHECKING:
    from cloudq.app import App
    from cloudq.cli.demo.tasks import Entry
    from cloudq.running.events import Finished

EXAMPLES = ("cloudq demo", "cloudq demo --folder ~/notes --keep", "cloudq demo --backend servicebus")

SUFFIXES: Final = frozenset({".cfg", ".ini", ".md", ".py", ".rst", ".sh", ".tf", ".toml", ".txt", ".yaml", ".yml"})
_SKIPPED: Final = frozenset({"__pycache__", "node_modules", "site", "build", "dist", "venv"})
# The demo is to end in seconds, wherever it is started.
MOST_FILES: Final = 2_000
MOST_BYTES: Final = 1_000_000
_LONG: Final = 7
SQLITE: Final = "sqlite"
BROKEN: Final = "broken-on-purpose.txt"


def demo(
    *,
    folder: Annotated[
        Path | None,
        Option("--folder", metavar="PATH", help="Index the text files under it. Default: the current folder."),
    ] = None,
    keep: Annotated[bool, Option("--keep", help="Keep the database and the index, and say where.")] = False,
    backend: Annotated[
        str,
        Option("--backend", metavar="sqlite|servicebus|cloudtasks", help="On SQLite, or on a hosted queue's emulator."),
    ] = SQLITE,
    _debug: Debug = False,
) -> None:
    """Index the text files of a folder as tasks on SQLite, one of them broken on purpose; then fix and redrive it.

    With --backend servicebus or cloudtasks: charge 500 orders of a shop on that service's emulator, one card expired.

    Everything it makes is in a temporary folder, or in memory, and is removed at the end.
    """
    if backend != SQLITE:
        _tour_hosted(backend, given=folder is not None or keep)
        return
    root = (folder or Path()).absolute()
    if not root.is_dir():
        raise ConfigurationError(f"{root} is no folder", hint="cloudq demo --folder PATH")
    files, skipped = _find_files(root)
    if not files:
        raise ConfigurationError(
            f"there is no text file under {root}", hint="name a folder with some: " + " ".join(sorted(SUFFIXES))
        )
    with _workplace(keep=keep) as place:
        _tour(files, skipped, root, place)


def _tour_hosted(backend: str, *, given: bool) -> None:
    from cloudq.cli.demo.cloud import tour
    from cloudq.cli.demo.places import PLACES

    if backend not in PLACES:
        raise ConfigurationError(
            f"there is no demo on {backend!r}",
            hint=f"--backend {SQLITE}, or --backend {', or --backend '.join(PLACES)}",
        )
    if given:
        raise ConfigurationError("--folder and --keep are for the demo on SQLite", hint="leave them out")
    tour(PLACES[backend])


def _tour(files: list[Path], skipped: int, root: Path, place: Path) -> None:
    """Sends, works, shows the dead letter, fixes its cause, redrives, and shows that nothing is left."""
    from cloudq.cli.demo.tasks import app, entries, index

    into = place / "index"
    into.mkdir()
    broken = place / BROKEN
    broken.write_text("A café in Orléans, written in Latin-1 where UTF-8 is expected.\n", encoding="latin-1")
    app.configure(f"sqlite:///{place / 'demo.db'}")
    try:
        write(f"1. Send: one task for each of {len(files)} text files under {root},")
        write(f"   and one for {BROKEN}, a file that isn't UTF-8. It has to fail.")
        if skipped:
            write(f"   ({skipped} more are too large, or not UTF-8, or beyond the first {MOST_FILES:,}.)")
        began = monotonic()
        sent = app.send_many([index.call(file=str(file), into=str(into)) for file in [*files, broken]])
        write(f"   {len(sent)} messages are stored, in {monotonic() - began:.2f} s.\n")

        write("2. Work: a worker, four tasks at once, until nothing is ready.")
        seconds = _work(app, len(sent))
        indexed = entries(into)
        write(f"   {len(indexed)} files are indexed, in {seconds:.2f} s: {len(sent) / seconds:,.0f} tasks a second.\n")
        _show_words(indexed)

        letters = app.queue(app.default_queue).dead_letters
        dead = list(letters)
        write(f"\n3. What failed: {dead_letters(len(dead))}, as `cloudq dlq show` shows it.\n")
        for letter in dead:
            show(letter)

        write(f"\n4. Fix the cause: write {BROKEN} in UTF-8; then redrive, and work again.")
        broken.write_text(broken.read_text(encoding="latin-1"), encoding="utf-8")
        redriven = letters.redrive([letter.key for letter in dead]).redriven
        _work(app, redriven)
        indexed = entries(into)
        left = app.queue(app.default_queue).stats()
        write(f"   {dead_letters(redriven)} sent again. {len(indexed)} of {len(sent)} files are indexed;")
        write(f"   {left.ready} messages are waiting, {dead_letters(left.dead or 0)} left.\n")
        if len(indexed) != len(sent) or left.ready or left.dead:
            raise CloudqError("the demo didn't end as it should: see above")
        write("All done.")
    finally:
        app.close()


def _work(app: App, total: int) -> float:
    """Runs a worker until nothing is ready. Returns how many seconds it took."""
    from cloudq.worker.service import Worker
    from cloudq.worker.settings import WorkerSettings

    began = monotonic()
    with progress("   working", total) as done:
        lines = Lines(total)

        def ended(_: Finished) -> None:
            done(1)
            lines.one_more()

        settings = WorkerSettings(burst=True, concurrency=4, grace=timedelta(seconds=5))
        code = Worker(app, settings, on_event=ended).run()
    if code:
        raise CloudqError("the worker failed: see its log lines above")
    lines.raise_if_interrupted()
    return monotonic() - began


def _show_words(indexed: list[Entry]) -> None:
    words: Counter[str] = Counter()
    files: Counter[str] = Counter()
    for entry in indexed:
        words.update(entry.words)
        files.update(entry.words.keys())
    write(f"   {words.total():,} words, {len(words):,} different ones. The most frequent of {_LONG} letters or more:")
    often = [(word, times, files[word]) for word, times in words.most_common() if len(word) >= _LONG]
    table(("word", "times", "files"), often[:10])


def _find_files(root: Path) -> tuple[list[Path], int]:
    """The text files under a folder, and how many more there are that can't be indexed."""
    files: list[Path] = []
    skipped = 0
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in _SKIPPED)
        for name in sorted(names):
            file = Path(folder, name)
            if file.suffix not in SUFFIXES or name.startswith("."):
                continue
            if len(files) < MOST_FILES and _is_text(file):
                files.append(file)
            else:
                skipped += 1
    return files, skipped


def _is_text(file: Path) -> bool:
    try:
        str(file).encode()
        if not file.is_file() or file.stat().st_size > MOST_BYTES:
            return False
        file.read_text(encoding="utf-8")
    except (OSError, UnicodeError):
        return False
    return True


@contextmanager
def _workplace(*, keep: bool) -> Iterator[Path]:
    place = Path(tempfile.mkdtemp(prefix="cloudq-demo-"))
    try:
        yield place
    finally:
        if keep:
            write(f"\nKept: {place}\nLook around: cloudq stats --queue index --backend sqlite:///{place / 'demo.db'}")
        else:
            shutil.rmtree(place)
