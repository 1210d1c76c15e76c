"""The page of all figures: every picture is there, whole, undistorted, and apart from the others."""

import itertools

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from autoencoders.figures.contact_sheet import HEIGHT, WIDTH, contact_sheet, layout
from autoencoders.figures.page_style import DPI, save

FIGURES = [(1100, 1080), (1100, 580), (1100, 720), (1100, 720), (1100, 520), (1100, 530), (1100, 1300), (1100, 1200)]


@pytest.mark.parametrize("sizes", [FIGURES, FIGURES[:1], FIGURES * 3, [(300, 6000)], [(9000, 300)] * 3])
def test_pictures_keep_their_shape_and_distance_and_those_of_the_paper_stay_readable(sizes):
    boxes = layout(sizes)
    scales = [width * DPI / across for (_, _, width, _), (across, _) in zip(boxes, sizes, strict=True)]
    for (left, top, width, height), (across, down) in zip(boxes, sizes, strict=True):
        assert width / height == pytest.approx(across / down)
        assert left > 0 and left + width < WIDTH and top > 0.1 and top + height < HEIGHT
    assert max(scales) == pytest.approx(min(scales)) and max(scales) <= 1 + 1e-9
    assert sizes is not FIGURES or scales[0] > 0.45
    for one, other in itertools.combinations(boxes, 2):
        # Side by side, or one above the other with a title between them.
        assert one[0] + one[2] < other[0] or one[1] + one[3] + 0.2 < other[1]


def test_the_page_shows_the_pictures_of_any_mode_with_their_titles(tmp_path):
    pictures = {f"Figure {mode}": tmp_path / f"{mode}.png" for mode in ("RGB", "RGBA", "L")}
    Image.new("RGB", (600, 200), (200, 90, 40)).save(pictures["Figure RGB"])
    Image.new("RGBA", (400, 300), (30, 180, 60, 255)).save(pictures["Figure RGBA"])
    Image.new("L", (1500, 300), 100).save(pictures["Figure L"])
    figure = contact_sheet(pictures)
    assert [axes.get_title(loc="left") for axes in figure.axes] == list(pictures)
    save(figure, tmp_path / "sheet.png")
    page = np.asarray(Image.open(tmp_path / "sheet.png").convert("RGB"))
    assert page.shape[:2] == (round(HEIGHT * DPI), round(WIDTH * DPI))
    for colour, shape in (((200, 90, 40), 600 / 200), ((30, 180, 60), 400 / 300)):
        rows, columns = np.nonzero((page == colour).all(axis=2))
        assert np.ptp(columns) == pytest.approx(shape * np.ptp(rows), rel=0.02)
        assert len(rows) == pytest.approx(np.ptp(rows) * np.ptp(columns), rel=0.03)
    assert (page == 100).all(axis=2).sum() > 10_000


def test_no_title_is_wider_than_its_picture(tmp_path):
    titles = [f"Figure {place}: normalisation of codes, inception" for place in range(12)]
    Image.new("RGB", (1100, 900)).save(tmp_path / "one.png")
    figure = contact_sheet(dict.fromkeys(titles, tmp_path / "one.png"))
    renderer = FigureCanvasAgg(figure).get_renderer()
    for axes in figure.axes:
        title, picture = axes._left_title.get_window_extent(renderer), axes.get_window_extent(renderer)
        assert title.width < picture.width and axes.get_title(loc="left") in titles
