"""What a file says about an image beside its pixels. Only the EXIF orientation is used; nothing else may end a run."""

import struct
import warnings
import zlib
from collections.abc import Iterator

from PIL import ExifTags, Image

# The operation that turns an image upright, by its EXIF orientation.
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
PNG, JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8"


def turn(image: Image.Image) -> Image.Transpose | None:
    """The operation that turns an image upright. None, with a warning, if its EXIF orientation can't be read."""
    try:
        value = image.getexif().get(ExifTags.Base.Orientation)
        if value is None:
            if image.info.get("exif"):
                Image.Exif().load(image.info["exif"])  # Pillow hides some faults the second time.
            return None
        orientation = int(value[0] if isinstance(value, tuple | bytes) else value)
        if not 0 <= orientation <= 8:
            raise ValueError(f"it is {orientation}")
    except Exception as error:  # Damaged metadata may raise anything.
        warnings.warn(f"its EXIF orientation can't be read, and is ignored ({error})", stacklevel=1)
        return None
    return UPRIGHT.get(orientation)


def warn_of_pages(image: Image.Image) -> None:
    """Warn if an image has several pages or frames. Its pixels can't be read afterwards."""
    try:
        count = getattr(image, "n_frames", 1)
    except Exception as error:  # Anything may follow a sound first page.
        warnings.warn(f"what follows its first page can't be read, and is ignored ({error})", stacklevel=1)
    else:
        if count > 1:
            warnings.warn(f"only the first of its {count} pages is used", stacklevel=1)


def without_metadata(content: bytes) -> bytes | None:
    """A PNG or JPEG file with nothing but its pixels and its EXIF data; None for other formats and damaged files.

    Pillow refuses such files for some faults of comments, colour profiles and resolutions.
    """
    for start, parts in ((PNG, png_parts), (JPEG, jpeg_parts)):
        if content.startswith(start):
            try:
                return start + b"".join(parts(content))
            except (struct.error, IndexError):
                return None
    return None


def png_parts(content: bytes) -> Iterator[bytes]:
    """The chunks of a PNG file that are needed, whose names begin with a capital letter; transparency; sound EXIF."""
    position = len(PNG)
    while position < len(content):
        length, name = struct.unpack_from(">I4s", content, position)
        end = position + 12 + length
        (checksum,) = struct.unpack_from(">I", content, end - 4)
        sound = checksum == zlib.crc32(content[position + 4 : end - 4])
        if name[:1].isupper() or name == b"tRNS" or (name == b"eXIf" and sound):
            yield content[position:end]
        position = end


def jpeg_parts(content: bytes) -> Iterator[bytes]:
    """The segments of a JPEG file without comments and those of applications, other than EXIF and colour transforms."""
    position = len(JPEG)
    while content[position + 1] != 0xDA:  # the start of the pixels
        marker, length = struct.unpack_from(">HH", content, position)
        end = position + 2 + length
        exif = marker == 0xFFE1 and content[position + 4 :].startswith(b"Exif")
        if exif or not (0xFFE0 <= marker <= 0xFFED or marker in (0xFFEF, 0xFFFE)):
            yield content[position:end]
        position = end
    yield content[position:]
