"""Converts any image to the pipeline's uint8 arrays."""

import io
import warnings
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from autoencoders.data.metadata import turn, warn_of_pages, without_metadata
from autoencoders.jobs.errors import UserError
from autoencoders.jobs.files import printable

# The formats that are decoded, whatever a file's suffix. Some of Pillow's other formats start programs (Ghostscript).
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "PPM", "TIFF")
# Tags of TIFF.
BITS_PER_SAMPLE, PHOTOMETRIC, SAMPLE_FORMAT = 258, 262, 339
# The label of a test image whose class is unknown.
UNKNOWN = -1


@dataclass(frozen=True)
class Split:
    """The images of one split, opened one at a time.

    ``labels`` is int64 (count,), counting classes from 0, or None; a test image may have the label UNKNOWN. ``images``
    starts a new pass over the images; ``name`` maps an index to the image's file or row, for messages. ``files`` are
    the paths of images that have a file each.
    """

    count: int
    labels: np.ndarray | None
    images: Callable[[], Iterator[Image.Image]]
    name: Callable[[int], str]
    files: Sequence[str | Path] = field(default=())

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Image.Image]:
        return self.images()


def open_image(file: str | Path | io.BytesIO) -> Image.Image:
    """An image of one of ``FORMATS``, decoded: if its metadata are damaged, without them and with a warning.

    Raises whatever a decoder raises.
    """
    try:
        return decoded(file)
    except Exception as error:
        content = file.getvalue() if isinstance(file, io.BytesIO) else Path(file).read_bytes()
        plain = without_metadata(content)
        if plain is None:
            raise
        try:
            image = decoded(io.BytesIO(plain))
        except Exception:
            raise error from None  # It tells more about the file.
        warnings.warn(f"its metadata are damaged, and are ignored ({error})", stacklevel=1)
        return image


def decoded(file: str | Path | io.BytesIO) -> Image.Image:
    image = Image.open(file, formats=FORMATS)
    # At once: reading some metadata would decode the pixels too, and hide that these are damaged.
    image.load()
    return image


def split_of_files(files: Sequence[str | Path], labels: np.ndarray | None) -> Split:
    """A split of image files; ``labels`` is int64 (len(files),) or None."""

    def images() -> Iterator[Image.Image]:
        for file in files:
            with open_image(file) as image:
                yield image

    return Split(len(files), labels, images, lambda index: printable(files[index]), files)


def class_indices(labels: Mapping[str, Sequence[Hashable]]) -> dict[str, np.ndarray]:
    """Number the classes 0, 1, ... in sorted order, the same way in every split: {split: int64 (n,)}.

    ``labels`` has values of one type, or numbers. The number -1 in the test split means that a class is unknown, unless
    training images have it too.
    """
    found = {split: set(values) for split, values in labels.items()}
    if UNKNOWN not in found["train"]:
        found.get("test", set()).discard(UNKNOWN)
    classes = sorted(set().union(*found.values()))
    number = {UNKNOWN: UNKNOWN} | {name: number for number, name in enumerate(classes)}
    return {split: np.array([number[value] for value in values], dtype=np.int64) for split, values in labels.items()}


def grey_of_integers(image: Image.Image) -> Image.Image:
    """Grey pixels of 12 or 16 bits as 8 bits, transparency on white. Raises ValueError for 32 bits, without a range."""
    # In files of other formats, Pillow's mode of 32-bit integers is used for 16 bits.
    if image.mode == "I" and image.format not in ("PNG", "PPM"):
        raise ValueError("its pixels are integers of 32 bits; save it with 8 or 16 bits")
    tags = getattr(image, "tag_v2", {})
    (bits,) = tags.get(BITS_PER_SAMPLE, (16,))
    # Pillow's own conversion clips values at 255 instead of scaling them.
    stored = np.asarray(image)
    # The range of 12 bits. Even dim photos in 16 bits have brighter pixels.
    if bits == 16 and tags.get(PHOTOMETRIC) != 0 and (brightest := stored.max(initial=0)) < 2**12:
        warnings.warn(
            f"its brightest pixel is {brightest} of 65535, so it is almost black; if its values have fewer bits, "
            "multiply them to fill 16",
            stacklevel=1,
        )
    grey = np.clip(stored / (2**bits - 1), 0, 1)
    if tags.get(PHOTOMETRIC) == 0:  # 0 is white.
        grey = 1 - grey
    if "transparency" in image.info:
        grey[stored == image.info["transparency"]] = 1
    return Image.fromarray(np.rint(255 * grey).astype(np.uint8))


def to_rgb(image: Image.Image) -> Image.Image:
    """Upright 8-bit RGB: EXIF orientation applied, more bits scaled to 8, transparency on white.

    Raises ValueError for pixels without a fixed range (signed, 32 bits, floating point) and for conversions that Pillow
    lacks.
    Warns of what is ignored.
    """
    if 2 in getattr(image, "tag_v2", {}).get(SAMPLE_FORMAT, ()):
        raise ValueError("its pixels are signed integers; save it with 8 or 16 bits and without a sign")
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers; save it with 8 or 16 bits")
    pixels = grey_of_integers(image) if image.mode.startswith("I") else image
    if pixels.has_transparency_data:
        pixels = pixels.convert("RGBA")
        pixels = Image.alpha_composite(Image.new("RGBA", pixels.size, "white"), pixels)
    pixels, operation = pixels.convert("RGB"), turn(image)
    warn_of_pages(image)
    return pixels if operation is None else pixels.transpose(operation)


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
