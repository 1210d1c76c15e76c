"""Damaged files of all formats, thousands of them in one process, end in images or in messages that name them.

``DAMAGED_FILES=100000 pytest tests/test_damaged_pictures.py`` tries more.
"""

import io
import os
import random

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from autoencoders.data.pictures import split_of_files
from autoencoders.data.preparation import prepare_split
from autoencoders.data.sources import parquet
from autoencoders.jobs.errors import UserError

COUNT = int(os.environ.get("DAMAGED_FILES", 1500))
RNG = np.random.default_rng(0)


def encoded(mode: str, kind: str, pages: int = 1, **options) -> bytes:
    first, *more = [
        Image.fromarray(RNG.integers(0, 256, (24, 20, 3), dtype=np.uint8)).convert(mode) for _ in range(pages)
    ]
    if more:
        options |= {"save_all": True, "append_images": more}
    written = io.BytesIO()
    first.save(written, kind, **options)
    return written.getvalue()


def table(**options) -> bytes:
    written = io.BytesIO()
    images = pa.array([encoded("RGB", "PNG") for _ in range(3)], pa.binary())
    rows = pa.StructArray.from_arrays([images, pa.array(["a", "b", "c"])], ["bytes", "path"])
    pq.write_table(pa.table({"image": rows, "label": pa.array(["x", "y", "x"])}), written, **options)
    return written.getvalue()


def sound_files() -> dict[str, bytes]:
    """A file of every format and of their common variants, by its name."""
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a picture"
    deep = Image.fromarray(RNG.integers(0, 65536, (24, 20), dtype=np.uint16))
    files = {
        "rgb.png": encoded("RGB", "PNG", exif=exif),
        "palette.png": encoded("P", "PNG", transparency=3),
        "transparent.png": encoded("RGBA", "PNG"),
        "frames.png": encoded("RGB", "PNG", pages=2),
        "plain.jpg": encoded("RGB", "JPEG", exif=exif, comment=b"a comment"),
        "progressive.jpg": encoded("L", "JPEG", progressive=True),
        "cmyk.jpg": encoded("CMYK", "JPEG"),
        "several.jpg": encoded("RGB", "MPO", pages=2),
        "lossy.webp": encoded("RGB", "WEBP", exif=exif),
        "lossless.webp": encoded("RGBA", "WEBP", lossless=True),
        "frames.webp": encoded("RGB", "WEBP", pages=2),
        "one.gif": encoded("P", "GIF", comment=b"a comment"),
        "frames.gif": encoded("RGB", "GIF", pages=2),
        "rgb.bmp": encoded("RGB", "BMP"),
        "palette.bmp": encoded("P", "BMP"),
        "rgb.ppm": encoded("RGB", "PPM"),
        "grey.pgm": encoded("L", "PPM"),
        "text.ppm": b"P3\n# a comment\n2 2\n255\n" + b"1 2 3 " * 4,
        "pages.tif": encoded("RGB", "TIFF", pages=2),
        "turned.tif": encoded("RGB", "TIFF", exif=exif),
        "fax.tif": encoded("1", "TIFF", compression="group4"),
        **{f"{name}.tif": encoded("RGB", "TIFF", compression=name) for name in ("tiff_lzw", "jpeg", "tiff_deflate")},
        "table.parquet": table(),
        "packed.parquet": table(compression="zstd", use_dictionary=False, row_group_size=2),
    }
    for kind, name in (("PNG", "deep.png"), ("TIFF", "deep.tif"), ("PPM", "deep.pgm")):
        written = io.BytesIO()
        deep.save(written, kind)
        files[name] = written.getvalue()
    return files


def damaged(content: bytes, other: bytes, draw: random.Random) -> bytes:
    """One to three of: other bytes, a missing end, zeros, missing or additional bytes, the rest of another file."""
    found = bytearray(content)
    for _ in range(draw.randint(1, 3)):
        # Headers are short, and have most of what can go wrong.
        place = draw.randrange(min(len(found), 64) if draw.random() < 0.5 else len(found)) if found else 0
        length = draw.randint(1, 40)
        match draw.randrange(6):
            case 0 | 1:
                found[place : place + 1] = bytes([draw.randrange(256)])
            case 2:
                del found[place:]
            case 3:
                found[place : place + length] = bytes(length)
            case 4:
                found[place : place + draw.choice([0, length])] = draw.randbytes(draw.choice([0, length]))
            case 5:
                found[place:] = other[place:]
    return bytes(found)


def test_damaged_files_end_in_messages_that_name_them(tmp_path):
    draw, sound = random.Random(0), sound_files()
    outcomes = {name: [0, 0] for name in sound}
    for number in range(COUNT + len(sound)):
        name = list(sound)[number % len(sound)]
        file = tmp_path / name
        # First each sound file, which must be read.
        content = sound[name]
        if number >= len(sound):
            content = damaged(content, sound[draw.choice(list(sound))], draw)
        file.write_bytes(content)
        try:
            if name.endswith(".parquet"):
                options = {"train": str(file), "test": None, "image": "image", "label": "label"}
                images, _ = prepare_split(parquet.splits(options, tmp_path)["train"], None, 8)
            else:
                images, _ = prepare_split(split_of_files([file], None), None, 8)
            assert images.shape[1:] == (3, 8, 8) and images.dtype == np.uint8
            outcomes[name][0] += 1
        except UserError as error:
            assert number >= len(sound) and str(file) in str(error)
            outcomes[name][1] += 1
    # The damage is neither too small nor too large to show anything.
    assert all(read > 1 and refused for read, refused in outcomes.values()), outcomes
