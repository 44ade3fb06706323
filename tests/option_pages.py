"""The pages of another library's options, written from the tables that the code goes by.

python -m tests.option_pages --write|--check
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from tests import celery_options, rq_options

PAGES: Final[tuple[tuple[Path, Callable[[], str]], ...]] = (
    (celery_options.PAGE, celery_options.page),
    (rq_options.PAGE, rq_options.page),
)


def main(arguments: Sequence[str]) -> int:
    """Writes the pages, or says which of them aren't current."""
    parser = argparse.ArgumentParser(prog="python -m tests.option_pages", description="The pages of options.")
    way = parser.add_mutually_exclusive_group(required=True)
    way.add_argument("--write", action="store_true", help="write them")
    way.add_argument("--check", action="store_true", help="say which aren't current")
    write = parser.parse_args(arguments).write
    stale = [path.name for path, page in PAGES if not path.exists() or path.read_text(encoding="utf-8") != page()]
    if write:
        for path, page in PAGES:
            path.write_text(page(), encoding="utf-8")
    elif stale:
        print(f"not current: {', '.join(stale)}; python -m tests.option_pages --write", file=sys.stderr)
    return 1 if stale and not write else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
