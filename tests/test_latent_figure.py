"""The figure of how Gaussian the codes are: which cells are drawn, and where."""

import numpy as np
import pandas as pd
import pytest

from autoencoders.figures.latent_figure import STATISTICS, latent_statistics_figure
from autoencoders.figures.model_looks import MODELS
from autoencoders.figures.page_style import save

WIDTH_GRID = [(model, filters, "1") for model in ("dae", "vae") for filters in (32, 64, 128)]
DEPTH_GRID = [("dae", 64, "2"), ("dae", 128, "2"), ("dae", 128, "3321"), ("dae-bn", 128, "1")]
COMPARISON = {"cifar10": 128, "celeba": 64, "digits": 64}


def statistics(dataset="cifar10", cells=WIDTH_GRID, diverged=(), steps=500):
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
            rows.append({**cell, "seed": 0, "status": "diverged" if bad else "ok", "steps": steps, **values})
    return pd.DataFrame(rows)


def draw(*tables):
    return latent_statistics_figure(pd.concat(tables), COMPARISON)


def panels(figure):
    """The axes by row and column: row 0 is the ratio of Mardia's kurtosis."""
    return np.array(figure.axes).reshape(len(STATISTICS), -1)


def lines(axes):
    """The lines of means by their names."""
    return {line.get_label(): line for line in axes.lines if line.get_label()[:3] in ("DAE", "VAE")}


def ticks(axes):
    return [label.get_text() for label in axes.get_xticklabels()]


def at(line):
    """Values by place; points of several lines stand a little beside their place."""
    return dict(zip(np.round(line.get_xdata()), np.round(line.get_ydata(), 6), strict=True))


def test_columns_are_datasets_by_width_and_by_depth_if_there_are_several():
    figure = draw(statistics("digits"), statistics("celeba"), statistics("cifar10", WIDTH_GRID + DEPTH_GRID))
    grid = panels(figure)
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    names = ["CIFAR-10", "CIFAR-10", "CelebA", "digits"] * len(STATISTICS)
    assert titles == [f"({letter}) {name}" for letter, name in zip("abcdefghijklmnop", names, strict=True)]
    labels = [axes.get_xlabel().replace("\n", " ") for axes in grid[-1]]
    by_width = "filters (depth 1, z = 64)"
    assert labels == ["filters (depth 1, z = 128)", "depth (DAE, z = 128)", by_width, by_width]
    assert ticks(grid[-1, 0]) == ["32", "64", "128"] and ticks(grid[-1, 1]) == ["1", "2", "3321"]
    figure.draw_without_rendering()
    legend = figure.legends[0].get_window_extent()
    assert figure.get_figwidth() == 5.5 and legend.width < figure.bbox.width / 5
    depths = panels(draw(statistics(cells=[("dae", 8, "2"), ("dae", 8, "3")])))
    assert [axes.get_xlabel() for axes in depths[-1]] == ["depth\n(DAE, z = 128)"]


def test_each_panel_has_the_cells_of_its_axis_at_the_comparison_point():
    by_width, by_depth = panels(draw(statistics(cells=WIDTH_GRID + DEPTH_GRID)))[0]
    found = {key: at(line) for key, line in lines(by_width).items()}
    bases = {"DAE": 1, "VAE": 0.5}
    assert found == {
        model: {place: round(base + width / 1000, 6) for place, width in enumerate((32, 64, 128))}
        for model, base in bases.items()
    }
    assert {key: at(line) for key, line in lines(by_depth).items()} == {
        "DAE; 32": {0: 1.032},
        "DAE; 64": {0: 1.064, 1: 2.064},
        "DAE; 128": {0: 1.128, 1: 2.128, 2: 2.128},
    }
    for name, line in [*lines(by_width).items(), *lines(by_depth).items()]:
        assert (line.get_color(), line.get_marker()) == MODELS[name[:3].lower()]
    assert len({line.get_fillstyle() + str(line.get_markerfacecolor()) for line in lines(by_depth).values()}) == 3
    # Two points are not connected.
    assert [line.get_linestyle() for line in lines(by_depth).values()][:2] == ["None", "None"]


def test_rows_are_the_statistics_with_the_value_of_a_gaussian():
    grid = panels(draw(statistics()))
    # The gap is per unit.
    assert [set(lines(axes)["DAE"].get_ydata()) for axes in grid[1:, 0]] == [{0.2}, {-0.3}, {2.0}]
    for axes, gaussian in zip(grid[:, 0], (1, 0, 0, 0), strict=True):
        assert any(np.all(np.array(line.get_ydata()) == gaussian) for line in axes.lines if len(line.get_xdata()) == 2)


def test_a_diverged_cell_has_no_value(tmp_path):
    made_up = statistics(diverged={("vae", 64)})
    made_up["mardia_kurtosis_ratio"] = made_up["mardia_kurtosis_ratio"].fillna(1e9)
    vae = lines(panels(draw(made_up))[0, 0])["VAE"]
    assert np.isnan(vae.get_ydata()).tolist() == [False, True, False]
    save(draw(statistics(diverged={(model, width) for model, width, _ in WIDTH_GRID})), tmp_path / "all.png")


@pytest.mark.parametrize("cells", [[("dae-bn", 32, "1")], [("dae", 32, "2"), ("vae", 32, "2")]])
def test_nothing_to_draw_says_so(cells):
    for nothing in (statistics(cells=cells), statistics("digits").query("latent == 16")):
        assert "comparison_latent" in draw(nothing).texts[0].get_text()


def test_more_panels_than_letters_are_drawn():
    names = [f"set{number}" for number in range(7)]
    tables = [statistics("digits").assign(dataset=name) for name in names]
    figure = latent_statistics_figure(pd.concat(tables), dict.fromkeys(names, 64))
    assert len(figure.axes) == 7 * len(STATISTICS)


@pytest.mark.parametrize(("steps", "note"), [(500, ""), (499, "Trained for 499 steps only")])
def test_a_note_says_that_trainings_were_too_short(steps, note):
    """Of the cells that the figure shows: all others have too few."""
    others = statistics("digits", steps=1).query("latent == 16")
    written = draw(statistics(steps=steps), others).get_suptitle()
    assert written.startswith(note) and bool(written) == bool(note)
