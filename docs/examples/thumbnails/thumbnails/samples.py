"""Images to try it with: `python -m thumbnails.samples`."""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageDraw

ORIENTATION = 0x0112  # the EXIF tag: 6 says "turn it to the right", as cameras that are held upright write it


def photo() -> Image.Image:
    """Noise over a gradient, which compresses about as well as a photograph does."""
    sky = Image.linear_gradient("L").resize((1200, 800))
    grain = Image.effect_noise((1200, 800), 40)
    return Image.merge("RGB", (sky, grain, Image.blend(sky, grain, 0.5)))


def logo() -> Image.Image:
    """A disc on nothing."""
    image = Image.new("RGBA", (900, 600))
    ImageDraw.Draw(image).ellipse((300, 150, 600, 450), fill="crimson")
    return image


if __name__ == "__main__":
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    photo().save("photo.jpg", quality=90, exif=exif)
    logo().save("logo.png")
    whole = Path("photo.jpg").read_bytes()
    Path("broken.jpg").write_bytes(whole[: len(whole) // 3])
    print("photo.jpg, logo.png, and broken.jpg, whose end is missing")
