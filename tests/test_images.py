"""Pictures of every mode become the same uint8 squares."""

import numpy as np
import pytest
import torch
from PIL import Image

from autoencoders.data.pictures import prepare_image
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


@pytest.mark.parametrize(("dtype", "suffix"), [(np.uint16, "png"), (np.int32, "tif")])
def test_sixteen_bits_are_scaled_not_clipped(tmp_path, dtype, suffix):
    values = np.array([[0, 256, 257], [32768, 65280, 65535], [1, 128, 129]], dtype=dtype)
    Image.fromarray(values).save(tmp_path / f"deep.{suffix}")
    with Image.open(tmp_path / f"deep.{suffix}") as image:
        assert image.mode.startswith("I")
        prepared = prepare_image(image, None, 3)
    assert prepared[0].tolist() == [[0, 1, 1], [128, 254, 255], [0, 0, 1]]
    assert (prepared == prepared[0]).all()


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
