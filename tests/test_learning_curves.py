"""The curves of losses, on histories that are made up."""

import numpy as np
import pandas as pd
import pytest

from autoencoders.figures.learning_curves import learning_curves, learning_curves_figure
from autoencoders.figures.line_looks import WIDTHS

RATES = [1e-4, 1e-3, 1e-3, 1e-5]


def cell(model="dae", filters=32, depth="1", latent=16, losses=(0.7, 0.6, 0.5, 0.45), status="ok", kl=0.0):
    """A cell.json, shortened, and its history.parquet."""
    keys = {"dataset": "digits", "model": model, "filters": filters, "depth": depth, "latent": latent, "seed": 0}
    epochs = range(len(losses))
    history = pd.DataFrame(
        {
            "epoch": epochs,
            "learning_rate": RATES[: len(losses)],
            "loss": losses,
            "reconstruction_loss": losses,
            "kl": [kl * (epoch + 1) for epoch in epochs],
        }
    )
    return {"cell": keys, "status": status, "network": {"variational": model == "vae"}}, history


def drawn(axes) -> list:
    """The lines of cells: those of several points."""
    return [line for line in axes.lines if len(line.get_xdata()) > 2]


def marks(axes) -> dict[str, tuple[float, float]]:
    return {line.get_marker(): line.get_xydata()[0].tolist() for line in axes.lines if len(line.get_xdata()) == 1}


def test_a_row_an_epoch_and_a_line_a_cell():
    curves = learning_curves([cell(), cell(depth="3321", filters=64, losses=(0.8, 0.7, 0.6))])
    assert len(curves) == 7 and curves["depth"].tolist() == ["1"] * 4 + ["3321"] * 3
    (axes,) = learning_curves_figure(curves, 16).axes
    first, second = drawn(axes)
    assert first.get_xydata().tolist() == [[1, 0.7], [2, 0.6], [3, 0.5], [4, 0.45]]
    assert first.get_color() == WIDTHS[32][0] and second.get_color() == WIDTHS[64][0]
    assert first.get_linestyle() == "-" and second.get_linestyle() == ":"
    # The ends say the width, and the depth in them.
    assert marks(axes) == {"o": [4, 0.45], "s": [3, 0.6], "+": [3, 0.6]}
    assert axes.get_title(loc="left") == "DAE"


def test_the_learning_rate_changes_between_epochs():
    (axes,) = learning_curves_figure(learning_curves([cell()]), 16).axes
    uprights = [line.get_xdata()[0] for line in axes.lines if list(line.get_ydata()) == [0, 1]]
    assert uprights == [1.5, 3.5]


def test_variational_models_have_a_panel_of_their_kl_divergence():
    figure = learning_curves_figure(learning_curves([cell("vae", kl=2.0), cell(), cell("dae-ln")]), 16)
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == ["DAE", "VAE", "DAE-LN", "VAE"]
    *losses, divergence = figure.axes
    assert divergence.get_ylabel() == "KL divergence"
    assert drawn(divergence)[0].get_ydata().tolist() == [2, 4, 6, 8]
    # One scale for what is compared.
    assert len({axes.get_ylim() for axes in losses}) == 1
    assert divergence.get_ylim()[1] > 8


@pytest.mark.parametrize("last", [np.inf, np.nan])
def test_a_cell_that_diverged_ends_in_a_cross_and_sets_no_scale(last):
    bad = cell(latent=64, losses=(0.7, 900.0, last), status="diverged")
    figure = learning_curves_figure(learning_curves([cell(), bad]), 16)
    (axes,) = figure.axes
    # At the top, since it is far above.
    assert axes.get_ylim()[1] < 1 and marks(axes)["x"] == [2, axes.get_ylim()[1]]
    assert "diverged" in [text.get_text() for text in figure.legends[0].get_texts()]
    # Nothing else is there, or nothing at all.
    (alone,) = learning_curves_figure(learning_curves([bad]), 16).axes
    assert alone.get_ylim()[1] > 900 and marks(alone)["x"] == [2, 900]
    (empty,) = learning_curves_figure(learning_curves([cell(losses=(last,), status="diverged")]), 16).axes
    assert not drawn(empty) and not marks(empty)


def test_the_latent_size_nearest_to_the_datasets_stands_out():
    sizes = {"dae": (4, 12, 20, 64), "vae": (16, 64)}
    cells = [
        cell(model, latent=size, losses=(size / 10,) * 4) for model, of_model in sizes.items() for size in of_model
    ]
    figure = learning_curves_figure(learning_curves(cells), 16)
    for axes, nearest in zip(figure.axes, (12, 16, 16), strict=True):
        (bold,) = (line for line in drawn(axes) if line.get_alpha() is None)
        if axes.get_ylabel() != "KL divergence":
            assert bold.get_ydata()[0] == nearest / 10
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "16\nor the nearest" in texts and "others" in texts
    # Where there is one size, nothing has to be told apart.
    (legend,) = learning_curves_figure(learning_curves([cell(latent=4)]), 16).legends
    assert "others" not in [text.get_text() for text in legend.get_texts()]


def test_penalties_of_some_models_leave_the_curves_as_they_are():
    record, history = cell("mine", losses=(0.8, 0.7, 0.6))
    curves = learning_curves([cell(), (record, history.assign(sparsity_penalty=5.0))])
    assert "sparsity_penalty" not in curves and curves["reconstruction_loss"].notna().all()
    assert [axes.get_title(loc="left") for axes in learning_curves_figure(curves, 16).axes] == ["DAE", "mine"]
