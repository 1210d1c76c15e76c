"""From any picture to the pipeline's uint8 arrays, and from those to PNG files."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from autoencoders.errors import UserError
from autoencoders.files import atomic


def to_rgb(image: Image.Image) -> Image.Image:
    """Upright 8-bit RGB: EXIF orientation applied, 16 bits scaled to 8, transparency laid on white.

    Raises ValueError for pixels without a fixed range (floating point) or a conversion that Pillow lacks.
    """
    image = ImageOps.exif_transpose(image)
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers; save it with 8 or 16 bits")
    if image.mode.startswith("I"):
        # Pillow's own conversion clips 16-bit values at 255 instead of scaling them.
        grey = np.clip(np.asarray(image).astype(np.int64), 0, 65535)
        image = Image.fromarray(np.rint(grey / 257).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")


def prepare_image(image: Image.Image, crop: int | None, size: int) -> np.ndarray:
    """Convert to RGB, cut the centred square of ``crop`` pixels, resize with antialiasing.

    ``crop`` None is the largest centred square. Odd margins leave the smaller half left and above: 140 of a
    178 x 218 image begins at left 19, top 39. Returns uint8 (3, size, size); raises UserError when the image is
    smaller than the crop.
    """
    image = to_rgb(image)
    width, height = image.size
    if crop is None:
        crop = min(width, height)
    if crop > min(width, height):
        raise UserError(
            f"crop: {crop} is larger than the image of {width} x {height} pixels. "
            f"Write a crop of at most {min(width, height)}, or null for the largest centred square."
        )
    left, top = (width - crop) // 2, (height - crop) // 2
    image = image.crop((left, top, left + crop, top + crop))
    if crop != size:
        # Pillow's bilinear filter widens with the reduction, which is what antialiases.
        image = image.resize((size, size), Image.Resampling.BILINEAR)
    return np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1))


def write_png(path: str | Path, array: np.ndarray) -> None:
    """Write uint8 (H, W, 3) as a PNG file."""
    with atomic(path) as temporary:
        Image.fromarray(array).save(temporary, format="PNG")
