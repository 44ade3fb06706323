"""The web application: takes images, and says what has become of them."""

from __future__ import annotations

import sqlite3
from typing import Annotated, Final

from fastapi import Depends, FastAPI, HTTPException, Path, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse

from cloudq.integrations.starlette import BackgroundTasks, background_tasks, lifespan
from thumbnails.gallery import NAME, SIZES, Gallery, get_catalog, get_gallery
from thumbnails.tasks import app, make_thumbnail

MOST_BYTES: Final = 20_000_000

Name = Annotated[str, Path(pattern=NAME)]
InGallery = Annotated[Gallery, Depends(get_gallery)]
InCatalog = Annotated[sqlite3.Connection, Depends(get_catalog)]
# Stored when the endpoint has returned, before the answer: what is answered with 202 will be done.
Tasks = Annotated[BackgroundTasks, Depends(background_tasks, scope="function")]

web = FastAPI(title="Thumbnails", lifespan=lifespan(app))


@web.put("/images/{name}", status_code=202)
async def upload(name: Name, request: Request, gallery: InGallery, tasks: Tasks) -> dict[str, list[int]]:
    """Keeps an image, and has its thumbnails made."""
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > MOST_BYTES:
            raise HTTPException(413, f"an image has at most {MOST_BYTES} bytes")
    await run_in_threadpool(gallery.keep, gallery.original(name), bytes(content))
    for size in SIZES:
        tasks.add_task(make_thumbnail, name=name, size=size)
    return {"sizes": list(SIZES)}


@web.get("/images/{name}")
def look(name: Name, gallery: InGallery, catalog: InCatalog) -> dict[int, tuple[int, int]]:
    """The thumbnails that there are: width and height by size."""
    if not gallery.original(name).exists():
        raise HTTPException(404, "no such image")
    found = catalog.execute("SELECT size, width, height FROM thumbnails WHERE name = ? ORDER BY size", [name])
    return {size: (width, height) for size, width, height in found}


@web.get("/images/{name}/{size}")
def thumbnail(name: Name, size: int, gallery: InGallery) -> FileResponse:
    """One thumbnail."""
    path = gallery.thumbnail(name, size)
    if not path.exists():
        raise HTTPException(404, "no such thumbnail, or not yet")
    return FileResponse(path, media_type="image/jpeg")
