"""botocore's descriptions of its services, read by msgspec: a third of the time, and half of the memory.

The largest, of all endpoints, has more than a megabyte and is read for each session: by `json`, into `OrderedDict`s, it
takes a tenth of the time in which the SDK loads.
"""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import msgspec
from botocore.loaders import JSONFileLoader


class ModelFiles(JSONFileLoader):  # type: ignore[misc]  # botocore has no types
    """What a botocore session's loader reads its files by. Objects are dicts, which keep their order."""

    def load_file(self, file_path: str) -> Any:
        """What is in a file, whose path has no ending; `None` if there is none of that name."""
        try:
            return _read(file_path)
        except ValueError:  # JSON to botocore's parser only, or not at all: it says what is wrong
            return super().load_file(file_path)


def quicken(loader: Any, service: str) -> None:
    """Has a session's loader read by `ModelFiles`, and look for one service only.

    botocore lists all its services, more than 400 folders, twice, to see that the one is among them. One that isn't
    there is found to be missing all the same, where its description is looked for.
    """

    def only(type_name: str) -> list[str]:
        del type_name
        return [service]

    loader.file_loader = ModelFiles()
    loader.list_available_services = only


def _read(path: str) -> Any:
    plain, packed = Path(f"{path}.json"), Path(f"{path}.json.gz")
    if plain.is_file():
        return msgspec.json.decode(plain.read_bytes())
    if packed.is_file():
        return msgspec.json.decode(gzip.decompress(packed.read_bytes()))
    return None
