"""The figures: what is drawn, not how it looks (that was looked at)."""

import itertools
from pathlib import Path

import matplotlib.colors as colors
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from autoencoders.evidence.paper_values import read_published
from autoencoders.figures import line_looks, paper_figures
from autoencoders.figures.cell_pictures import reconstruction_grid, sample_grid
from autoencoders.figures.page_style import save
from autoencoders.figures.tiles import tile

PUBLISHED_FILE = Path(__file__).parents[1] / "config" / "published_fid.csv"
PUBLISHED = read_published(PUBLISHED_FILE)
LATENTS = (16, 64, 128, 512)
# The grids of the paper's experiments: (model, filters, depth).
GRIDS = {
    "figure1": [(model, filters, "1") for model in ("dae", "vae") for filters in (32, 64, 128, 256)],
    "figure2_5": [
        ("vae", 128, "1"),
        *[("dae", 64, depth) for depth in ("1", "2", "3")],
        *[("dae", 128, depth) for depth in ("1", "2", "3321")],
        ("dae", 256, "1"),
    ],
    "figure3": [(model, 128, depth) for model in ("dae", "dae-frozen") for depth in ("1", "2")],
    "figure4": [(model, 128, "1") for model in ("dae", "vae", "dae-bn", "dae-sn", "dae-ln")],
    "noise": [(model, 128, "1") for model in ("dae", "vae", "dae-noise0.1", "dae-noise0.5", "dae-noise1")],
}


def scores(
    dataset="digits",
    extractor="classifier",
    cells=(("dae", 8, "1"), ("vae", 8, "1")),
    diverged=(),
    seeds=(0,),
    extra=(),
):
    """Scores over four latent sizes; the cells (model, latent) in ``diverged`` have none. Seeds differ by 10, depths by
    1,000, priors by 0.1.
    """
    comparisons = (
        "train_recon",
        "train_recon_vs_train",
        "test_recon",
        "interpolation",
        "standard_normal",
        "mvg",
        "gmm",
    )
    rows = [
        {
            **{"dataset": dataset, "model": model, "filters": width, "depth": depth, "latent": latent, "seed": seed},
            "setting": "paper" if dataset in ("cifar10", "celeba") else "own",
            **{"extractor": extractor, "comparison": comparison, "measure": "frechet"},
            "value": np.nan
            if (model, latent) in diverged
            else width + latent + 10.0 * seed + 1000 * (int(depth) - 1) + (0.1 if comparison == "gmm" else 0),
            "status": "diverged" if (model, latent) in diverged else "ok",
        }
        for model, width, depth in cells
        for latent in LATENTS
        for seed in seeds
        for comparison in (*comparisons, *extra)
    ]
    return pd.DataFrame(rows)


def draw(name, table, extractor="classifier"):
    return paper_figures.FIGURES[name](table, extractor, PUBLISHED)


def lines(axes):
    """The lines of cells by their names: those in the legend for the colour, and for the line style."""
    return {tuple(line.get_label().split("; ")): line for line in axes.lines if "; " in line.get_label()}


def labelled(axes, label):
    return [line for line in axes.lines if line.get_label() == label]


def points(axes, label):
    """(x, y) of the markers with that label."""
    found = labelled(axes, label)
    return {(x, y) for line in found for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)}


def legend_texts(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def titles(figure):
    return [axes.get_title(loc="left") for axes in figure.axes]


def hue(line_or_colour):
    """The colour as people name it."""
    colour = line_or_colour if isinstance(line_or_colour, str | tuple) else line_or_colour.get_color()
    (h, s, v) = colors.rgb_to_hsv(colors.to_rgb(colour))
    if v < 0.1:
        return "black"
    assert s > 0.3, "grey"
    names = ["red", "orange", "yellow", "green", "cyan", "blue", "purple", "red"]
    return names[int(np.searchsorted([0.03, 0.12, 0.2, 0.45, 0.55, 0.74, 0.92], h))]


def luminance(colour):
    return float(np.dot(colors.to_rgb(colour), [0.299, 0.587, 0.114]))


def axes_lines(axes):
    return [line for line in axes.lines if "; " in line.get_label()]


def drawn_looks(axes):
    """Colour, marker, line style and glyph of every line of cells; a glyph's marks are drawn right after its line."""
    drawn = list(axes.lines)
    found = []
    for line in axes_lines(axes):
        after = drawn[drawn.index(line) + 1 :][:1]
        glyph = after[0].get_marker() if after and after[0].get_color() == "white" else None
        found.append((colors.to_hex(line.get_color()), line.get_marker(), str(line._dash_pattern), glyph))
    return found


@pytest.mark.parametrize("name", GRIDS)
def test_every_cell_and_prior_has_a_line_of_its_own(name):
    """Two cells in one line would be averaged as if they were seeds."""
    table = scores("cifar10", "inception", GRIDS[name])
    figure = draw(name, table, "inception")
    comparisons = {"figure4": 3, "noise": 3}.get(name, 2)
    assert sum(len(lines(axes)) for axes in figure.axes) == len(GRIDS[name]) * comparisons
    for axes in figure.axes:
        assert len(set(drawn_looks(axes))) == len(axes_lines(axes))


@pytest.mark.parametrize("name", GRIDS)
def test_a_users_own_grid_is_drawn_without_merging(name):
    cells = list(itertools.product(("dae", "vae", "dae-bn", "mine"), (4, 8), ("1", "2")))
    table = pd.concat([scores(cells=cells), scores("own", cells=cells)])
    figure = draw(name, table)
    panels = {"figure3": 1, "figure4": 1, "noise": 3}.get(name, 2)
    assert len(figure.axes) == 2 * panels
    for axes in figure.axes:
        comparisons = {"figure3": 2, "figure4": 3}.get(name, 1)
        found = axes_lines(axes)
        assert len(found) == len(lines(axes)) == len(cells) * comparisons
        # Values tell widths and depths apart: a mean of two cells would not be among them.
        firsts = {round(line.get_ydata()[0]) for line in found}
        assert firsts == {width + 16 + deep for width in (4, 8) for deep in (0, 1000)}
        assert len(set(drawn_looks(axes))) == len(found)


def test_figure1_has_the_papers_looks():
    figure = draw("figure1", scores("cifar10", "inception", GRIDS["figure1"]), "inception")
    assert titles(figure) == ["(a) CIFAR-10, MVG", "(b) CIFAR-10, GMM"]
    found = lines(figure.axes[0])
    for width, name in ((32, "black"), (64, "red"), (128, "green"), (256, "blue")):
        solid, dotted = found[str(width), "VAE"], found[str(width), "DAE"]
        assert solid.get_linestyle() == "-" and dotted.get_linestyle() == ":"
        assert hue(solid) == hue(dotted) == name
    assert len({found[str(width), "DAE"].get_marker() for width in (32, 64, 128, 256)}) == 4
    assert {"depth 1", "DAE", "VAE", "32", "256"} <= set(legend_texts(figure))


def test_figure2_5_has_the_papers_looks():
    figure = draw("figure2_5", scores("cifar10", "inception", GRIDS["figure2_5"]), "inception")
    assert titles(figure) == ["(a) CIFAR-10, MVG", "(b) CIFAR-10, GMM"]
    found = {key: (hue(line), line.get_linestyle()) for key, line in lines(figure.axes[0]).items()}
    assert found == {
        ("VAE, 128 filters", "1"): ("black", "-"),
        ("DAE, 64 filters", "1"): ("red", "-"),
        ("DAE, 64 filters", "2"): ("red", "--"),
        ("DAE, 64 filters", "3"): ("red", ":"),
        ("DAE, 128 filters", "1"): ("green", "-"),
        ("DAE, 128 filters", "2"): ("green", "--"),
        ("DAE, 128 filters", "3321"): ("green", ":"),
        ("DAE, 256 filters", "1"): ("blue", "-"),
    }


def test_figure3_has_the_papers_looks():
    figure = draw("figure3", scores("cifar10", "inception", GRIDS["figure3"]), "inception")
    assert titles(figure) == ["CIFAR-10"]
    found = {key: (hue(line), line.get_linestyle()) for key, line in lines(figure.axes[0]).items()}
    names = {"DAE, depth 1": "green", "DAE, depth 2": "blue"}
    names |= {"DAE-frozen, depth 1": "purple", "DAE-frozen, depth 2": "orange"}
    styles = {"MVG": "-", "GMM": ":"}
    assert found == {(n, p): (colour, style) for n, colour in names.items() for p, style in styles.items()}
    assert "128 filters" in legend_texts(figure)


def test_figure4_has_the_papers_looks_on_a_log_axis_of_plain_numbers():
    table = scores("cifar10", "inception", GRIDS["figure4"])
    far = (table["comparison"] == "standard_normal") & table["model"].isin(["dae", "dae-sn", "dae-ln"])
    table["value"] = np.where(far, 400.0, 80.0 + table["latent"] / 10)
    figure = draw("figure4", table, "inception")
    found = {key: (hue(line), line.get_linestyle()) for key, line in lines(figure.axes[0]).items()}
    names = {"DAE": "red", "VAE": "orange", "DAE-BN": "green", "DAE-SN": "blue", "DAE-LN": "black"}
    styles = {"MVG": "-", "GMM": "--", "N(0,I)": ":"}
    assert found == {(n, p): (colour, style) for n, colour in names.items() for p, style in styles.items()}
    axes = figure.axes[0]
    assert axes.get_yscale() == "log"
    figure.draw_without_rendering()
    low, high = axes.get_ylim()
    ticks = [label.get_text() for label in axes.get_yticklabels() if low <= label.get_position()[1] <= high]
    assert {"100", "150", "200", "300"} <= set(ticks) and len(ticks) <= 8


def test_noise_is_told_by_the_shade_and_the_vae_is_black():
    cells = [("dae-noise10", 128, "1"), ("dae-noise2", 128, "1"), *GRIDS["noise"]]
    figure = draw("noise", scores("cifar10", "inception", cells), "inception")
    assert titles(figure) == ["(a) CIFAR-10, Test R", "(b) CIFAR-10, MVG", "(c) CIFAR-10, GMM"]
    found = {key[0]: line for key, line in lines(figure.axes[0]).items()}
    order = ["DAE", "DAE-noise0.1", "DAE-noise0.5", "DAE-noise1", "DAE-noise2", "DAE-noise10"]
    shades = [luminance(found[name].get_color()) for name in order]
    assert all(np.diff(shades) > 0.05)
    assert hue(found["VAE"]) == "black"
    assert len({line.get_marker() for line in found.values()}) == 7
    texts = legend_texts(figure)
    assert [text for text in texts if text in [*order, "VAE"]] == [*order, "VAE"]


def test_known_colours_differ_in_grey():
    for group in (
        [colour for colour, _ in line_looks.WIDTHS.values()],
        [line_looks.GREEN, line_looks.BLUE, line_looks.PURPLE, line_looks.ORANGE],
        [line_looks.RED, line_looks.ORANGE, line_looks.GREEN, line_looks.BLUE, line_looks.BLACK],
    ):
        assert np.diff(sorted(map(luminance, group))).min() > 0.1


def test_the_same_look_goes_to_one_key_only():
    choose = line_looks.known_or_other({("vae",): ("black", "o")}, line_looks.OTHER_LOOKS)
    keys = [("vae", 4), ("vae", 8), *[("mine", width) for width in range(33)]]
    chosen = choose(keys)
    assert chosen["vae", 4] == ("black", "o")
    assert len(set(chosen.values())) == len(keys)
    assert list(chosen) == keys
    taken = line_looks.OTHER_LINES[0]
    chosen = line_looks.known_or_other({("vae",): taken}, line_looks.OTHER_LINES)([("mine",), ("vae",)])
    assert chosen["vae",] == taken != chosen["mine",]


def test_other_widths_have_looks_of_their_own():
    widths = line_looks.width_looks([(4,), (8,), (16,), (32,)])
    assert len(set(widths.values())) == 4 and len({marker for _, marker in widths.values()}) == 4
    assert widths[32,] == line_looks.WIDTHS[32]
    shades = [luminance(widths[width,][0]) for width in (4, 8, 16)]
    assert sorted(shades) == shades


def test_depths_stand_in_the_order_of_their_convolutions():
    assert sorted(["3", "2", "3321", "1", "1112"], key=line_looks.depth_order) == ["1", "1112", "2", "3321", "3"]


def test_figure1_names_other_depths_and_draws_the_asked_extractor():
    cells = [("dae", 8, "1"), ("dae", 8, "2"), ("vae", 8, "1")]
    both = pd.concat([scores(cells=cells), scores(cells=cells, extractor="inception").assign(value=1.0)])
    figure = draw("figure1", both)
    for axes in figure.axes:
        found = lines(axes)
        assert set(found) == {("8", "DAE, depth 1"), ("8", "DAE, depth 2"), ("8", "VAE, depth 1")}
        line = found["8", "DAE, depth 1"]
        assert line.get_xdata().tolist() == [16, 64, 128, 512] and line.get_linestyle() == ":"
        assert np.round(line.get_ydata()).tolist() == [24, 72, 136, 520]
        assert len({str(line._dash_pattern) for line in found.values()}) == 3


def test_a_depth_that_all_share_is_named_unless_it_is_1():
    assert set(lines(draw("figure1", scores(cells=[("dae", 8, "2")])).axes[0])) == {("8", "DAE, depth 2")}
    figure = draw("figure1", scores())
    assert set(lines(figure.axes[0])) == {("8", "DAE"), ("8", "VAE")} and "depth 1" in legend_texts(figure)


def test_own_priors_are_drawn_and_other_comparisons_are_not():
    table = scores(extra=("kde",))
    assert titles(draw("figure1", table)) == ["(a) digits, MVG", "(b) digits, GMM", "(c) digits, kde"]
    assert {prior for _, prior in lines(draw("figure3", table).axes[0])} == {"MVG", "GMM", "kde"}
    assert {prior for _, prior in lines(draw("figure4", table).axes[0])} == {"N(0,I)", "MVG", "GMM", "kde"}


@pytest.mark.parametrize("name", GRIDS)
def test_another_measure_is_not_drawn(name):
    table = scores()
    both = pd.concat([table, table.assign(measure="kid", value=-1e9)])
    alone, beside = draw(name, table), draw(name, both)
    for one, other in zip(alone.axes, beside.axes, strict=True):
        assert {key: line.get_ydata().tolist() for key, line in lines(one).items()} == {
            key: line.get_ydata().tolist() for key, line in lines(other).items()
        }
    nothing = draw(name, table.assign(measure="kid"))
    assert "no cell" in nothing.texts[0].get_text()


def test_a_diverged_cell_leaves_a_gap():
    figure = draw("figure1", scores(diverged={("vae", 64), ("vae", 512)}))
    found = lines(figure.axes[0])
    assert np.isnan(found["8", "VAE"].get_ydata()).tolist() == [False, True, False, True]
    assert not np.isnan(found["8", "DAE"].get_ydata()).any()


def marks(axes):
    """(latent, height, colour) of the marks on the axis."""
    found = labelled(axes, "diverged")
    assert all(line.get_transform() == axes.get_xaxis_transform() and not line.get_clip_on() for line in found)
    return {(*line.get_xdata(), *line.get_ydata(), colors.to_hex(line.get_color())) for line in found}


def test_a_diverged_latent_size_is_marked_and_one_that_was_not_run_is_not():
    table = scores(cells=GRIDS["figure1"], diverged={("vae", 64), ("vae", 512), ("dae", 512)})
    table = table[(table["model"] == "dae") | (table["latent"] != 128)]
    figure = draw("figure1", table[(table["filters"] != 256) | (table["latent"] != 64)])
    for axes in figure.axes:
        found = marks(axes)
        widths = {latent: {colour for at, _, colour in found if at == latent} for latent in LATENTS}
        at_64, everywhere = ({line_looks.WIDTHS[width][0] for width in (32, 64, 128, *more)} for more in ((), (256,)))
        assert widths == {16: set(), 64: at_64, 128: set(), 512: everywhere}
        # The lowest stands on the axis, and none hides another.
        for latent in (64, 512):
            heights = sorted(height for at, height, _ in found if at == latent)
            assert heights[0] == 0 and min(np.diff(heights)) > 0.02 and len(heights) == len(widths[latent])
    assert "diverged" in legend_texts(figure)


def test_a_latent_size_that_diverged_at_some_seeds_only_is_not_marked():
    table = scores(seeds=(0, 1))
    table.loc[table["seed"] == 1, ["value", "status"]] = np.nan, "diverged"
    for figure in (draw("figure1", table), draw("figure1", scores())):
        assert not any(map(marks, figure.axes)) and "diverged" not in legend_texts(figure)


def test_a_depth_of_1_is_said_once():
    texts = legend_texts(draw("noise", scores()))
    assert "depth 1" in texts and "1" not in texts and not any("Depth" in text for text in texts)
    for depths in (("2",), ("1", "2")):
        texts = legend_texts(draw("noise", scores(cells=[("dae", 8, depth) for depth in depths])))
        assert {*depths} <= {*texts} and any("Depth" in text for text in texts) and "depth 1" not in texts


def test_a_diverged_value_is_not_drawn_whatever_it_says():
    made_up = scores(diverged={("vae", 64)})
    made_up["value"] = made_up["value"].fillna(1e9)
    assert np.isnan(lines(draw("figure1", made_up).axes[0])["8", "VAE"].get_ydata()[1])


def test_seeds_are_a_mean_and_a_band():
    figure = draw("figure1", scores(seeds=(0, 1, 5)))
    axes = figure.axes[0]
    assert lines(axes)["8", "DAE"].get_ydata()[0] == pytest.approx(24 + 20)
    band = axes.collections[0].get_paths()[0].vertices
    at_16 = band[np.isclose(band[:, 0], 16), 1]
    assert (at_16.min(), at_16.max()) == (24, 74)
    assert "their range" in legend_texts(figure)
    single = draw("figure1", scores())
    assert len(single.axes[0].collections) == 0 and "their range" not in legend_texts(single)


def test_seeds_of_a_single_latent_size_have_a_visible_range():
    table = scores(seeds=(0, 1, 5))
    axes = draw("figure1", table[table["latent"] == 64]).axes[0]
    heights = [np.ptp(path.vertices[:, 1]) for bars in axes.collections[1::2] for path in bars.get_paths()]
    assert heights == [50, 50]


def test_panels_and_labels():
    several = pd.concat([scores(name, "inception") for name in ("digits", "celeba", "cifar10")])
    figure = draw("figure1", several, "inception")
    assert titles(figure) == [
        *("(a) CIFAR-10, MVG", "(b) CIFAR-10, GMM", "(c) CelebA, MVG", "(d) CelebA, GMM"),
        *("(e) digits, MVG", "(f) digits, GMM"),
    ]
    assert figure.axes[0].get_ylabel() == "FID"
    assert draw("figure1", scores()).axes[0].get_ylabel() == "FD (classifier features)"
    other = scores(extractor="inception-other")
    assert draw("figure4", other, "inception-other").axes[0].get_ylabel() == "FD (inception-other features)"
    assert figure.axes[0].get_xscale() == "log" and figure.axes[0].get_yscale() == "linear"


@pytest.mark.parametrize("name", GRIDS)
def test_ticks_are_plain_numbers_that_do_not_collide(name):
    latents = [16, 32, 64, 96, 128, 144, 152, 160, 192, 256, 384, 512, 768, 1024]
    table = pd.concat([scores(cells=GRIDS[name]).assign(latent=latent) for latent in latents])
    figure = draw(name, table)
    figure.draw_without_rendering()
    axes = figure.axes[0]
    written = [label for label in axes.get_xticklabels() if label.get_text()]
    texts = [label.get_text() for label in written]
    assert texts == (
        ["16", "64", "256", "1024"] if name == "noise" else ["16", "32", "64", "128", "256", "512", "1024"]
    )
    boxes = [label.get_window_extent() for label in written]
    assert all(left.x1 < right.x0 for left, right in itertools.pairwise(boxes))
    assert {*axes.get_xticks(), *axes.get_xticks(minor=True)} == set(latents)


def test_published_values_only_for_inception_on_the_papers_datasets():
    cells = [("dae", 128, "1"), ("vae", 128, "1")]
    figure = draw("figure1", scores("cifar10", "inception", cells), "inception")
    mvg, gmm = figure.axes
    assert labelled(mvg, "cited")[0].get_ydata().tolist() == [80.80]
    assert labelled(gmm, "cited")[0].get_ydata().tolist() == [93.53, 74.16, 73.12]
    assert labelled(gmm, "cited")[0].get_marker() == "x"
    # DAE and VAE of 128 filters; not dae-bn, which is not drawn, and not the deeper network of section 4.
    assert points(mvg, "published") == {(128, 82.49), (144, 81.62), (128, 101.9), (384, 86.65)}
    assert any(text.startswith("by others") for text in legend_texts(figure))

    reduced = scores("cifar10", "inception", cells).assign(setting="own")
    other = scores("cifar10", "inception-other", cells)
    for table in (scores("cifar10", "classifier", cells), scores("digits", "inception", cells), reduced, other):
        figure = draw("figure1", table, table["extractor"].iloc[0])
        for axes in figure.axes:
            assert not labelled(axes, "cited") and not labelled(axes, "published")
        assert "Published" not in " ".join(legend_texts(figure))


def test_published_values_stand_in_the_other_figures_without_the_cited():
    depth, normalisation, noise, frozen = (
        draw(name, scores("cifar10", "inception", GRIDS[name]), "inception")
        for name in ("figure2_5", "figure4", "noise", "figure3")
    )
    assert (96, 77.10) in points(depth.axes[0], "published") and (96, 67.32) in points(depth.axes[1], "published")
    # The DAE and the VAE of 128 filters, and the DAEs of 64 and 256.
    assert {(128, 85.38), (128, 90.59), (128, 101.9)} <= points(depth.axes[0], "published")
    assert (128, 101.0) not in points(depth.axes[0], "published")  # a VAE of 64 filters
    assert {(128, 94.14), (128, 82.64), (128, 73.05)} <= points(normalisation.axes[0], "published")
    assert points(noise.axes[0], "published") == {(128, 45.21), (144, 40.31), (128, 76.20), (384, 46.98)}
    assert points(frozen.axes[0], "published") == {(128, 82.49), (144, 81.62), (128, 73.78), (144, 72.82)}
    for figure in (depth, normalisation, noise, frozen):
        assert not any(labelled(axes, "cited") for axes in figure.axes)
        assert "by the paper" in legend_texts(figure)


def test_a_cited_result_is_not_the_papers_value_for_a_model_of_that_name():
    axes = draw("figure1", scores("cifar10", "inception", [("rae", 128, "1")]), "inception").axes[0]
    assert not points(axes, "published") and points(axes, "cited") == {(128, 80.80)}


def test_a_value_that_two_tables_print_is_drawn_once():
    table2_and_3 = PUBLISHED.query("dataset == 'cifar10' and model == 'dae' and filters == 64 and comparison == 'mvg'")
    assert sorted(table2_and_3["latent"]) == [128, 128, 152]
    axes = draw("figure1", scores("cifar10", "inception", [("dae", 64, "1")]), "inception").axes[0]
    (line,) = labelled(axes, "published")
    assert sorted(line.get_xdata()) == [128, 152]


def test_a_published_marker_has_the_colour_and_shape_of_its_line():
    axes = draw("figure4", scores("cifar10", "inception", GRIDS["figure4"]), "inception").axes[0]
    ours = lines(axes)["DAE-BN", "MVG"]
    (theirs,) = [line for line in labelled(axes, "published") if 82.64 in line.get_ydata()]
    assert theirs.get_markeredgecolor() == ours.get_color() and theirs.get_marker() == ours.get_marker()
    assert theirs.get_markerfacecolor() == "white"


def test_a_single_latent_size_is_seen():
    one = scores()
    figure = draw("figure1", one[one["latent"] == 64])
    line = lines(figure.axes[0])["8", "DAE"]
    assert line.get_marker() not in ("", "None", None)
    left, right = figure.axes[0].get_xlim()
    assert left < 64 < right


@pytest.mark.parametrize("name", GRIDS)
def test_nothing_to_draw_says_so(name, tmp_path):
    figure = draw(name, scores().iloc[:0])
    assert "no cell" in figure.texts[0].get_text()
    everything = {(model, latent) for model in ("dae", "vae") for latent in LATENTS}
    save(draw(name, scores(diverged=everything)), tmp_path / "all_diverged.png")


def test_the_same_scores_give_the_same_bytes(tmp_path):
    table = scores("cifar10", "inception", GRIDS["figure4"], seeds=(0, 1))
    for name in ("first", "second"):
        save(draw("figure4", table, "inception"), tmp_path / f"{name}.pdf", tmp_path / f"{name}.png")
    for suffix in ("pdf", "png"):
        first, second = ((tmp_path / f"{name}.{suffix}").read_bytes() for name in ("first", "second"))
        assert first == second
    pdf = (tmp_path / "first.pdf").read_bytes()
    assert b"CreationDate" not in pdf
    assert b"/FontFile2" in pdf and b"/Type3" not in pdf  # text stays text
    assert "Software" not in Image.open(tmp_path / "first.png").info
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first.pdf", "first.png", "second.pdf", "second.png"]


@pytest.mark.parametrize("name", GRIDS)
def test_text_is_at_least_8_points_and_within_the_page(name):
    figure = draw(name, scores("cifar10", "inception", GRIDS[name]), "inception")
    axes = figure.axes[0]
    texts = [*axes.get_xticklabels(), *axes.get_yticklabels(), axes.xaxis.label, axes.yaxis.label, axes.title]
    assert min(text.get_fontsize() for text in [*texts, *figure.legends[0].get_texts()]) >= 8
    assert figure.get_size_inches()[0] <= 7.5  # printed as it is on a page


@pytest.mark.parametrize("name", GRIDS)
def test_a_long_legend_fits_in_the_figure(name):
    cells = list(itertools.product(("dae", "vae", "dae-bn", "mine"), (4, 8, 16), ("1", "2")))
    figure = draw(name, scores(cells=cells, seeds=(0, 1)))
    figure.draw_without_rendering()
    box = figure.legends[0].get_window_extent()
    assert box.y0 >= 0 and box.x1 <= figure.bbox.x1
    assert figure.axes[0].get_window_extent().width > 1.0 * figure.dpi


def solid(values, size=32):
    """One image a value, all of that grey."""
    return np.broadcast_to(np.array(values, np.uint8)[:, None, None, None], (len(values), 3, size, size)).copy()


def pixels(figure, path):
    save(figure, path)
    return np.asarray(Image.open(path).convert("RGB"))


def test_tile_keeps_every_image_in_its_place():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (5, 3, 32, 32), dtype=np.uint8)
    picture = tile(images, columns=3, gap=2)
    assert picture.shape == (2 * 130 - 2, 3 * 130 - 2, 3) and picture.dtype == np.uint8
    for index, image in enumerate(images):
        top, left = index // 3 * 130, index % 3 * 130
        np.testing.assert_array_equal(picture[top : top + 128 : 4, left : left + 128 : 4], image.transpose(1, 2, 0))
        np.testing.assert_array_equal(
            picture[top + 3 : top + 128 : 4, left + 3 : left + 128 : 4], image.transpose(1, 2, 0)
        )
    assert (picture[130:, 260:] == 255).all()


def test_reconstructions_stand_below_their_originals(tmp_path):
    originals, reconstructions = solid([10, 20, 30, 40, 50]), solid([110, 120, 130, 140, 150])
    figure = reconstruction_grid(originals, reconstructions, per_row=3)
    assert [text.get_text() for text in figure.texts] == ["original", "reconstruction"] * 2
    picture = pixels(figure, tmp_path / "grid.png")
    # Every grey value occurs as one whole square of 128 pixels: none was resampled.
    corners = {}
    for value in (10, 20, 30, 40, 50, 110, 120, 130, 140, 150):
        rows, columns = np.nonzero((picture == value).all(axis=2) & in_images(picture))
        corners[value] = rows.min(), columns.min()
        square = picture[rows.min() : rows.min() + 128, columns.min() : columns.min() + 128]
        assert (square == value).all()
    for value in (10, 20, 30, 40, 50):
        below = corners[value + 100]
        assert below[1] == corners[value][1] and 128 <= below[0] - corners[value][0] < 140
    assert corners[40][0] > corners[110][0] and corners[40][1] == corners[10][1]


def in_images(picture):
    """Pixels right of the labels, whose smooth letters have every shade of grey."""
    mask = np.zeros(picture.shape[:2], bool)
    dark = (picture[:, :, 0] < 255).mean(axis=0) > 0.5
    mask[:, np.argmax(dark) :] = True
    return mask


def test_samples_have_a_block_a_prior_in_the_papers_order(tmp_path):
    images = {"own": solid([40]), "gmm": solid([30, 31]), "standard_normal": solid([10, 11]), "mvg": solid([20, 21])}
    figure = sample_grid(images, columns=2)
    assert [text.get_text() for text in figure.texts] == ["N(0,I)", "MVG", "GMM", "own"]
    column = pixels(figure, tmp_path / "samples.png")[:, -140]
    greys = [value for value in column[:, 0] if value in (11, 21, 31)]
    assert greys == [11] * 128 + [21] * 128 + [31] * 128


def test_labels_are_not_cut_off(tmp_path):
    figure = sample_grid({"a_prior_with_quite_a_long_name": solid([0] * 3)}, columns=3)
    figure.draw_without_rendering()
    assert figure.texts[0].get_window_extent().x0 >= 0


def test_a_diverged_cell_says_so(tmp_path):
    none = solid([])
    samples = sample_grid({"mvg": none, "gmm": none}, columns=10)
    assert [text.get_text() for text in samples.texts].count("diverged: no samples") == 2
    reconstructions = reconstruction_grid(solid([1, 2]), none, per_row=10)
    assert "diverged: no reconstructions" in [text.get_text() for text in reconstructions.texts]
    for figure in (samples, reconstructions):
        save(figure, tmp_path / "diverged.png")
        width = figure.bbox.width
        assert all(text.get_window_extent().x0 >= 0 and text.get_window_extent().x1 <= width for text in figure.texts)
