"""The page of all figures: every picture is there, whole, unstretched, and apart from the others."""

import itertools

import numpy as np
import pytest
from PIL import Image

from autoencoders.figures.contact_sheet import HEIGHT, WIDTH, contact_sheet, layout
from autoencoders.figures.page_style import DPI, save

FIGURES = [(1480, 1100), (1480, 580), (1200, 860), (1200, 860), (1480, 580), (1460, 840), (780, 800), (1480, 1340)]


@pytest.mark.parametrize("sizes", [FIGURES, FIGURES[:1], FIGURES[:2], FIGURES * 3, [(300, 6000)], [(9000, 300)] * 3])
def test_pictures_keep_their_shape_their_order_and_their_distance(sizes):
    boxes = layout(sizes)
    assert len(boxes) == len(sizes)
    for (left, top, width, height), (across, down) in zip(boxes, sizes, strict=True):
        assert width / height == pytest.approx(across / down)
        assert left > 0 and left + width < WIDTH and top > 0.1 and top + height < HEIGHT
    scales = [box[2] * DPI / size[0] for box, size in zip(boxes, sizes, strict=True)]
    assert max(scales) == pytest.approx(min(scales)) and max(scales) <= 1 + 1e-9
    for one, other in itertools.combinations(boxes, 2):
        beside = one[0] + one[2] < other[0]
        # A title stands between.
        above = one[1] + one[3] + 0.2 < other[1]
        assert beside or above


def test_the_figures_of_the_paper_stay_readable():
    width = layout(FIGURES)[0][2]
    assert width * DPI / FIGURES[0][0] > 0.45


def test_the_page_shows_the_pictures_with_their_titles(tmp_path):
    rng = np.random.default_rng(0)
    pictures = {}
    for index, (width, height) in enumerate([(400, 300), (600, 200), (1500, 300)]):
        pixels = np.full((height, width, 3), rng.integers(30, 220, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{index}.png")
        pictures[f"Figure {index}"] = tmp_path / f"{index}.png"
    figure = contact_sheet(pictures)
    assert [axes.get_title(loc="left") for axes in figure.axes] == list(pictures)
    save(figure, tmp_path / "sheet.pdf", tmp_path / "sheet.png")
    page = np.asarray(Image.open(tmp_path / "sheet.png").convert("RGB"))
    assert page.shape[:2] == (round(HEIGHT * DPI), round(WIDTH * DPI))
    for path in pictures.values():
        original = np.asarray(Image.open(path))
        height, width = original.shape[:2]
        rows, columns = np.nonzero((page == original[0, 0]).all(axis=2))
        assert np.ptp(columns) == pytest.approx(width * np.ptp(rows) / height, rel=0.02)
        assert len(rows) == pytest.approx(np.ptp(rows) * np.ptp(columns), rel=0.03)


def test_transparent_and_grey_pictures_are_shown(tmp_path):
    Image.new("L", (50, 50), 100).save(tmp_path / "grey.png")
    Image.new("RGBA", (50, 50), (200, 0, 0, 255)).save(tmp_path / "rgba.png")
    figure = contact_sheet({"grey": tmp_path / "grey.png", "rgba": tmp_path / "rgba.png"})
    assert [axes.images[0].get_array().shape for axes in figure.axes] == [(50, 50, 3)] * 2
