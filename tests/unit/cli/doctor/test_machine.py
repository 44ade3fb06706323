"""The disk that a database is on."""

from __future__ import annotations

import pytest

from cloudq.cli.doctor.machine import LEAST_FREE, look_at_disk


@pytest.fixture
def mounts(tmp_path):
    """A table of what is mounted: the root, and two places below the test's folder."""
    (tmp_path / "shared disk").mkdir()
    (tmp_path / "local").mkdir()
    table = tmp_path / "mounts"
    shared = str(tmp_path / "shared disk").replace(" ", "\\040")
    lines = [
        "/dev/root / ext4 rw 0 0",
        f"server:/export {shared} nfs4 rw 0 0",
        f"tmpfs {tmp_path / 'local'} tmpfs rw 0 0",
        "",
    ]
    table.write_text("\n".join(lines))
    return table


def found(database, mounts, free=LEAST_FREE):
    return [(one.fault.id, one.what) for one in look_at_disk(database, lambda _: free, mounts)]


def test_a_local_disk_with_room_has_no_fault(tmp_path, mounts):
    """Nor has a place that isn't there yet."""
    assert [] == found(tmp_path / "local" / "queue.db", mounts)
    assert [] == found(tmp_path / "local" / "none" / "queue.db", mounts)


def test_a_disk_of_the_network(tmp_path, mounts):
    """By the type of the mount that is nearest to the file."""
    database = tmp_path / "shared disk" / "queue.db"
    assert [("disk-of-the-network", f"{database} is on a file system of type nfs4")] == found(database, mounts)


@pytest.mark.parametrize(("free", "ids"), [(LEAST_FREE - 1, ["disk-nearly-full"]), (None, [])])
def test_a_disk_that_is_nearly_full(tmp_path, mounts, free, ids):
    """Where it is known how much is left."""
    assert ids == [one for one, _ in found(tmp_path / "local" / "queue.db", mounts, free)]


def test_without_a_table_of_mounts_nothing_is_known_of_the_network(tmp_path):
    """On macOS there is none; the disk's own room is read from the system."""
    assert [] == [one.fault.id for one in look_at_disk(tmp_path / "q.db", lambda _: None, tmp_path / "none")]
    assert "disk-of-the-network" not in {one.fault.id for one in look_at_disk(tmp_path / "q.db")}
