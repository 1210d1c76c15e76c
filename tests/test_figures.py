"""The figures of scores and the images of cells: what is drawn."""

import itertools
from pathlib import Path

import matplotlib.colors as colors
import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text
from PIL import Image

from autoencoders.evidence.paper_values import read_published
from autoencoders.figures import line_looks, model_looks, paper_figures
from autoencoders.figures.cell_pictures import cell_name, interpolation_page, reconstruction_page, sample_page
from autoencoders.figures.own_figure import own_figure
from autoencoders.figures.page_style import save
from autoencoders.figures.tiles import tile

PUBLISHED = read_published(Path(__file__).parents[1] / "config" / "published_fid.csv")
LATENTS = (16, 64, 128, 512)
COMPARISONS = ("train_recon", "test_recon", "interpolation", "standard_normal", "mvg", "gmm")
MODELS = ("dae", "vae", "dae-bn", "mine", "dae-noise2", "dae-noise10", "rae-l2")
# The grids of the paper's experiments: (model, filters, depth).
DEEP = [("dae", 64, depth) for depth in "123"] + [("dae", 128, depth) for depth in ("1", "2", "3321")]
NOISY = ("dae", "vae", "dae-noise0.1", "dae-noise0.5", "dae-noise1")
GRIDS = {
    "figure1": [(model, filters, "1") for model in ("dae", "vae") for filters in (32, 64, 128, 256)],
    "figure2_5": [("vae", 128, "1"), *DEEP, ("dae", 256, "1")],
    "figure3": [(model, 128, depth) for model in ("dae", "dae-frozen") for depth in ("1", "2")],
    "figure4": [(model, 128, "1") for model in ("dae", "vae", "dae-bn", "dae-sn", "dae-ln")],
    "noise": [(model, 128, "1") for model in NOISY],
}


def scores(dataset="digits", extractor="classifier", cells=(("dae", 8, "1"), ("vae", 8, "1")), seeds=(0,), **options):
    """Scores over four latent sizes: width + latent size, plus 10 a seed, 1,000 a depth, and 0.1 for GMM. The cells
    (model, latent) in ``diverged`` have none. ``extra`` are more comparisons.
    """
    rows = []
    comparisons = (*COMPARISONS, *options.get("extra", ()))
    for (model, width, depth), latent, seed, comparison in itertools.product(cells, LATENTS, seeds, comparisons):
        row = {"dataset": dataset, "model": model, "filters": width, "depth": depth, "latent": latent, "seed": seed}
        row["setting"] = "paper" if dataset in ("cifar10", "celeba") else "own"
        row |= {"steps": options.get("steps", 500), "precision": "bf16"}
        row |= {"extractor": extractor, "comparison": comparison, "measure": "frechet", "status": "ok"}
        row["value"] = width + latent + 10.0 * seed + 1000 * (int(depth) - 1) + 0.1 * (comparison == "gmm")
        if (model, latent) in options.get("diverged", ()):
            row |= {"status": "diverged", "value": np.nan}
        rows.append(row)
    return pd.DataFrame(rows)


def draw(name, table=None, models=MODELS):
    """The figure of a table or, without one, of the paper's own grid."""
    table = scores("cifar10", "inception", GRIDS[name]) if table is None else table
    options = table, next(iter(table["extractor"]), "classifier"), PUBLISHED
    known = paper_figures.PAPER_FIGURES
    return known[name](*options) if name in known else own_figure(*options, models)


def lines(axes):
    """The lines of cells by their names: those in the legend for the colour, and for the line style."""
    return {tuple(line.get_label().split("; ")): line for line in axes.lines if "; " in line.get_label()}


def labelled(axes, label):
    return [line for line in axes.lines if line.get_label() == label]


def points(axes, label):
    """(x, y) of the markers with that label."""
    return {tuple(point) for line in labelled(axes, label) for point in line.get_xydata().tolist()}


def legend_texts(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def titles(figure):
    return [axes.get_title(loc="left") for axes in figure.axes]


def hue(line):
    """The colour as people name it."""
    h, s, v = colors.rgb_to_hsv(colors.to_rgb(line.get_color()))
    names = ["red", "orange", "yellow", "green", "cyan", "blue", "purple", "red"]
    assert v < 0.1 or s > 0.3, "grey"
    return "black" if v < 0.1 else names[int(np.searchsorted([0.03, 0.12, 0.2, 0.45, 0.55, 0.74, 0.92], h))]


def luminance(colour):
    return float(np.dot(colors.to_rgb(colour), [0.299, 0.587, 0.114]))


def drawn_looks(axes):
    """Colour, marker, line style and the filled part of the marker of every line of cells."""
    return [
        (colors.to_hex(line.get_color()), line.get_marker(), str(line._dash_pattern), line.get_fillstyle())
        for line in lines(axes).values()
    ]


def title_of(axes):
    """The text of the panel's title, at the left."""
    (found,) = [text for text in axes.findobj(match=plain_text) if text.get_text() == axes.get_title(loc="left") != ""]
    return found


@pytest.mark.parametrize(
    ("name", "panels", "priors"),
    [("figure1", 2, 1), ("figure2_5", 2, 1), ("figure3", 1, 2), ("figure4", 1, 3), ("noise", 3, 1), ("own", 3, 1)],
)
def test_every_cell_and_prior_has_a_line_of_its_own_in_a_users_grid_too(name, panels, priors):
    """Two cells in one line would be averaged as if they were seeds."""
    cells = list(itertools.product(("dae", "vae", "dae-bn", "mine"), (4, 8), ("1", "2")))
    figure = draw(name, pd.concat([scores(cells=cells), scores("own", cells=cells)]))
    assert len(figure.axes) == 2 * panels
    for axes in figure.axes:
        looks = drawn_looks(axes)
        assert len(set(looks)) == len(looks) == len(lines(axes)) == len(cells) * priors
        # Values differ by width and depth: a mean of two cells would not be among them.
        firsts = {round(line.get_ydata()[0]) for line in lines(axes).values()}
        assert firsts == {width + 16 + deep for width in (4, 8) for deep in (0, 1000)}


WIDTHS = {"32": "black", "64": "red", "128": "green", "256": "blue"}
NORMALISED = {"DAE": "red", "VAE": "orange", "DAE-BN": "green", "DAE-SN": "blue", "DAE-LN": "black"}
FROZEN = {"DAE, depth 1": "green", "DAE, depth 2": "blue"}
FROZEN |= {"DAE-frozen, depth 1": "purple", "DAE-frozen, depth 2": "orange"}
DEPTHS = {"1": "-", "2": "--", "3": ":", "3321": ":"}
PRIORS = {"MVG": "-", "GMM": "--", "N(0,I)": ":"}
# Colour and line style by their names.
LOOKS = {
    "figure1": {(w, m): (c, s) for w, c in WIDTHS.items() for m, s in {"VAE": "-", "DAE": ":"}.items()},
    "figure2_5": {(f"DAE, {w} filters", d): (WIDTHS[str(w)], DEPTHS[d]) for _, w, d in GRIDS["figure2_5"][1:]},
    "figure3": {(n, p): (c, s) for n, c in FROZEN.items() for p, s in {"MVG": "-", "GMM": ":"}.items()},
    "figure4": {(n, p): (c, s) for n, c in NORMALISED.items() for p, s in PRIORS.items()},
}
LOOKS["figure2_5"]["VAE, 128 filters", "1"] = ("black", "-")


@pytest.mark.parametrize("name", LOOKS)
def test_figures_have_the_papers_looks(name):
    figure = draw(name)
    both = ["(a) CIFAR-10, MVG", "(b) CIFAR-10, GMM"]
    assert titles(figure) == (both if name in ("figure1", "figure2_5") else ["CIFAR-10"])
    axes = figure.axes[0]
    assert {key: (hue(line), line.get_linestyle()) for key, line in lines(axes).items()} == LOOKS[name]
    assert axes.get_yscale() == ("log" if name == "figure4" else "linear") and axes.get_xscale() == "log"
    shades = sorted({luminance(line.get_color()) for line in lines(axes).values()})
    assert figure.get_supylabel() == "FID" and min(np.diff(shades)) > 0.1, "colours must differ in greyscale"


def test_a_model_has_one_look_in_all_figures_of_our_own_whatever_else_they_show():
    figure = draw("noise")
    assert titles(figure) == ["(a) CIFAR-10, Test R", "(b) CIFAR-10, MVG", "(c) CIFAR-10, GMM"]
    found = {key[0]: line for key, line in lines(figure.axes[0]).items()}
    # With more noise, a DAE becomes paler.
    order = ["DAE", "DAE-noise0.1", "DAE-noise0.5", "DAE-noise1"]
    assert [text for text in legend_texts(figure) if text in found] == ["DAE", "VAE", *order[1:]]
    assert all(np.diff([luminance(found[name].get_color()) for name in order]) > 0.1)
    assert len({line.get_marker() for line in found.values()}) == 5
    # In colour and in grey.
    assert (hue(found["DAE"]), hue(found["VAE"])) == ("blue", "orange")
    assert luminance(found["VAE"].get_color()) - luminance(found["DAE"].get_color()) > 0.4

    cells = [(model, 8, "1") for model in ("mine", "dae-noise10", "vae")]
    for part in (cells, cells[1:], cells[::-1][:2]):
        for (name, _), line in lines(draw("own", scores(cells=part)).axes[0]).items():
            model = {"VAE": "vae", "DAE-noise10": "dae-noise10", "mine": "mine"}[name]
            assert (line.get_color(), line.get_marker()) == model_looks.model_look(model, MODELS)
    many = (*MODELS, *"abcdefgh")
    assert len({model_looks.model_look(model, many) for model in many}) == len(many)
    # A model that is added to the config changes no other's look.
    assert model_looks.model_look("mine", many) == model_looks.model_look("mine", MODELS)


def test_own_widths_become_paler_and_depths_are_named_and_in_the_order_of_their_convolutions_unless_all_are_1():
    looks = line_looks.width_looks([(4,), (8,), (16,), (32,)])
    assert all(np.diff([luminance(looks[width,][0]) for width in (4, 8, 16)]) > 0.05)
    several = draw("figure1", scores(cells=[("dae", 8, "1"), ("dae", 8, "2"), ("vae", 8, "1")]))
    assert {name for _, name in lines(several.axes[0])} == {"DAE, depth 1", "DAE, depth 2", "VAE, depth 1"}
    assert set(lines(draw("figure1", scores(cells=[("dae", 8, "2")])).axes[0])) == {("8", "DAE, depth 2")}
    for name in ("noise", "figure2_5"):
        texts = legend_texts(draw(name, scores()))
        assert {"depth 1", "8 filters"} <= set(texts) and "1" not in texts
        assert not any("Depth" in text or "Network" in text for text in texts)
    sizes = [("dae", filters, depth) for filters in (16, 8) for depth in ("1", "1112", "2", "3321", "3")]
    texts = [text.replace("\n", " ") for text in legend_texts(draw("own", scores(cells=sizes)))]
    expected = [f"{width} filters, depth {depth}" for width in (8, 16) for depth in ("1", "1112", "2", "3321", "3")]
    assert [text for text in texts if text in expected] == expected and "depth 1" not in texts


def test_own_priors_are_drawn_but_no_other_comparisons_measures_and_extractors():
    table = scores(extra=("kde",))
    table = pd.concat([table, *(table.assign(value=-1e9, **{key: "kid"}) for key in ("measure", "extractor"))])
    figure = draw("figure1", table)
    assert titles(figure) == ["(a) digits, MVG", "(b) digits, GMM", "(c) digits, kde"]
    assert lines(figure.axes[0])["8", "DAE"].get_xydata().tolist() == [[16, 24], [64, 72], [128, 136], [512, 520]]
    assert figure.get_supylabel() == "FD (classifier features)" and figure.get_supxlabel() == "latent units"
    for name, priors in (("figure3", {"MVG", "GMM", "kde"}), ("figure4", {"N(0,I)", "MVG", "GMM", "kde"})):
        assert {prior for _, prior in lines(draw(name, table).axes[0])} == priors
    datasets = draw("figure3", pd.concat([scores(name) for name in ("digits", "celeba", "cifar10")]))
    assert titles(datasets) == ["(a) CIFAR-10", "(b) CelebA", "(c) digits"]


def test_a_latent_size_at_which_all_seeds_diverged_is_a_gap_with_a_mark_and_one_not_run_is_not():
    table = scores(cells=GRIDS["figure1"], diverged={("vae", 64), ("vae", 512), ("dae", 512)})
    # A diverged value is not drawn, whatever it says.
    table["value"] = table["value"].fillna(1e9)
    table = table[(table["model"] == "dae") | (table["latent"] != 128)]
    figure = draw("figure1", table[(table["filters"] != 256) | (table["latent"] != 64)])
    axes = figure.axes[0]
    assert np.isnan(lines(axes)["32", "VAE"].get_ydata()).tolist() == [False, True, True]
    assert np.isnan(lines(axes)["32", "DAE"].get_ydata()).tolist() == [False, False, False, True]
    marks = labelled(axes, "diverged")
    assert all(line.get_transform() == axes.get_xaxis_transform() and not line.get_clip_on() for line in marks)
    assert {line.get_xdata()[0] for line in marks} == {64, 512} and "diverged" in legend_texts(figure)
    for latent, widths in ((64, (32, 64, 128)), (512, (32, 64, 128, 256))):
        found = [line for line in marks if line.get_xdata()[0] == latent]
        assert {line.get_color() for line in found} == {line_looks.WIDTHS[width][0] for width in widths}
        # The lowest is on the axis, and none hides another.
        heights = sorted(line.get_ydata()[0] for line in found)
        assert heights[0] == 0 and min(np.diff(heights)) > 0.02
    some = scores(seeds=(0, 1))
    some.loc[some["seed"] == 1, ["value", "status"]] = np.nan, "diverged"
    figure = draw("figure1", some)
    assert not labelled(figure.axes[0], "diverged") and "diverged" not in legend_texts(figure)
    everything = {(model, latent) for model in ("dae", "vae") for latent in LATENTS}
    draw("figure4", scores(diverged=everything)).draw_without_rendering()


def test_seeds_are_a_mean_and_a_band_with_edges_in_the_style_of_the_line():
    table = scores(seeds=(0, 1, 5))
    figure = draw("figure1", table)
    axes = figure.axes[0]
    assert lines(axes)["8", "DAE"].get_ydata()[0] == pytest.approx(24 + 20)
    band = axes.collections[0].get_paths()[0].vertices
    at_16 = band[np.isclose(band[:, 0], 16), 1]
    assert (at_16.min(), at_16.max()) == (24, 74)
    # DAE and VAE of one width have one colour in the paper's figure.
    edges = [(line.get_linestyle(), line.get_ydata()[0]) for line in labelled(axes, "range")]
    assert edges == [(":", 24), (":", 74), ("-", 24), ("-", 74)]
    assert "their range" in legend_texts(figure)
    single = draw("figure1", scores())
    assert len(single.axes[0].collections) == 0 and "their range" not in legend_texts(single)


@pytest.mark.parametrize("sizes", [1, 2])
def test_one_or_two_latent_sizes_are_points_side_by_side_with_bars_and_without_lines(sizes):
    table = scores(cells=GRIDS["noise"], seeds=(0, 1, 5))
    figure = draw("noise", table[table["latent"].isin(LATENTS[1:3][:sizes])])
    figure.draw_without_rendering()
    for axes in figure.axes:
        found = lines(axes)
        assert len(found) == 5 and {line.get_linestyle() for line in found.values()} == {"None"}
        left, right = axes.get_xlim()
        places = sorted(line.get_xdata()[0] for line in found.values())
        assert left < places[0] and places[-1] < right
        # In inches, a marker's width apart.
        octave = axes.get_window_extent().width / figure.dpi / np.log2(right / left)
        assert min(np.diff(np.log2(places))) * octave > 5 / 72
        heights = [np.ptp(path.vertices[:, 1]) for bars in axes.collections for path in bars.get_paths()]
        assert heights == [50] * 5 * sizes
    # Beside a line, too; and where a latent size has one point alone, it stands in its place.
    table = scores(cells=[("dae", 8, "1"), ("vae", 8, "1"), ("mine", 8, "1"), ("dae-bn", 8, "1")])
    few = table["model"].isin(["vae", "mine"]) & ~table["latent"].isin([16, 64])
    few |= (table["model"] == "dae-bn") & (table["latent"] != 128)
    drawn = {key[0]: line.get_xdata().tolist() for key, line in lines(draw("own", table[~few]).axes[0]).items()}
    assert drawn["DAE"] == list(LATENTS) and drawn["DAE-BN"] == [128] and drawn["VAE"][0] != drawn["mine"][0]
    # Three are connected, and in their places.
    connected = lines(draw("noise", scores(cells=GRIDS["noise"]).query("latent < 512")).axes[0])
    assert {line.get_linestyle() for line in connected.values()} == {"-"}
    assert all(line.get_xdata().tolist() == [16, 64, 128] for line in connected.values())


def test_a_line_shows_the_lowest_reconstruction_at_each_latent_size_where_samples_are_shown():
    table = [scores(cells=GRIDS["noise"], seeds=(0, 1)), scores("other", cells=[("dae", 8, "1")])]
    table = pd.concat(table, ignore_index=True)
    recon = table["comparison"] == "test_recon"
    table.loc[recon, "value"] = 7.0 + table["latent"] / 64 + 2 * (table["model"] != "dae") + table["seed"]
    table.loc[recon & (table["model"] == "vae"), ["value", "status"]] = np.nan, "diverged"
    for name, panels in (("noise", [0, 1, 1]), ("figure1", [1, 1])):
        axes = draw(name, table).axes
        assert [len(labelled(each, "floor")) for each in axes] == panels * 2
        # The mean of two seeds, and of one.
        for each, first in ((axes[len(panels) - 1], 7.75), (axes[-1], 7.25)):
            (line,) = labelled(each, "floor")
            assert line.get_xydata().tolist() == [[z, first + (z - 16) / 64] for z in LATENTS]
    assert "the lowest" in legend_texts(draw("figure1", table))
    # Sizes of different networks are not connected, and the legend shows what is drawn.
    ours = table["dataset"] == "digits"
    gone = ours & (table["latent"] == 64) & (table["model"] == "dae")
    for part, marker in ((table, "None"), (table[~gone & ours], "_")):
        figure = draw("figure1", part)
        (line,) = labelled(figure.axes[0], "floor")
        handle = figure.legends[0].legend_handles[legend_texts(figure).index("the lowest")]
        assert line.get_marker() == handle.get_marker() == marker
    # A cell that diverged did run.
    diverged = table.assign(status=np.where(gone, "diverged", "ok"), value=table["value"].where(~gone))
    (line,) = labelled(draw("figure1", diverged[ours]).axes[0], "floor")
    assert line.get_marker() == "None"
    nothing = table.assign(value=np.nan, status="diverged")
    assert "the lowest" not in legend_texts(draw("figure1", nothing))
    without = draw("figure1", table[~recon])
    assert not labelled(without.axes[0], "floor") and "the lowest" not in legend_texts(without)


CROWDED = list(itertools.product(("dae", "vae", "dae-bn", "mine"), (4, 8, 16), ("1", "2")))


@pytest.mark.parametrize(
    ("name", "extra"),
    [("figure2_5", ()), ("figure4", ()), ("figure1", ("kde", "a_prior_of_mine_with_a_long_name")), ("own", ("kde",))],
)
def test_texts_are_large_do_not_collide_and_fit_in_the_figure(name, extra):
    latents = [16, 32, 64, 96, 128, 144, 152, 160, 192, 256, 384, 512, 768, 1024]
    both = [scores(dataset, "inception", CROWDED, (0, 1), extra=extra) for dataset in ("cifar10", "digits")]
    table = pd.concat([each.query("latent == 16").assign(latent=latent) for each in both for latent in latents])
    figure = draw(name, table.assign(steps=30))
    figure.draw_without_rendering()
    assert figure.get_figwidth() == 5.5 and min(axes.get_window_extent().width for axes in figure.axes) > figure.dpi
    axes = figure.axes[0]
    axes.tick_params(labelbottom=True)
    labels = [label for label in axes.get_xticklabels() if label.get_text()]
    boxes = [label.get_window_extent() for label in labels]
    assert {"16", "1024"} <= {label.get_text() for label in labels}
    assert all(left.x1 < right.x0 for left, right in itertools.pairwise(boxes))
    assert {*axes.get_xticks(), *axes.get_xticks(minor=True)} == set(latents)
    legend = figure.legends[0].get_window_extent()
    assert legend.y0 >= 0 and legend.width < figure.bbox.width / 5 and legend.x1 <= figure.bbox.x1
    assert legend.x0 > max(axes.get_window_extent().x1 for axes in figure.axes)
    texts = [text for text in figure.findobj(match=plain_text) if text.get_text().strip()]
    assert len(texts) > 50 and min(text.get_fontsize() for text in texts) >= 7
    # Neither titles nor the note reach into their neighbours.
    (note,) = [text.get_window_extent() for text in texts if "mean little" in text.get_text()]
    headings = [note, legend, *(title_of(axes).get_window_extent() for axes in figure.axes)]
    assert not any(one.overlaps(other) for one, other in itertools.combinations(headings, 2))


@pytest.mark.parametrize("name", ["figure1", "figure3", "noise"])
def test_a_note_above_the_panels_says_that_trainings_were_too_short(name):
    cells = list(itertools.product(("dae", "vae", "dae-bn", "mine"), (4, 8), ("1", "2")))
    plain = draw(name, scores(cells=cells))
    assert not plain.get_suptitle()
    figure = draw(name, pd.concat([scores(cells=cells[::2], steps=175), scores(cells=cells[1::2])]))
    for each in (plain, figure):
        each.draw_without_rendering()
    (note,) = [text for text in figure.findobj(match=plain_text) if "mean little" in text.get_text()]
    assert note.get_text().replace("\n", " ").startswith("Some cells were trained for 175 steps only: below 500")
    box = note.get_window_extent()
    assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= figure.bbox.x1
    assert box.y0 > max(axes.get_tightbbox().y1 for axes in figure.axes)
    assert not box.overlaps(figure.legends[0].get_window_extent())
    # The figure becomes taller for it, not the panels smaller.
    before, after = (each.axes[0].get_window_extent().height / each.dpi for each in (plain, figure))
    assert after == pytest.approx(before, abs=0.1)


def plain_text(artist):
    return isinstance(artist, Text) and artist.get_visible()


def test_published_values_are_drawn_for_the_papers_lines_and_setting_only():
    cells = [("dae", 128, "1"), ("vae", 128, "1")]
    mvg, gmm = draw("figure1", scores("cifar10", "inception", cells)).axes
    (cited,) = labelled(gmm, "cited")
    assert labelled(mvg, "cited")[0].get_ydata().tolist() == [80.80]
    assert cited.get_ydata().tolist() == [93.53, 74.16, 73.12] and cited.get_marker() == "x"
    # DAE and VAE of 128 filters; neither dae-bn, which is not drawn, nor the deeper network of section 4.
    assert points(mvg, "published") == {(128, 82.49), (144, 81.62), (128, 101.9), (384, 86.65)}
    reduced = scores("cifar10", "inception", cells).assign(setting="own")
    others = [scores("cifar10", extractor, cells) for extractor in ("classifier", "inception-other")]
    for table in (*others, scores("digits", "inception", cells), reduced):
        figure = draw("figure1", table)
        assert not any(points(axes, "cited") | points(axes, "published") for axes in figure.axes)
        assert "Published" not in " ".join(legend_texts(figure))
    # RAE's value is a cited one, not the paper's own for a model of that name.
    rae = draw("figure1", scores("cifar10", "inception", [("rae-l2", 128, "1")])).axes[0]
    assert not points(rae, "published") and points(rae, "cited") == {(128, 80.80)}
    # A value that two tables print is drawn once.
    (line,) = labelled(draw("figure1", scores("cifar10", "inception", [("dae", 64, "1")])).axes[0], "published")
    assert sorted(line.get_xdata()) == [128, 152] and line.get_marker() == "*"


@pytest.mark.parametrize(
    ("name", "some"),
    [
        ("figure2_5", {(96, 77.10), (128, 85.38), (128, 90.59), (128, 101.9)}),
        ("figure3", {(128, 82.49), (144, 81.62), (128, 73.78), (144, 72.82)}),
        ("figure4", {(128, 94.14), (128, 82.64), (128, 73.05)}),
        ("noise", {(128, 45.21), (144, 40.31), (128, 76.20), (384, 46.98)}),
    ],
)
def test_published_values_are_in_the_other_figures_and_the_cited_ones_in_our_own_only(name, some):
    figure = draw(name)
    found = points(figure.axes[0], "published")
    assert found == some if name in ("figure3", "noise") else found >= some
    assert (128, 101.0) not in found, "a VAE of 64 filters"
    assert any(labelled(axes, "cited") for axes in figure.axes) == (name == "noise")
    assert "by the paper (fp32; ours: bf16)" in [text.replace("\n", " ") for text in legend_texts(figure)]
    if name == "figure4":
        (theirs,) = [line for line in labelled(figure.axes[0], "published") if 82.64 in line.get_ydata()]
        ours = lines(figure.axes[0])["DAE-BN", "MVG"]
        assert theirs.get_markeredgecolor() == ours.get_color() and theirs.get_fillstyle() == ours.get_fillstyle()


def test_a_log_axis_has_plain_numbers_and_nothing_to_draw_says_so():
    table = scores("cifar10", "inception", GRIDS["figure4"])
    table["value"] = np.where(table["comparison"] == "standard_normal", 400.0, 80.0 + table["latent"] / 10)
    axes = draw("figure4", table).axes[0]
    axes.figure.draw_without_rendering()
    assert {"100", "150", "200", "300"} <= {label.get_text() for label in axes.get_yticklabels()}
    assert "no cell" in draw("figure1", scores().iloc[:0]).texts[0].get_text()


def test_the_same_scores_give_the_same_bytes(tmp_path):
    table = scores("cifar10", "inception", GRIDS["figure4"], seeds=(0, 1))
    for name in ("first", "second"):
        save(draw("figure4", table), tmp_path / f"{name}.pdf", tmp_path / f"{name}.png")
    for suffix in ("pdf", "png"):
        assert (tmp_path / f"first.{suffix}").read_bytes() == (tmp_path / f"second.{suffix}").read_bytes()
    pdf = (tmp_path / "first.pdf").read_bytes()
    assert b"CreationDate" not in pdf and "Software" not in Image.open(tmp_path / "first.png").info
    assert b"/FontFile2" in pdf and b"/Type3" not in pdf, "text must stay text"


def solid(values, size=32):
    """One image for each value, all of that grey."""
    return np.broadcast_to(np.array(values, np.uint8)[:, None, None, None], (len(values), 3, size, size)).copy()


def pixels(figure, path):
    """Grey values of a figure's pictures; those of its texts are 255, as the space around."""
    for text in figure.texts:
        text.set_visible(False)
    save(figure, path)
    return np.asarray(Image.open(path).convert("L"))


def corners(picture, value):
    """Top and left of the only square of this grey value, whole and not resampled, 96 pixels wide."""
    top, left = np.argwhere(picture == value).min(axis=0)
    assert (picture[top : top + 96, left : left + 96] == value).all() and (picture == value).sum() == 96**2
    return top, left


def page_texts(figure):
    return [text.get_text().replace("\n", " ") for text in figure.texts if text.get_text()]


def test_tiles_keep_every_image_in_its_place():
    images = np.random.default_rng(0).integers(0, 256, (5, 3, 32, 32), dtype=np.uint8)
    picture = tile(images, columns=3, gap=2)
    assert picture.shape == (2 * 98 - 2, 3 * 98 - 2, 3) and picture.dtype == np.uint8
    for index, image in enumerate(images):
        top, left = index // 3 * 98, index % 3 * 98
        for corner in (0, 2):
            found = picture[top + corner : top + 96 : 3, left + corner : left + 96 : 3]
            np.testing.assert_array_equal(found, image.transpose(1, 2, 0))
    assert (picture[98:, 196:] == 255).all()


def test_reconstructions_are_below_their_originals(tmp_path):
    originals = list(range(10, 24))
    figure = reconstruction_page("DAE", solid(originals), solid([value + 100 for value in originals]))
    assert page_texts(figure) == ["DAE", "Test images, each above its reconstruction"]
    picture = pixels(figure, tmp_path / "page.png")
    assert picture.shape[1] == 1100
    for value in originals:
        down, right = np.subtract(corners(picture, value + 100), corners(picture, value))
        assert right == 0 and down == 98
    # The twelfth begins a new row.
    assert corners(picture, 21)[0] > corners(picture, 120)[0] and corners(picture, 21)[1] == corners(picture, 10)[1]


def test_steps_stand_between_the_two_test_images_apart_from_them(tmp_path):
    ends = solid([1, 9, 11, 19]).reshape(2, 2, 3, 32, 32)
    steps = solid([2, 5, 8, 12, 15, 18]).reshape(2, 3, 3, 32, 32)
    picture = pixels(interpolation_page("DAE", ends, steps), tmp_path / "page.png")
    for row in ([1, 2, 5, 8, 9], [11, 12, 15, 18, 19]):
        tops, lefts = zip(*(corners(picture, value) for value in row), strict=True)
        assert len(set(tops)) == 1
        first, *between, last = np.diff(lefts)
        assert set(between) == {98} and first == last > 98
    assert corners(picture, 11)[0] - corners(picture, 1)[0] == 98


SCORED = pd.DataFrame(
    [
        ("inception", "gmm", "frechet", 82.486),
        ("classifier", "gmm", "frechet", 3.5),
        ("inception", "gmm", "kid", 0.1),
        ("inception", "test_recon", "frechet", 45.2),
        ("inception", "own", "frechet", np.nan),
    ],
    columns=["extractor", "comparison", "measure", "value"],
)


def test_samples_have_a_block_for_each_prior_with_its_scores_below_a_row_of_test_images(tmp_path):
    images = {"own": solid([40]), "gmm": solid([30, 31]), "standard_normal": solid([10, 11]), "mvg": solid([20, 21])}
    figure = sample_page("DAE on CIFAR-10", solid(range(100, 115)), images, SCORED)
    gmm = "Samples from GMM: FID 82.49, FD (classifier features) 3.50"
    blocks = ["Samples from N(0,I)", "Samples from MVG", gmm, "Samples from own"]
    assert page_texts(figure) == ["DAE on CIFAR-10", "Test images", *blocks]
    picture = pixels(figure, tmp_path / "samples.png")
    tops = [corners(picture, value)[0] for value in (100, 10, 20, 30, 40)]
    assert min(np.diff(tops)) > 96 + 28
    # One row of test images.
    assert (picture == 110).any() and not (picture == 111).any()


CELL = {"dataset": "cifar10", "model": "dae-bn", "filters": 128, "depth": "3321", "latent": 64, "seed": 2}


def test_texts_are_not_cut_off_and_a_diverged_cell_says_so(tmp_path):
    none = solid([])
    assert cell_name(CELL) == "DAE-BN on CIFAR-10: 128 filters, depth 3321, 64 latent units, seed 2"
    title = cell_name(CELL | {"model": "a_model_of_mine_with_quite_a_long_name_that_cannot_be_broken_" * 2})
    many = pd.concat([SCORED.assign(extractor=f"classifier-{number}") for number in range(9)])
    pages = [
        (sample_page(title, solid([1, 2]), {"mvg": none, "gmm": solid([3])}, many), "diverged, no samples"),
        (reconstruction_page(title, solid([1, 2]), none), "diverged: no reconstructions"),
        (interpolation_page(title, none.reshape(0, 2, 3, 32, 32), none[:0, None]), "diverged: no interpolations"),
    ]
    for figure, message in pages:
        assert message in " ".join(page_texts(figure))
        figure.draw_without_rendering()
        boxes = [text.get_window_extent() for text in figure.texts if text.get_text()]
        assert all(box.x0 >= 0 and box.x1 <= figure.bbox.width and box.y0 >= 0 for box in boxes)
        assert all(upper.y0 > lower.y1 for upper, lower in itertools.pairwise(boxes))
        assert min(text.get_fontsize() for text in figure.texts) * 1100 / figure.bbox.width >= 7
        save(figure, tmp_path / "page.png")


def test_a_note_stands_below_the_pictures_and_moves_none_of_them(tmp_path):
    note = "Trained for 175 steps only: below 500, pictures and scores mean little."
    shades = solid([10, 20, 30])
    for draw_page in (
        lambda note: sample_page("DAE", shades[:1], {"mvg": shades[1:]}, SCORED, note),
        lambda note: reconstruction_page("DAE", shades[:1], shades[1:2], note),
        lambda note: reconstruction_page("DAE", shades, solid([]), note),
    ):
        plain, noted = draw_page(""), draw_page(note)
        text = noted.texts[-1]
        assert text.get_text() == note and note not in page_texts(plain)
        box, tall = text.get_window_extent(), noted.bbox.height - plain.bbox.height
        assert 40 < tall < 60 and 0 <= box.y0 < box.y1 < tall and box.x1 <= noted.bbox.x1
        before, after = (pixels(figure, tmp_path / "picture.png") for figure in (plain, noted))
        assert (after[: len(before)] == before).all() and (after[len(before) :] == 255).all()
