"""Converts any image to the pipeline's uint8 arrays."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from autoencoders.jobs.errors import UserError

# The formats that are decoded, whatever a file's suffix. Some of Pillow's other formats start programs (Ghostscript).
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "PPM", "TIFF")


@dataclass(frozen=True)
class Split:
    """The images of one split, opened one at a time.

    ``labels`` is int64 (count,) or None; ``images`` starts a new pass over the images; ``name`` maps an index to the
    image's file or row, for messages.
    """

    count: int
    labels: np.ndarray | None
    images: Callable[[], Iterator[Image.Image]]
    name: Callable[[int], str]

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Image.Image]:
        return self.images()


def split_of_files(files: list[Path], labels: np.ndarray | None) -> Split:
    """A split of image files; ``labels`` is int64 (len(files),) or None."""

    def images() -> Iterator[Image.Image]:
        for file in files:
            with Image.open(file, formats=FORMATS) as image:
                yield image

    return Split(len(files), labels, images, lambda index: str(files[index]))


def class_indices(names: dict[str, list[str]]) -> dict[str, np.ndarray]:
    """Number the classes in sorted order, the same way in every split: {split: int64 (n,)}."""
    classes = sorted({name for values in names.values() for name in values})
    index = {name: number for number, name in enumerate(classes)}
    return {split: np.array([index[name] for name in values], dtype=np.int64) for split, values in names.items()}


def to_rgb(image: Image.Image) -> Image.Image:
    """Upright 8-bit RGB: EXIF orientation applied, 16 bits scaled to 8, transparency on white.

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
    """Convert to RGB, crop to the centred square of ``crop`` pixels, resize with antialiasing.

    ``crop`` None is the largest centred square. Odd margins leave the smaller half left and above: 140 of a
    178 x 218 image begins at left 19, top 39. Returns uint8 (3, size, size); raises UserError if the image is
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
        # Pillow's bilinear filter widens as the image shrinks, which antialiases.
        image = image.resize((size, size), Image.Resampling.BILINEAR)
    return np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1))
