"""The scatter plots of codes: which points, where, and how the models differ."""

import colorsys

import matplotlib.colors as colors
import numpy as np
import pytest
from matplotlib.text import Text

from autoencoders.figures.model_looks import MODELS
from autoencoders.figures.page_style import save
from autoencoders.figures.scatter import NOTE, SHOWN, Cloud, ellipse
from autoencoders.figures.scatter import scatter as draw
from autoencoders.jobs.errors import UserError

NONE = np.empty((0, 8), np.float32)


def codes(spread, count=200, units=8, mean=0.0, seed=0):
    return np.random.default_rng(seed).normal(mean, spread, (count, units)).astype(np.float32)


def scatter(models, seed, looks=None, note=""):
    """The figure of models (label, variational, codes), of which VAEs are called "vae"."""
    clouds = [Cloud(label, "vae" if vae else "dae", vae, found) for label, vae, found in models]
    return draw(clouds, seed, looks, note)


def hue(colour):
    h, _, _ = colorsys.rgb_to_hsv(*colors.to_rgb(colour))
    return ["red", "yellow", "green", "blue", "violet", "red"][int(np.searchsorted([0.05, 0.2, 0.45, 0.7, 0.9], h))]


def clouds(axes):
    """The points of every colour, in the order of drawing."""
    return {hue(cloud.get_facecolor()[0]): np.asarray(cloud.get_offsets()) for cloud in axes.collections}


def ellipses(axes):
    return [line for line in axes.lines if len(line.get_xdata()) > 100]


def legend_texts(figure):
    """Without the heading."""
    return [text.get_text() for text in figure.legends[0].get_texts()][1:]


def dimensions(figure):
    return [int(text.split()[-1]) for text in (figure.get_supxlabel(), figure.axes[0].get_ylabel())]


def test_the_papers_colours_for_both_grids_and_a_line_style_for_each_ellipse():
    first, second, vae = codes(9, seed=1), codes(7, seed=2), codes(1, seed=3)
    a1 = scatter([("DAE 1", False, first), ("DAE 3321", False, second), ("VAE", True, vae)], seed=0)
    a2 = scatter([("VAE", True, vae), ("DAE", False, first)], seed=0)
    for figure, expected in ((a1, {"blue": first, "red": second, "green": vae}), (a2, {"blue": first, "red": vae})):
        found = clouds(figure.axes[0])
        assert set(found) == set(expected)
        for name, of_model in expected.items():
            np.testing.assert_array_equal(
                np.sort(found[name], axis=0), np.sort(of_model[:, dimensions(figure)], axis=0)
            )
    assert legend_texts(a1) == ["DAE 1", "DAE 3321", "VAE"]
    five = scatter([(str(index), index > 2, codes(index + 1)) for index in range(5)], seed=0)
    assert len({str(line._dash_pattern) for line in ellipses(five.axes[0])}) == 5


def test_other_plots_have_the_models_colours_darker_for_a_second_cell_of_a_model():
    models = [("DAE 1", False, codes(9, seed=1)), ("DAE 2", False, codes(8, seed=2)), ("VAE", True, codes(7, seed=3))]
    axes = scatter(models, seed=0, looks=["dae", "vae"]).axes[0]
    first, second, vae = (colors.rgb_to_hsv(colors.to_rgb(cloud.get_facecolor()[0])) for cloud in axes.collections)
    for (hue, saturation, _), name in ((first, "dae"), (second, "dae"), (vae, "vae")):
        assert hue == pytest.approx(colors.rgb_to_hsv(colors.to_rgb(MODELS[name][0]))[0], abs=0.01) and saturation > 0.1
    assert second[2] < first[2]
    assert len({str(line._dash_pattern) for line in ellipses(axes)}) == 3


def test_a_note_says_that_the_latent_spaces_are_not_the_same_and_fits_beside_the_legend():
    figure = scatter(
        [("DAE, depth 3321", False, codes(20)), ("VAE", True, codes(1))], seed=0, note="Trained for 3 steps."
    )
    figure.draw_without_rendering()
    assert figure.get_suptitle().replace("\n", " ") == f"{NOTE} Trained for 3 steps."
    (note,) = [text for text in figure.findobj(Text) if text.get_text() == figure.get_suptitle()]
    legend = figure.legends[0].get_window_extent()
    assert not note.get_window_extent().overlaps(legend) and legend.width < figure.bbox.width / 5
    assert figure.get_figwidth() == 5.5
    # The second dimension is labelled once, too.
    assert [bool(axes.get_ylabel()) for axes in figure.axes] == [True, False]


def test_two_different_dimensions_by_the_seed():
    chosen = [dimensions(scatter([("DAE", False, codes(1))], seed=seed)) for seed in (0, 0, *range(1, 15))]
    assert chosen[0] == chosen[1]
    assert all(x != y for x, y in chosen)
    assert {x for pair in chosen for x in pair} == set(range(8))


def test_the_vae_has_a_panel_of_its_own_if_its_range_is_much_smaller():
    wide, narrow = codes(20, mean=5), codes(1)
    figure = scatter([("DAE", False, wide), ("VAE", True, narrow)], seed=0)
    everything, zoom = figure.axes
    for axes in figure.axes:
        (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
        assert axes.get_aspect() == 1 and right - left == pytest.approx(top - bottom)
        assert len(axes.collections) == 2 and len(ellipses(axes)) == 2
    # Six standard deviations.
    assert np.ptp(everything.get_xlim()) == pytest.approx(6 * 20, rel=0.1) and sum(everything.get_xlim()) > 0
    left, right = zoom.get_xlim()
    assert right - left == pytest.approx(6 * 1, rel=0.15) and left < 0 < right
    (square,) = everything.patches
    assert square.get_width() == pytest.approx(right - left) and square.get_x() == pytest.approx(left)

    assert len(scatter([("DAE", False, codes(1.2)), ("VAE", True, narrow)], seed=0).axes) == 1
    assert len(scatter([("DAE", False, wide), ("DAE 2", False, narrow)], seed=0).axes) == 1


@pytest.mark.parametrize("spreads", [(1, 9), (9, 1)])
def test_the_widest_cloud_is_behind_the_others_and_all_are_behind_the_ellipses(spreads):
    axes = scatter([("a", False, codes(spreads[0])), ("b", False, codes(spreads[1]))], seed=0).axes[0]
    back, front = sorted(axes.collections, key=lambda cloud: cloud.get_zorder())
    assert np.ptp(back.get_offsets()) > np.ptp(front.get_offsets())
    assert all(line.get_zorder() > front.get_zorder() for line in ellipses(axes))


def test_at_most_5000_points_of_the_same_images():
    numbers = np.arange(7000, dtype=np.float32)
    many = np.stack([numbers, numbers], axis=1)
    first, second = clouds(scatter([("a", False, many), ("b", False, many + 0.25)], seed=3).axes[0]).values()
    np.testing.assert_array_equal(np.floor(first), np.floor(second))
    assert len(np.unique(first[:, 0])) == SHOWN == 5000 and first[:, 0].max() > 6900
    other = clouds(scatter([("a", False, many)], seed=4).axes[0])["blue"]
    assert set(other[:, 0]) != set(first[:, 0])


def test_an_ellipse_is_two_standard_deviations():
    rng = np.random.default_rng(0)
    cloud = rng.normal(size=(50_000, 2)) @ np.array([[3.0, 1.0], [0.0, 0.5]]) + [10, -4]
    difference = ellipse(cloud) - cloud.mean(0)[:, None]
    distance = np.sqrt((difference * np.linalg.solve(np.cov(cloud.T), difference)).sum(0))
    np.testing.assert_allclose(distance, 2, rtol=1e-6)
    # Each marginal is Gaussian: the ellipse reaches two standard deviations along both axes.
    np.testing.assert_allclose(np.ptp(difference, axis=1), 4 * cloud.std(0), rtol=1e-2)


def test_diverged_cells_and_codes_without_spread_are_drawn_and_one_latent_unit_is_an_error(tmp_path):
    figure = scatter([("DAE", False, codes(5)), ("VAE", True, NONE)], seed=0)
    assert legend_texts(figure) == ["DAE", "VAE\n(diverged)"]
    assert len(figure.axes) == 1 and set(clouds(figure.axes[0])) == {"blue"}
    nothing = scatter([("DAE", False, NONE), ("VAE", True, NONE)], seed=0)
    assert legend_texts(nothing) == ["DAE\n(diverged)", "VAE\n(diverged)"]
    few = scatter([("DAE", False, np.zeros((10, 4))), ("VAE", True, np.ones((1, 4)))], seed=0)
    for figure in (nothing, few):
        save(figure, tmp_path / "few.png")
    with pytest.raises(UserError, match=r"two latent units.*leave this cell out"):
        scatter([("DAE", False, codes(1, units=1))], seed=0)


def test_the_pdf_is_small_and_the_same_every_time(tmp_path):
    models = [("DAE", False, codes(9, 20_000)), ("VAE", True, codes(1, 20_000))]
    for name in ("first", "second"):
        save(scatter(models, seed=0), tmp_path / f"{name}.pdf")
    first, second = ((tmp_path / f"{name}.pdf").read_bytes() for name in ("first", "second"))
    assert first == second and len(first) < 600_000
