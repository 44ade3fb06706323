"""The application's own tests: its tasks run in this process, on a queue in memory."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from PIL import Image
from thumbnails.gallery import Gallery, get_gallery
from thumbnails.samples import ORIENTATION, logo, photo
from thumbnails.tasks import app, scaled_down
from thumbnails.web import MOST_BYTES, web

from cloudq.testing import in_memory, run_all


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    monkeypatch.setenv("GALLERY", str(tmp_path))
    with in_memory(app), TestClient(web) as client:
        yield client


def encoded(image: Image.Image, kind: str, exif: Image.Exif | None = None) -> bytes:
    content = io.BytesIO()
    image.save(content, kind, exif=exif or Image.Exif())
    return content.getvalue()


def test_an_image_has_its_thumbnails_once_a_worker_has_run(client: TestClient) -> None:
    assert client.put("/images/logo.png", content=encoded(logo(), "PNG")).json() == {"sizes": [128, 512]}
    assert client.get("/images/logo.png").json() == {}
    assert client.get("/images/logo.png/128").status_code == 404
    run_all(app)
    assert client.get("/images/logo.png").json() == {"128": [128, 85], "512": [512, 341]}
    small = Image.open(io.BytesIO(client.get("/images/logo.png/128").content))
    assert small.size == (128, 85)
    assert small.getpixel((0, 0)) == (255, 255, 255)


def test_a_photo_that_was_taken_upright_stays_upright() -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    assert scaled_down(encoded(photo(), "JPEG", exif), 120).size == (80, 120)


def test_what_is_no_image_is_a_dead_letter_at_once(client: TestClient) -> None:
    client.put("/images/notes.jpg", content=b"not an image")
    report = run_all(app)
    assert len(report.dead_letters) == 2
    assert [run.attempt for run in report.runs] == [1, 1]
    for dead in report.dead_letters:
        assert dead.failure is not None
        assert dead.failure.reason.startswith("notes.jpg can't be read as an image")


def test_what_is_too_large_is_refused(client: TestClient) -> None:
    assert client.put("/images/big.jpg", content=b"x" * (MOST_BYTES + 1)).status_code == 413
    assert client.put("/images/.secret.jpg", content=b"x").status_code == 422
    assert not run_all(app).runs


@pytest.mark.usefixtures("client")
def test_the_task_with_a_gallery_of_the_test(tmp_path: Path) -> None:
    mine = Gallery(tmp_path / "mine")
    mine.keep(mine.original("logo.png"), encoded(logo(), "PNG"))
    with app.overriding({get_gallery: lambda: mine}), app.eager():
        app.send("thumbnails.tasks.make_thumbnail", {"name": "logo.png", "size": 128})
    assert mine.thumbnail("logo.png", 128).exists()
