"""The task, which a worker runs."""

from __future__ import annotations

import io
import sqlite3
from datetime import timedelta
from typing import Annotated, Final

from PIL import Image, ImageOps, UnidentifiedImageError

import cloudq
from cloudq import INJECTED, Depends
from thumbnails.gallery import Gallery, get_catalog, get_gallery

app = cloudq.App()

InGallery = Annotated[Gallery, Depends(get_gallery)]
InCatalog = Annotated[sqlite3.Connection, Depends(get_catalog)]

# What an attacker declares in a header of a few bytes: a task would fill the memory. Pillow refuses twice of this.
Image.MAX_IMAGE_PIXELS = 50_000_000
WHITE: Final = (255, 255, 255)


@app.task(time_limit=timedelta(minutes=1))
def make_thumbnail(name: str, size: int, gallery: InGallery = INJECTED, catalog: InCatalog = INJECTED) -> None:
    """Makes one, which replaces an earlier one: a second run of the same message does no harm."""
    original = gallery.original(name).read_bytes()  # missing: that may pass, so it is tried again
    try:
        small = scaled_down(original, size)
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError) as error:
        # No later attempt will read it either: it goes to the dead-letter queue at once, with the reason.
        raise cloudq.DeadLetter(f"{name} can't be read as an image: {error}") from error
    content = io.BytesIO()
    small.save(content, "JPEG", quality=85)
    gallery.keep(gallery.thumbnail(name, size), content.getvalue())
    catalog.execute("INSERT OR REPLACE INTO thumbnails VALUES (?, ?, ?, ?)", (name, size, *small.size))


def scaled_down(original: bytes, size: int) -> Image.Image:
    """The image within a square of that size, upright, on white where it was transparent."""
    with Image.open(io.BytesIO(original), formats=("JPEG", "PNG")) as image:
        image.draft("RGB", (size, size))  # a JPEG is read no larger than needed
        upright = ImageOps.exif_transpose(image)
        upright.thumbnail((size, size))
        if not upright.has_transparency_data:
            return upright.convert("RGB")
        layer = upright.convert("RGBA")
        ground = Image.new("RGBA", layer.size, WHITE)
        ground.alpha_composite(layer)
        return ground.convert("RGB")
