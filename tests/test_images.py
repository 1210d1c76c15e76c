"""Pictures of every mode become the same uint8 squares."""

import numpy as np
import pytest
import torch
from PIL import Image

from autoencoders.data.pictures import prepare_image
from autoencoders.figures.tiles import write_png
from autoencoders.jobs.errors import UserError

RNG = np.random.default_rng(0)


def noise(height, width, channels=3):
    shape = (height, width, channels) if channels else (height, width)
    return RNG.integers(0, 256, shape, dtype=np.uint8)


def test_an_image_of_the_right_size_is_unchanged():
    pixels = noise(32, 32)
    prepared = prepare_image(Image.fromarray(pixels), None, 32)
    assert prepared.dtype == np.uint8
    assert prepared.shape == (3, 32, 32)
    assert np.array_equal(prepared, pixels.transpose(2, 0, 1))


def test_the_paper_crops_celeba_at_left_19_top_39():
    pixels = noise(218, 178)
    prepared = prepare_image(Image.fromarray(pixels), 140, 140)
    assert np.array_equal(prepared, pixels[39:179, 19:159].transpose(2, 0, 1))


@pytest.mark.parametrize(("height", "width", "rows", "columns"), [
    (10, 15, slice(0, 10), slice(2, 12)),
    (15, 10, slice(2, 12), slice(0, 10)),
])  # fmt: skip
def test_without_a_crop_the_largest_centred_square_is_taken(height, width, rows, columns):
    pixels = noise(height, width)
    assert np.array_equal(prepare_image(Image.fromarray(pixels), None, 10), pixels[rows, columns].transpose(2, 0, 1))


def test_crop_may_touch_the_border_but_not_cross_it():
    image = Image.fromarray(noise(20, 30))
    assert prepare_image(image, 20, 20).shape == (3, 20, 20)
    with pytest.raises(UserError, match=r"crop: 21 is larger than the image of 30 x 20 pixels.*at most 20"):
        prepare_image(image, 21, 20)


@pytest.mark.parametrize(("crop", "size"), [(140, 64), (70, 64), (48, 32), (8, 32)])
def test_resize_is_antialiased_bilinear(crop, size):
    """Against torch's implementation of the same filter; both round to whole numbers."""
    pixels = noise(crop, crop)
    prepared = prepare_image(Image.fromarray(pixels), crop, size)
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(pixels.transpose(2, 0, 1).copy())[None].double(),
        size=(size, size),
        mode="bilinear",
        antialias=True,
    )[0].numpy()
    assert np.abs(prepared - expected).max() <= 1.01


def test_grey_becomes_three_equal_channels():
    pixels = noise(8, 8, 0)
    prepared = prepare_image(Image.fromarray(pixels), None, 8)
    assert np.array_equal(prepared, np.stack([pixels] * 3))


def test_palette_and_bilevel():
    palette = Image.new("P", (4, 4), 1)
    palette.putpalette([0, 0, 0, 10, 20, 30])
    assert prepare_image(palette, None, 4)[:, 0, 0].tolist() == [10, 20, 30]
    assert (prepare_image(Image.new("1", (4, 4), 1), None, 4) == 255).all()


def test_cmyk():
    assert prepare_image(Image.new("CMYK", (4, 4), (0, 255, 255, 0)), None, 4)[:, 0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize("dtype", [np.uint16, np.int32])
def test_sixteen_bits_are_scaled_not_clipped(tmp_path, dtype):
    values = np.array([[0, 256, 257], [32768, 65280, 65535], [1, 128, 129]], dtype=dtype)
    suffix = ".png" if dtype == np.uint16 else ".tif"
    Image.fromarray(values).save(tmp_path / f"deep{suffix}")
    with Image.open(tmp_path / f"deep{suffix}") as image:
        assert image.mode.startswith("I")
        prepared = prepare_image(image, None, 3)
    assert prepared[0].tolist() == [[0, 1, 1], [128, 254, 255], [0, 0, 1]]
    assert (prepared == prepared[0]).all()


def test_floating_point_is_refused():
    with pytest.raises(ValueError, match="floating-point"):
        prepare_image(Image.new("F", (4, 4), 0.5), None, 4)


def test_transparency_is_laid_on_white(tmp_path):
    half = Image.new("RGBA", (4, 4), (0, 100, 200, 128))
    alpha = 128 / 255
    expected = [255 * (1 - alpha) + value * alpha for value in (0, 100, 200)]
    assert np.abs(prepare_image(half, None, 4)[:, 0, 0] - expected).max() <= 1
    assert (prepare_image(Image.new("RGBA", (4, 4), (0, 0, 0, 0)), None, 4) == 255).all()
    assert (prepare_image(Image.new("LA", (4, 4), (7, 0)), None, 4) == 255).all()
    # A palette entry, a grey level or a colour that stands for "transparent".
    for mode, colour, transparent in (("P", 0, 0), ("L", 9, 9), ("RGB", (1, 2, 3), (1, 2, 3))):
        Image.new(mode, (4, 4), colour).save(tmp_path / f"{mode}.png", transparency=transparent)
        with Image.open(tmp_path / f"{mode}.png") as image:
            assert "transparency" in image.info
            assert (prepare_image(image, None, 4) == 255).all(), mode


@pytest.mark.parametrize(("orientation", "turn"), [
    (3, lambda a: a[::-1, ::-1]),
    (6, lambda a: np.rot90(a, -1)),
    (8, lambda a: np.rot90(a, 1)),
])  # fmt: skip
def test_exif_orientation_is_applied(tmp_path, orientation, turn):
    pixels = noise(12, 12)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=exif)
    with Image.open(tmp_path / "turned.png") as image:
        prepared = prepare_image(image, None, 12)
    assert np.array_equal(prepared, turn(pixels).transpose(2, 0, 1))


def test_exif_orientation_comes_before_the_crop(tmp_path):
    """Turned by 90 degrees, a wide image is a high one."""
    pixels = noise(10, 15)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=exif)
    with Image.open(tmp_path / "turned.png") as image:
        prepared = prepare_image(image, None, 10)
    assert np.array_equal(prepared, np.rot90(pixels, -1)[2:12].transpose(2, 0, 1))


def test_write_png(tmp_path):
    pixels = noise(5, 7)
    write_png(tmp_path / "new" / "grid.png", pixels)
    with Image.open(tmp_path / "new" / "grid.png") as image:
        assert image.format == "PNG"
        assert np.array_equal(np.asarray(image), pixels)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["grid.png"]
