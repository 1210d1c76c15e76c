"""The figure of how Gaussian the codes are: which cells stand where."""

import numpy as np
import pandas as pd
import pytest

from autoencoders.figures.latent_figure import STATISTICS, latent_statistics_figure
from autoencoders.figures.line_looks import WIDTHS
from autoencoders.figures.page_style import save

WIDTH_GRID = [(model, filters, "1") for model in ("dae", "vae") for filters in (32, 64, 128)]
DEPTH_GRID = [("dae", 64, "2"), ("dae", 128, "2"), ("dae", 128, "3321"), ("dae-bn", 128, "1")]
COMPARISON = {"cifar10": 128, "celeba": 64, "digits": 64}


def statistics(dataset="cifar10", cells=WIDTH_GRID, seeds=(0,), diverged=()):
    """Kurtosis ratio: 1 + filters / 1000, 0.5 less for a VAE, 1 more for depths, 0.01 a seed. The gap is twice z."""
    rows = []
    for model, filters, depth in cells:
        for latent in (16, 64, 128):
            for seed in seeds:
                bad = (model, filters) in diverged
                cell = {"dataset": dataset, "model": model, "filters": filters, "depth": depth, "latent": latent}
                ratio = 1 + filters / 1000 - 0.5 * (model == "vae") + (depth != "1") + 0.01 * seed
                values = {
                    "mardia_skewness_ratio": 7.0,
                    "mardia_kurtosis_ratio": ratio + (100 if latent == 16 else 0),
                    "mean_abs_skewness": 0.2,
                    "mean_excess_kurtosis": -0.3,
                    "log_likelihood_gap": 2.0 * latent,
                }
                values = dict.fromkeys(values, np.nan) if bad else values
                rows.append({**cell, "seed": seed, "status": "diverged" if bad else "ok", "codes": 5000, **values})
    return pd.DataFrame(rows)


def draw(*tables):
    return latent_statistics_figure(pd.concat(tables), COMPARISON)


def panels(figure):
    """The axes by row and column: row 0 is the ratio of Mardia's kurtosis."""
    return np.array(figure.axes).reshape(len(STATISTICS), -1)


def lines(axes):
    return {tuple(line.get_label().split("; ")): line for line in axes.lines if "; " in line.get_label()}


def ticks(axes):
    return [label.get_text() for label in axes.get_xticklabels()]


def at(line):
    return dict(zip(line.get_xdata(), np.round(line.get_ydata(), 6), strict=True))


def test_columns_are_datasets_by_width_and_by_depth_where_there_are_several():
    figure = draw(statistics("digits"), statistics("celeba"), statistics("cifar10", WIDTH_GRID + DEPTH_GRID))
    grid = panels(figure)
    titles = [axes.get_title(loc="left") for axes in grid[0]]
    assert titles == [
        *("(a) CIFAR-10, 128 units", "(b) CIFAR-10, 128 units", "(c) CelebA, 64 units", "(d) digits, 64 units"),
    ]
    assert [axes.get_xlabel() for axes in grid[-1]] == [
        *("filters (depth 1)", "depth (DAE)", "filters (depth 1)", "filters (depth 1)")
    ]
    assert ticks(grid[-1, 0]) == ["32", "64", "128"] and ticks(grid[-1, 1]) == ["1", "2", "3321"]


def test_against_the_width_stand_dae_and_vae_of_depth_1_at_the_comparison_point():
    by_width = panels(draw(statistics(cells=WIDTH_GRID + DEPTH_GRID)))[0, 0]
    found = {key: at(line) for key, line in lines(by_width).items()}
    assert found == {
        **{(str(width), "DAE"): {place: round(1 + width / 1000, 6)} for place, width in enumerate((32, 64, 128))},
        **{(str(width), "VAE"): {place: round(0.5 + width / 1000, 6)} for place, width in enumerate((32, 64, 128))},
    }
    (dae,), (vae,) = ([line for line in by_width.lines if line.get_label() == name] for name in ("dae", "vae"))
    assert dae.get_linestyle() == ":" and vae.get_linestyle() == "-"
    assert at(dae) == {0: 1.032, 1: 1.064, 2: 1.128}


def test_against_the_depth_stand_the_daes_with_a_line_a_width():
    by_depth = panels(draw(statistics(cells=WIDTH_GRID + DEPTH_GRID)))[0, 1]
    found = {key: at(line) for key, line in lines(by_depth).items()}
    assert found == {
        ("32", "DAE"): {0: 1.032},
        ("64", "DAE"): {0: 1.064, 1: 2.064},
        ("128", "DAE"): {0: 1.128, 1: 2.128, 2: 2.128},
    }
    for (width, _), line in lines(by_depth).items():
        assert (line.get_color(), line.get_marker()) == WIDTHS[int(width)]


def test_rows_are_the_statistics_with_the_value_of_a_gaussian():
    grid = panels(draw(statistics()))
    drawn = [set(lines(axes)["64", "DAE"].get_ydata()) for axes in grid[1:, 0]]
    assert drawn == [{0.2}, {-0.3}, {2.0}]  # the gap is by unit
    for axes, gaussian in zip(grid[:, 0], (1, 0, 0, 0), strict=True):
        assert any(np.all(np.array(line.get_ydata()) == gaussian) for line in axes.lines if len(line.get_xdata()) == 2)


def test_seeds_are_a_mean_with_their_range():
    figure = draw(statistics(seeds=(0, 1, 5)))
    axes = panels(figure)[0, 0]
    assert at(lines(axes)["64", "DAE"]) == {1: 1.084}
    ranges = [path.vertices[:, 1] for bars in axes.collections for path in bars.get_paths()]
    assert any(np.allclose([values.min(), values.max()], [1.064, 1.114]) for values in ranges)
    assert "their range" in [text.get_text() for text in figure.legends[0].get_texts()]


def test_a_diverged_cell_has_no_value(tmp_path):
    made_up = statistics(diverged={("vae", 64)})
    made_up["mardia_kurtosis_ratio"] = made_up["mardia_kurtosis_ratio"].fillna(1e9)
    figure = draw(made_up)
    (vae,) = [line for line in panels(figure)[0, 0].lines if line.get_label() == "vae"]
    assert np.isnan(vae.get_ydata()).tolist() == [False, True, False]
    save(draw(statistics(diverged={(model, width) for model, width, _ in WIDTH_GRID})), tmp_path / "all.png")


@pytest.mark.parametrize(
    "nothing",
    [
        statistics(cells=[("dae-bn", 32, "1")]),
        statistics(cells=[("dae", 32, "2"), ("vae", 32, "2")]),
        statistics("digits").query("latent == 16"),
    ],
)
def test_nothing_to_draw_says_so(nothing):
    assert "comparison_latent" in draw(nothing).texts[0].get_text()


def test_only_depths_are_drawn_where_there_is_no_depth_1():
    grid = panels(draw(statistics(cells=[("dae", 8, "2"), ("dae", 8, "3")])))
    assert [axes.get_xlabel() for axes in grid[-1]] == ["depth (DAE)"]


def test_it_is_as_wide_as_a_page_at_most():
    figure = draw(*(statistics(name, WIDTH_GRID + DEPTH_GRID) for name in ("digits", "celeba", "cifar10")))
    assert figure.get_figwidth() <= 7.5
