"""The servers that tests start: their folders, and what is said of one that doesn't start."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.servers.own import Server


def said(data: Path) -> str:
    """What the program below wrote."""
    file = data / "said"
    return file.read_text() if file.exists() else ""


def test_temporary_files_lie_in_a_folder_of_its_own() -> None:
    """MariaDB 10.11 removes `#sql*` from its temporary folder as it starts, those of a server beside it as well."""
    server = Server(
        prepare=lambda _: ["sh", "-c", 'echo "$TMPDIR" > said'],
        command=lambda _: ["sleep", "60"],
        ready=lambda data: said(data).endswith("\n"),
    )
    assert Path(said(server.folder / "data").strip()) == server.folder / "tmp"
    server.close()
    assert not server.folder.exists()


def test_what_a_folder_lacks_is_said() -> None:
    """By the program that should have made it; its log is closed, and nothing is left of the folder."""
    with pytest.raises(RuntimeError, match=r"(?s)the server's folder wasn't made: .* status 3.*no room") as caught:
        Server(prepare=lambda _: ["sh", "-c", "echo no room; exit 3"], command=lambda _: [], ready=lambda _: True)
    assert "cloudq-server-" not in str(caught.value)


def test_a_server_that_ends_at_once_is_said() -> None:
    """With what it said."""
    with pytest.raises(RuntimeError, match="the server didn't start: no port"):
        Server(prepare=lambda _: None, command=lambda _: ["sh", "-c", "echo no port"], ready=lambda _: False)
