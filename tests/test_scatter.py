"""The scatter plots of codes: which points, where, and what tells the models apart."""

import colorsys

import matplotlib.colors as colors
import numpy as np
import pytest
from PIL import Image

from autoencoders.figures.page_style import save
from autoencoders.figures.scatter import SHOWN, ellipse, scatter
from autoencoders.jobs.errors import UserError

NONE = np.empty((0, 8), np.float32)


def codes(spread, count=200, units=8, mean=0.0, seed=0):
    return np.random.default_rng(seed).normal(mean, spread, (count, units)).astype(np.float32)


def clouds(axes):
    """The points in every colour, in the order that they are drawn in."""
    return {hue(cloud.get_facecolor()[0]): np.asarray(cloud.get_offsets()) for cloud in axes.collections}


def hue(colour):
    h, _, _ = colorsys.rgb_to_hsv(*colors.to_rgb(colour))
    return ["red", "yellow", "green", "blue", "violet", "red"][int(np.searchsorted([0.05, 0.2, 0.45, 0.7, 0.9], h))]


def ellipses(axes):
    return [line for line in axes.lines if len(line.get_xdata()) > 100]


def legend_texts(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def dimensions(figure):
    x, y = (int(text().split()[-1]) for text in (figure.axes[0].get_xlabel, figure.axes[0].get_ylabel))
    return [x, y]


def test_the_papers_colours_for_both_grids():
    first, second, vae = codes(9, seed=1), codes(7, seed=2), codes(1, seed=3)
    a1 = scatter([("DAE 1", False, first), ("DAE 3321", False, second), ("VAE", True, vae)], "A.1", seed=0)
    found, at = clouds(a1.axes[0]), dimensions(a1)
    for name, expected in (("blue", first), ("red", second), ("green", vae)):
        np.testing.assert_array_equal(np.sort(found[name], axis=0), np.sort(expected[:, at], axis=0))
    assert legend_texts(a1) == ["DAE 1", "DAE 3321", "VAE"]
    a2 = scatter([("VAE", True, vae), ("DAE", False, first)], "A.2", seed=0)
    np.testing.assert_array_equal(np.sort(clouds(a2.axes[0])["red"], axis=0), np.sort(vae[:, dimensions(a2)], axis=0))
    assert set(clouds(a2.axes[0])) == {"blue", "red"}


def test_two_different_dimensions_by_the_seed():
    chosen = [dimensions(scatter([("DAE", False, codes(1))], "", seed=seed)) for seed in (0, 0, *range(1, 30))]
    assert chosen[0] == chosen[1]
    assert all(x != y for x, y in chosen)
    assert {x for pair in chosen for x in pair} == set(range(8))


def test_the_range_of_the_vae_has_a_panel_where_it_is_much_smaller():
    wide, narrow = codes(20, mean=5), codes(1)
    figure = scatter([("DAE", False, wide), ("VAE", True, narrow)], "", seed=0)
    everything, zoom = figure.axes
    for axes in (everything, zoom):
        (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
        assert axes.get_aspect() == 1 and right - left == pytest.approx(top - bottom)
        assert len(axes.collections) == 2 and len(ellipses(axes)) == 2
    left, right = everything.get_xlim()
    assert right - left > 5.5 * 20
    left, right = zoom.get_xlim()
    assert 5 < right - left < 8 and left < 0 < right
    (square,) = everything.patches
    assert square.get_width() == pytest.approx(right - left) and square.get_x() == pytest.approx(left)

    assert len(scatter([("DAE", False, codes(1.2)), ("VAE", True, narrow)], "", seed=0).axes) == 1
    assert len(scatter([("DAE", False, wide), ("DAE 2", False, narrow)], "", seed=0).axes) == 1


def test_most_codes_lie_in_the_panel_and_fill_it():
    cloud = codes(2, count=5000, mean=7)
    figure = scatter([("DAE", False, cloud)], "", seed=0)
    points = cloud[:, dimensions(figure)]
    for axis, (low, high) in enumerate((figure.axes[0].get_xlim(), figure.axes[0].get_ylim())):
        assert 0.99 < ((points[:, axis] > low) & (points[:, axis] < high)).mean() < 1
        # Three standard deviations on both sides, of 2 each.
        assert (low + high) / 2 == pytest.approx(7, abs=0.2) and high - low == pytest.approx(12, rel=0.05)


def test_the_widest_cloud_lies_behind_the_others():
    for models in ([("a", False, codes(1)), ("b", False, codes(9))], [("a", False, codes(9)), ("b", False, codes(1))]):
        axes = scatter(models, "", seed=0).axes[0]
        back, front = sorted(axes.collections, key=lambda cloud: cloud.get_zorder())
        assert np.ptp(back.get_offsets()) > np.ptp(front.get_offsets())
        assert all(line.get_zorder() > front.get_zorder() for line in ellipses(axes))


def test_at_most_5000_points_of_the_same_images():
    numbers = np.arange(7000, dtype=np.float32)
    many = np.stack([numbers, numbers], axis=1)
    figure = scatter([("a", False, many), ("b", False, many + 0.25)], "", seed=3)
    first, second = clouds(figure.axes[0]).values()
    assert len(first) == SHOWN == 5000
    np.testing.assert_array_equal(np.floor(first), np.floor(second))
    assert len(np.unique(first[:, 0])) == 5000 and first[:, 0].max() > 6900
    other = clouds(scatter([("a", False, many)], "", seed=4).axes[0])["blue"]
    assert set(other[:, 0]) != set(first[:, 0])


def test_an_ellipse_is_two_standard_deviations():
    rng = np.random.default_rng(0)
    cloud = rng.normal(size=(50_000, 2)) @ np.array([[3.0, 1.0], [0.0, 0.5]]) + [10, -4]
    x, y = ellipse(cloud)
    difference = np.stack([x, y]) - cloud.mean(0)[:, None]
    distance = np.sqrt((difference * np.linalg.solve(np.cov(cloud.T), difference)).sum(0))
    np.testing.assert_allclose(distance, 2, rtol=1e-6)
    # Each marginal is Gaussian: the ellipse reaches two standard deviations along both axes.
    np.testing.assert_allclose([np.ptp(x), np.ptp(y)], 4 * cloud.std(0), rtol=1e-2)


def test_models_are_told_apart_without_colour():
    figure = scatter([(str(index), index > 2, codes(index + 1)) for index in range(5)], "", seed=0)
    lines = {str(line._dash_pattern) for line in ellipses(figure.axes[0])}
    assert len(lines) == 5


def test_a_diverged_cell_is_named_as_such(tmp_path):
    figure = scatter([("DAE", False, codes(5)), ("VAE", True, NONE)], "", seed=0)
    assert legend_texts(figure) == ["DAE", "VAE (diverged)"]
    assert len(figure.axes) == 1 and set(clouds(figure.axes[0])) == {"blue"}
    nothing = scatter([("DAE", False, NONE), ("VAE", True, NONE)], "", seed=0)
    assert legend_texts(nothing) == ["DAE (diverged)", "VAE (diverged)"]
    save(nothing, tmp_path / "nothing.png")


def test_codes_without_spread_and_of_few_images_are_drawn(tmp_path):
    constant = np.zeros((10, 4), np.float32)
    one = np.ones((1, 4), np.float32)
    save(scatter([("DAE", False, constant), ("VAE", True, one)], "", seed=0), tmp_path / "few.png")


def test_one_latent_unit_is_an_error_that_says_what_to_do():
    with pytest.raises(UserError, match="two latent units"):
        scatter([("DAE", False, codes(1, units=1))], "", seed=0)


def test_the_pdf_is_small_and_the_same_every_time(tmp_path):
    models = [("DAE", False, codes(9, 20_000)), ("VAE", True, codes(1, 20_000))]
    clouds = [cloud for axes in scatter(models, "A.2", seed=0).axes for cloud in axes.collections]
    assert len(clouds) == 4 and all(cloud.get_rasterized() for cloud in clouds)
    for name in ("first", "second"):
        save(scatter(models, "A.2", seed=0), tmp_path / f"{name}.pdf", tmp_path / f"{name}.png")
    for suffix in ("pdf", "png"):
        first, second = ((tmp_path / f"{name}.{suffix}").read_bytes() for name in ("first", "second"))
        assert first == second
    assert (tmp_path / "first.pdf").stat().st_size < 600_000
    assert b"/FontFile2" in (tmp_path / "first.pdf").read_bytes()
    assert Image.open(tmp_path / "first.png").width > 1000
