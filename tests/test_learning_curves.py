"""The curves of losses, on made-up histories."""

import numpy as np
import pandas as pd
import pytest

from autoencoders.figures.learning_curves import learning_curves, learning_curves_figure
from autoencoders.figures.model_looks import MODELS, model_look, shade

RATES = [1e-4, 1e-3, 1e-3, 1e-5]


def cell(
    model="dae", filters=32, depth="1", latent=16, losses=(0.7, 0.6, 0.5, 0.45), status="ok", kl=0.0, images=50_000
):
    """A cell.json, shortened, and its history.parquet."""
    keys = {"dataset": "digits", "model": model, "filters": filters, "depth": depth, "latent": latent, "seed": 0}
    history = {"epoch": range(len(losses)), "learning_rate": RATES[: len(losses)], "loss": losses}
    history |= {"reconstruction_loss": losses, "kl": kl * np.arange(1, len(losses) + 1)}
    record = {"cell": keys, "status": status, "network": {"variational": model == "vae"}}
    record |= {"training_images": images, "training": {"epochs": 4, "batch_size": 100}}
    return record, pd.DataFrame(history)


def draw(*cells):
    return learning_curves_figure(learning_curves(cells), 16, ["dae", "vae", "mine"])


def drawn(axes) -> list:
    """The lines of cells: those of several points."""
    return [line for line in axes.lines if len(line.get_xdata()) > 2]


def marks(axes) -> dict[str, tuple[float, float]]:
    return {line.get_marker(): line.get_xydata()[0].tolist() for line in axes.lines if len(line.get_xdata()) == 1}


def titles(figure):
    return [axes.get_title(loc="left") for axes in figure.axes]


def legend_texts(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_every_cell_has_a_line_with_a_point_an_epoch():
    figure = draw(cell(), cell(depth="3321", filters=64, losses=(0.8, 0.7, 0.6)))
    (axes,) = figure.axes
    first, second = drawn(axes)
    assert first.get_xydata().tolist() == [[1, 0.7], [2, 0.6], [3, 0.5], [4, 0.45]]
    # The colour is the model's, paler for the narrower network.
    colour, _ = MODELS["dae"]
    assert (first.get_color(), first.get_linestyle()) == (shade(colour, 0.45), "-")
    assert (second.get_color(), second.get_linestyle()) == (shade(colour, 1), "-.")
    assert not marks(axes)
    assert legend_texts(figure)[1:3] == ["32", "64"] and {"1", "3321"} < set(legend_texts(figure))
    # The learning rate changes between epochs.
    assert [line.get_xdata()[0] for line in axes.lines if list(line.get_ydata()) == [0, 1]] == [1.5, 3.5]


def test_every_depth_has_a_line_style_of_its_own():
    (axes,) = draw(*(cell(depth=depth) for depth in ("1", "2", "3", "3321", "1234"))).axes
    assert len({line.get_linestyle() + str(line._unscaled_dash_pattern) for line in drawn(axes)}) == 5


def test_variational_models_have_a_panel_of_their_kl_divergence():
    figure = draw(cell("vae", kl=2.0), cell(), cell("dae-ln"))
    assert titles(figure) == ["(a) DAE", "(b) VAE", "(c) DAE-LN", "(d) VAE, KL"]
    *losses, divergence = figure.axes
    # Each axis is labelled once.
    assert [axes.get_ylabel() for axes in figure.axes] == ["reconstruction loss", "", "", "KL divergence"]
    assert figure.get_supxlabel() == "epoch" and not any(axes.get_xlabel() for axes in figure.axes)
    assert drawn(divergence)[0].get_ydata().tolist() == [2, 4, 6, 8]
    # One scale for all models.
    assert len({axes.get_ylim() for axes in losses}) == 1
    assert divergence.get_ylim()[1] > 8


@pytest.mark.parametrize("last", [np.inf, np.nan])
def test_a_cell_that_diverged_ends_in_a_cross_and_does_not_set_the_scale(last):
    bad = cell(latent=64, losses=(0.7, 900.0, last), status="diverged")
    figure = draw(cell(), bad)
    (axes,) = figure.axes
    # At the top, since it is far above.
    assert axes.get_ylim()[1] < 1 and marks(axes)["x"] == [2, axes.get_ylim()[1]]
    assert "diverged" in legend_texts(figure)
    # It does set the scale if there is no other cell; without a finite loss nothing is drawn.
    (alone,) = draw(bad).axes
    assert alone.get_ylim()[1] > 900 and marks(alone)["x"] == [2, 900]
    (empty,) = draw(cell(losses=(last,), status="diverged")).axes
    assert not drawn(empty) and not marks(empty)


def test_the_latent_size_nearest_to_the_datasets_is_highlighted():
    sizes = [("dae", 4), ("dae", 12), ("dae", 20), ("dae", 64), ("vae", 16), ("vae", 64)]
    figure = draw(*(cell(model, latent=size, losses=(size / 10,) * 4) for model, size in sizes))
    for axes, nearest in zip(figure.axes[:2], (12, 16), strict=True):
        (bold,) = (line for line in drawn(axes) if line.get_alpha() is None)
        assert bold.get_ydata()[0] == nearest / 10
    assert {"16 or the\nnearest", "others"} <= set(legend_texts(figure))
    figure.draw_without_rendering()
    legend = figure.legends[0].get_window_extent()
    assert figure.get_figwidth() == 5.5 and legend.width < figure.bbox.width / 5
    assert "others" not in legend_texts(draw(cell(latent=4)))


def test_penalties_of_some_models_leave_the_curves_as_they_are():
    record, history = cell("mine", losses=(0.8, 0.7, 0.6))
    curves = learning_curves([cell(), (record, history.assign(sparsity_penalty=5.0))])
    assert "sparsity_penalty" not in curves and curves["reconstruction_loss"].notna().all()
    figure = learning_curves_figure(curves, 16, ["other", "mine"])
    assert titles(figure) == ["(a) DAE", "(b) mine"]
    assert drawn(figure.axes[1])[0].get_color() == shade(model_look("mine", ["other", "mine"])[0], 1)


@pytest.mark.parametrize(("images", "note"), [(12_402, ""), (12_401, "Trained for 496 steps only: below 500")])
def test_a_note_says_that_trainings_were_too_short(images, note):
    """Four epochs in batches of 100 images."""
    figure = draw(cell(images=images), cell("vae", kl=2.0, images=images))
    written = figure.get_suptitle().replace("\n", " ")
    assert written.startswith(note) and bool(written) == bool(note)
