"""The tasks of `cloudq demo`: an index of text files, one file a task."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from pathlib import Path

import msgspec
from tenacity import retry_if_not_exception_type

import cloudq

WORD = re.compile(r"[^\W\d_]{2,}")

app = cloudq.App(default_queue="index")


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """What the index holds of one file.

    Attributes:
        file: Its path.
        words: How often each word occurs in it.
    """

    file: str
    words: dict[str, int]


# A file that isn't UTF-8 won't be at the next attempt either; anything else (a disk that hiccups) is worth four more.
@app.task("demo.index", retry=cloudq.RetryPolicy(retry=retry_if_not_exception_type(UnicodeDecodeError)))
def index(file: str, into: str) -> None:
    """Counts the words of a file and keeps the counts in the folder `into`.

    A message may be delivered twice. That does no harm here: the same file gives the same entry under the same name,
    and an entry is put in place whole or not at all.
    """
    words = Counter(WORD.findall(Path(file).read_text(encoding="utf-8").lower()))
    entry = Path(into, hashlib.sha256(file.encode()).hexdigest() + ".json")
    unfinished = entry.with_suffix(f".{cloudq.current().id}.unfinished")
    unfinished.write_bytes(msgspec.json.encode(Entry(file=file, words=dict(words))))
    unfinished.replace(entry)


def entries(folder: Path) -> list[Entry]:
    """The whole index."""
    return [msgspec.json.decode(file.read_bytes(), type=Entry) for file in sorted(folder.glob("*.json"))]
