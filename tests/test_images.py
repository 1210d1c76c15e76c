"""Pictures of every mode become the same uint8 squares."""

import io
import struct
import warnings
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from autoencoders.data.pictures import open_image, prepare_image, to_rgb
from autoencoders.jobs.errors import UserError

RNG = np.random.default_rng(0)


def noise(height, width):
    return RNG.integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("shape", "crop", "size", "rows", "columns"),
    [
        ((32, 32), None, 32, slice(0, 32), slice(0, 32)),
        # The paper's crop of CelebA: left 19, top 39.
        ((218, 178), 140, 140, slice(39, 179), slice(19, 159)),
        ((10, 15), None, 10, slice(0, 10), slice(2, 12)),
        ((15, 10), None, 10, slice(2, 12), slice(0, 10)),
        ((20, 30), 20, 20, slice(0, 20), slice(5, 25)),
    ],
)
def test_the_centred_square_is_cut(shape, crop, size, rows, columns):
    pixels = noise(*shape)
    prepared = prepare_image(Image.fromarray(pixels), crop, size)
    assert prepared.dtype == np.uint8
    assert np.array_equal(prepared, pixels[rows, columns].transpose(2, 0, 1))


def test_a_crop_across_the_border_is_refused():
    with pytest.raises(UserError, match=r"crop: 21 is larger than the image of 30 x 20 pixels.*at most 20"):
        prepare_image(Image.fromarray(noise(20, 30)), 21, 20)


@pytest.mark.parametrize(("crop", "size"), [(140, 64), (48, 32), (8, 32)])
def test_resize_is_antialiased_bilinear(crop, size):
    """Against torch's implementation of the same filter; both round to whole numbers."""
    pixels = noise(crop, crop)
    prepared = prepare_image(Image.fromarray(pixels), crop, size)
    tensor = torch.from_numpy(pixels.transpose(2, 0, 1).copy())[None].double()
    expected = torch.nn.functional.interpolate(tensor, size=(size, size), mode="bilinear", antialias=True)[0]
    assert np.abs(prepared - expected.numpy()).max() <= 1.01


PALETTE = Image.new("P", (4, 4), 1)
PALETTE.putpalette([0, 0, 0, 10, 20, 30])


@pytest.mark.parametrize(
    ("image", "colour"),
    [
        (Image.new("L", (4, 4), 77), [77, 77, 77]),
        (Image.new("1", (4, 4), 1), [255, 255, 255]),
        (PALETTE, [10, 20, 30]),
        (Image.new("CMYK", (4, 4), (0, 255, 255, 0)), [255, 0, 0]),
        # Transparency is laid on white.
        (Image.new("RGBA", (4, 4), (0, 100, 200, 128)), [127, 177, 227]),
        (Image.new("RGBA", (4, 4), (0, 0, 0, 0)), [255, 255, 255]),
        (Image.new("LA", (4, 4), (7, 0)), [255, 255, 255]),
    ],
    ids=lambda value: getattr(value, "mode", ""),
)
def test_modes(image, colour):
    prepared = prepare_image(image, None, 4)
    assert prepared.shape == (3, 4, 4)
    assert np.abs(prepared.astype(int) - np.reshape(colour, (3, 1, 1))).max() <= 1


@pytest.mark.parametrize(("mode", "colour"), [("P", 0), ("L", 9), ("RGB", (1, 2, 3))])
def test_a_value_that_stands_for_transparent_is_white(tmp_path, mode, colour):
    Image.new(mode, (4, 4), colour).save(tmp_path / "image.png", transparency=colour)
    with Image.open(tmp_path / "image.png") as image:
        assert "transparency" in image.info
        assert (prepare_image(image, None, 4) == 255).all()


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm"])
def test_sixteen_bits_are_scaled_not_clipped(tmp_path, suffix):
    values = np.array([[0, 256, 257], [32768, 65280, 65535], [1, 128, 129]], dtype=np.uint16)
    Image.fromarray(values).save(tmp_path / f"deep.{suffix}")
    with Image.open(tmp_path / f"deep.{suffix}") as image:
        assert image.mode.startswith("I")
        prepared = prepare_image(image, None, 3)
    assert prepared[0].tolist() == [[0, 1, 1], [128, 254, 255], [0, 0, 1]]
    assert (prepared == prepared[0]).all()


@pytest.mark.parametrize(("brightest", "warned"), [(4095, True), (4096, False)])
def test_values_of_few_bits_in_sixteen_are_almost_black_and_a_warning_says_so(tmp_path, brightest, warned):
    Image.fromarray(np.array([[0, brightest]], dtype=np.uint16)).save(tmp_path / "dim.png")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        prepared = prepare_image(open_image(tmp_path / "dim.png"), 1, 1)
    assert prepared.max() <= 16
    texts = [str(warning.message) for warning in caught]
    assert texts == [text for text in texts if f"its brightest pixel is {brightest} of 65535" in text]
    assert bool(texts) == warned


def tiff(pixels: bytes, bits: int, **tags: int) -> io.BytesIO:
    """An uncompressed grey TIFF file of 2 x 2 pixels, written without Pillow."""
    found = {256: 2, 257: 2, 258: bits, 259: 1, 262: 1, 273: 200, 277: 1, 278: 2, 279: len(pixels)}
    found |= {int(name.removeprefix("tag")): value for name, value in tags.items()}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(found.items()))
    head = b"II*\0" + struct.pack("<IH", 8, len(found)) + entries + bytes(4)
    return io.BytesIO(head.ljust(200, b"\0") + pixels)


def test_twelve_bits_and_black_on_white_are_scaled_too():
    """Pillow gives the numbers as they are stored."""
    twelve = tiff(bytes([0x00, 0x08, 0x00, 0xFF, 0xF0, 0x10]), bits=12)  # 0, 2048, 4095, 16
    assert prepare_image(open_image(twelve), None, 2)[0].tolist() == [[0, 128], [255, 1]]
    inverted = tiff(struct.pack("<4H", 0, 257, 65535, 257 * 255), bits=16, tag262=0)
    assert prepare_image(open_image(inverted), None, 2)[0].tolist() == [[255, 254], [0, 0]]


def test_the_transparent_value_of_a_deep_picture_is_white(tmp_path):
    values = np.array([[0, 257], [514, 65535]], dtype=np.uint16)
    Image.fromarray(values).save(tmp_path / "deep.png", transparency=257)
    assert prepare_image(open_image(tmp_path / "deep.png"), None, 2)[0].tolist() == [[0, 255], [2, 255]]


@pytest.mark.parametrize(
    ("top", "sample", "words"),
    [
        (255, "uint32", "its pixels are integers of 32 bits; save it with 8 or 16 bits"),
        (2**31 - 1, "int32", "its pixels are signed integers; save it with 8 or 16 bits"),
        (2**15 - 1, "int16", "its pixels are signed integers; save it with 8 or 16 bits"),
        (127, "int8", "its pixels are signed integers; save it with 8 or 16 bits"),
    ],
)
def test_integers_without_a_fixed_range_are_refused(top, sample, words):
    pixels = np.array([0, 1, top // 2, top], dtype=sample)
    stored = tiff(pixels.tobytes(), bits=8 * pixels.itemsize, tag339=1 if sample == "uint32" else 2)
    with pytest.raises(ValueError, match=words):
        prepare_image(open_image(stored), None, 2)


def test_floating_point_is_refused():
    with pytest.raises(ValueError, match="floating-point"):
        prepare_image(Image.new("F", (4, 4), 0.5), None, 4)


@pytest.mark.parametrize(
    ("orientation", "turned"),
    [
        (3, lambda pixels: pixels[::-1, ::-1][:, 2:12]),
        (6, lambda pixels: np.rot90(pixels, -1)[2:12]),
        (8, lambda pixels: np.rot90(pixels, 1)[2:12]),
    ],
)
def test_exif_orientation_is_applied_before_the_crop(tmp_path, orientation, turned):
    pixels, exif = noise(10, 15), Image.Exif()
    # Turned by 180 degrees, the smaller half of an odd margin is still the left one.
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=exif)
    with Image.open(tmp_path / "turned.png") as image:
        prepared = prepare_image(image, None, 10)
    assert np.array_equal(prepared, turned(pixels).transpose(2, 0, 1))


# ---- metadata


def saved(kind: str, **options) -> tuple[bytes, np.ndarray]:
    """A file of a picture of 6 x 4 pixels, and these as they are decoded."""
    written = io.BytesIO()
    Image.fromarray(noise(4, 6)).save(written, kind, **options)
    return written.getvalue(), np.asarray(Image.open(io.BytesIO(written.getvalue())).convert("RGB"))


def exif(*tags: tuple[int, int, int, bytes]) -> bytes:
    """EXIF data of entries (tag, type, count, value of four bytes)."""
    entries = b"".join(struct.pack("<HHI4s", *tag) for tag in tags)
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4)


TEXT = (0x011A, 2, 3, b"72\0\0")  # a resolution as text
TURNED = {
    "beside a resolution as text": exif((0x0112, 3, 1, b"\6\0\0\0"), TEXT),
    "as text": exif((0x0112, 2, 2, b"6\0\0\0")),
    "as a byte": exif((0x0112, 1, 1, b"\6\0\0\0")),
    "of two numbers": exif((0x0112, 3, 2, b"\6\0\1\0")),
}
NOT_READ = {
    "out of range": exif((0x0112, 3, 1, b"\x2a\0\0\0")),
    "a word": exif((0x0112, 2, 4, b"up\0\0")),
    "no EXIF at all": b"something else",
    "nothing": exif((0x0112, 3, 0, bytes(4))),
}


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("case", TURNED | NOT_READ)
def test_the_orientation_is_read_if_it_can_be(kind, case):
    prefix = b"Exif\0\0" if kind == "JPEG" else b""
    content, pixels = saved(kind, exif=prefix + (TURNED | NOT_READ)[case])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = np.asarray(to_rgb(open_image(io.BytesIO(content))))
    assert np.array_equal(found, np.rot90(pixels, -1) if case in TURNED else pixels)
    ignored = [str(warning.message) for warning in caught if "orientation can't be read" in str(warning.message)]
    assert len(ignored) == (case in NOT_READ and case != "nothing")


def chunk(name: bytes, content: bytes, damage: int = 0) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content) ^ damage)


CHUNKS = {
    "short resolution": chunk(b"pHYs", bytes(3)),
    "unknown compression": chunk(b"zTXt", b"Comment\0\x07nothing"),
    "wrong checksum of a comment": chunk(b"tEXt", b"Comment\0hello", damage=1),
    "text of 100 MB": chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(100_000_000), 1)),
    "profile of 2 MB": chunk(b"iCCP", b"mine\0\0" + zlib.compress(bytes(2_000_000))),
    "wrong checksum of EXIF": chunk(b"eXIf", TURNED["as text"], damage=1),
}


@pytest.mark.parametrize("place", ["before the pixels", "after them"])
@pytest.mark.parametrize("case", CHUNKS)
def test_other_metadata_of_png_is_ignored_with_a_warning(case, place):
    content, pixels = saved("PNG", exif=TURNED["as text"])
    # The image's header is 25 bytes long, as is the signature of 8 with the first chunk; IEND has 12.
    cut = 33 if place == "before the pixels" else len(content) - 12
    damaged = content[:cut] + CHUNKS[case] + content[cut:]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = np.asarray(to_rgb(open_image(io.BytesIO(damaged))))
    assert np.array_equal(found, np.rot90(pixels, -1))
    # Pillow does not look at checksums after the pixels.
    if "checksum" not in case or place == "before the pixels":
        assert "its metadata are damaged, and are ignored" in "".join(str(warning.message) for warning in caught)


def test_other_metadata_of_jpeg_are_ignored_but_not_damaged_pixels():
    content, pixels = saved("JPEG", exif=b"Exif\0\0" + TURNED["as text"])
    # A segment for the resolution that ends after its name.
    damaged = content[:2] + b"\xff\xe0\0\x07JFIF\0" + content[2:]
    with pytest.warns(UserWarning, match="its metadata are damaged"):
        assert np.array_equal(np.asarray(to_rgb(open_image(io.BytesIO(damaged)))), np.rot90(pixels, -1))
    for kind in ("JPEG", "PNG"):
        content, _ = saved(kind)
        with pytest.raises(OSError, match="image file is truncated"):
            open_image(io.BytesIO(content[:-30]))


@pytest.mark.parametrize("kind", ["TIFF", "GIF", "PNG", "WEBP", "MPO"])
def test_further_pages_are_left_out_with_a_warning(tmp_path, kind):
    first, *more = [Image.fromarray(noise(4, 4)).quantize(8).convert("RGB") for _ in range(3)]
    first.save(tmp_path / "pages", kind, save_all=True, append_images=more)
    with Image.open(tmp_path / "pages") as image:
        expected = np.asarray(image.convert("RGB"))
    image = open_image(tmp_path / "pages")
    with pytest.warns(UserWarning, match="only the first of its 3 pages is used"):
        assert np.array_equal(np.asarray(to_rgb(image)), expected)
