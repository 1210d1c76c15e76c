"""The figure of how Gaussian the codes are: which cells are drawn, and where."""

import numpy as np
import pandas as pd
import pytest

from autoencoders.figures.latent_figure import STATISTICS, latent_statistics_figure
from autoencoders.figures.line_looks import WIDTHS
from autoencoders.figures.page_style import save

WIDTH_GRID = [(model, filters, "1") for model in ("dae", "vae") for filters in (32, 64, 128)]
DEPTH_GRID = [("dae", 64, "2"), ("dae", 128, "2"), ("dae", 128, "3321"), ("dae-bn", 128, "1")]
COMPARISON = {"cifar10": 128, "celeba": 64, "digits": 64}


def statistics(dataset="cifar10", cells=WIDTH_GRID, diverged=()):
    """Kurtosis ratio: 1 + filters / 1000, 0.5 less for a VAE, 1 more for depths. The gap is twice z."""
    rows = []
    for model, filters, depth in cells:
        for latent in (16, 64, 128):
            bad = (model, filters) in diverged
            cell = {"dataset": dataset, "model": model, "filters": filters, "depth": depth, "latent": latent}
            ratio = 1 + filters / 1000 - 0.5 * (model == "vae") + (depth != "1") + 100 * (latent == 16)
            values = {"mardia_kurtosis_ratio": ratio, "mean_abs_skewness": 0.2, "mean_excess_kurtosis": -0.3}
            values["log_likelihood_gap"] = 2.0 * latent
            values = dict.fromkeys(values, np.nan) if bad else values
            rows.append({**cell, "seed": 0, "status": "diverged" if bad else "ok", **values})
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


def test_columns_are_datasets_by_width_and_by_depth_if_there_are_several():
    figure = draw(statistics("digits"), statistics("celeba"), statistics("cifar10", WIDTH_GRID + DEPTH_GRID))
    grid = panels(figure)
    titles = [axes.get_title(loc="left") for axes in grid[0]]
    assert titles == [f"({c}) CIFAR-10, 128 units" for c in "ab"] + ["(c) CelebA, 64 units", "(d) digits, 64 units"]
    labels = [axes.get_xlabel() for axes in grid[-1]]
    assert labels == ["filters (depth 1)", "depth (DAE)", "filters (depth 1)", "filters (depth 1)"]
    assert ticks(grid[-1, 0]) == ["32", "64", "128"] and ticks(grid[-1, 1]) == ["1", "2", "3321"]
    assert figure.get_figwidth() <= 7.5
    depths = panels(draw(statistics(cells=[("dae", 8, "2"), ("dae", 8, "3")])))
    assert [axes.get_xlabel() for axes in depths[-1]] == ["depth (DAE)"]


def test_each_panel_has_the_cells_of_its_axis_at_the_comparison_point():
    by_width, by_depth = panels(draw(statistics(cells=WIDTH_GRID + DEPTH_GRID)))[0]
    found = {key: at(line) for key, line in lines(by_width).items()}
    bases = {"DAE": 1, "VAE": 0.5}
    assert found == {
        (str(width), model): {place: round(base + width / 1000, 6)}
        for model, base in bases.items()
        for place, width in enumerate((32, 64, 128))
    }
    (dae,), (vae,) = ([line for line in by_width.lines if line.get_label() == name] for name in ("dae", "vae"))
    assert dae.get_linestyle() == ":" and vae.get_linestyle() == "-"
    assert at(dae) == {0: 1.032, 1: 1.064, 2: 1.128}
    assert {key: at(line) for key, line in lines(by_depth).items()} == {
        ("32", "DAE"): {0: 1.032},
        ("64", "DAE"): {0: 1.064, 1: 2.064},
        ("128", "DAE"): {0: 1.128, 1: 2.128, 2: 2.128},
    }
    for (width, _), line in lines(by_depth).items():
        assert (line.get_color(), line.get_marker()) == WIDTHS[int(width)]


def test_rows_are_the_statistics_with_the_value_of_a_gaussian():
    grid = panels(draw(statistics()))
    # The gap is per unit.
    assert [set(lines(axes)["64", "DAE"].get_ydata()) for axes in grid[1:, 0]] == [{0.2}, {-0.3}, {2.0}]
    for axes, gaussian in zip(grid[:, 0], (1, 0, 0, 0), strict=True):
        assert any(np.all(np.array(line.get_ydata()) == gaussian) for line in axes.lines if len(line.get_xdata()) == 2)


def test_a_diverged_cell_has_no_value(tmp_path):
    made_up = statistics(diverged={("vae", 64)})
    made_up["mardia_kurtosis_ratio"] = made_up["mardia_kurtosis_ratio"].fillna(1e9)
    (vae,) = [line for line in panels(draw(made_up))[0, 0].lines if line.get_label() == "vae"]
    assert np.isnan(vae.get_ydata()).tolist() == [False, True, False]
    save(draw(statistics(diverged={(model, width) for model, width, _ in WIDTH_GRID})), tmp_path / "all.png")


@pytest.mark.parametrize("cells", [[("dae-bn", 32, "1")], [("dae", 32, "2"), ("vae", 32, "2")]])
def test_nothing_to_draw_says_so(cells):
    for nothing in (statistics(cells=cells), statistics("digits").query("latent == 16")):
        assert "comparison_latent" in draw(nothing).texts[0].get_text()
