"""The figures: what is drawn, not how it looks (that was looked at)."""

import itertools
from pathlib import Path

import matplotlib.colors as colors
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from autoencoders import figures
from autoencoders.image_grids import reconstruction_grid, sample_grid
from autoencoders.published import read_published
from autoencoders.style import save
from autoencoders.tiles import tile

PUBLISHED_FILE = Path(__file__).parents[1] / "config" / "published_fid.csv"


@pytest.fixture(scope="module")
def published():
    return read_published(PUBLISHED_FILE)


def scores(dataset="digits", extractor="classifier", models=("dae", "vae"), filters=(8,), diverged=(), seeds=(0,)):
    """Scores over four latent sizes; the cells (model, latent) in ``diverged`` have none. Seeds differ by 10."""
    rows = [
        {
            **{"dataset": dataset, "model": model, "filters": width, "depth": depth, "latent": latent, "seed": seed},
            "setting": "paper" if dataset in ("cifar10", "celeba") else "own",
            **{"extractor": extractor, "metric": metric},
            "frechet_distance": np.nan if (model, latent) in diverged else width + latent + 10.0 * seed,
            "status": "diverged" if (model, latent) in diverged else "ok",
        }
        for model in models
        for width in filters
        for depth in ("1", "2222")
        for latent in (16, 64, 128, 512)
        for seed in seeds
        for metric in ("test_recon", "standard_normal", "mvg", "gmm")
    ]
    return pd.DataFrame(rows)


def lines(axes):
    """The lines of models, by label such as "DAE 32"."""
    return {line.get_label(): line for line in axes.lines if line.get_label().split()[0] in ("DAE", "VAE", "DAE-BN")}


def labelled(axes, label):
    return [line for line in axes.lines if line.get_label() == label]


def legend_texts(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_the_papers_colours_and_line_styles():
    figure = figures.figure1(scores("cifar10", "inception", filters=(32, 64, 128, 256)), "inception")
    found = lines(figure.axes[0])
    assert len(found) == 8
    for width, hue in ((32, None), (64, 0), (128, 1), (256, 2)):
        solid, dotted = found[f"VAE {width}"], found[f"DAE {width}"]
        assert solid.get_linestyle() == "-" and dotted.get_linestyle() == ":"
        assert solid.get_color() == dotted.get_color()
        rgb = colors.to_rgb(solid.get_color())
        assert rgb == (0, 0, 0) if hue is None else int(np.argmax(rgb)) == hue
    assert len({found[f"DAE {width}"].get_marker() for width in (32, 64, 128, 256)}) == 4


def test_the_colours_differ_in_grey():
    luminance = sorted(
        np.dot(colors.to_rgb(colour), [0.299, 0.587, 0.114])
        for colour, _ in figures.width_styles([32, 64, 128, 256]).values()
    )
    assert np.diff(luminance).min() > 0.1


def test_other_widths_and_models_have_styles_of_their_own():
    widths = figures.width_styles([4, 8, 16, 32])
    assert len(set(widths.values())) == 4 and len({marker for _, marker in widths.values()}) == 4
    assert widths[32] == figures.WIDTHS[32]
    models = figures.model_styles(["vae", "dae", "dae-bn", "mine"])
    assert len({line for line, _ in models.values()}) == 4


def test_only_depth_1_and_the_asked_extractor(published):
    both = pd.concat([scores(), scores(extractor="inception").assign(frechet_distance=1.0)])
    figure = figures.figure1(both, "classifier", published)
    for axes in figure.axes:
        found = lines(axes)
        assert set(found) == {"DAE 8", "VAE 8"}
        assert found["DAE 8"].get_xdata().tolist() == [16, 64, 128, 512]
        assert found["DAE 8"].get_ydata().tolist() == [24, 72, 136, 520]


def test_a_diverged_cell_leaves_a_gap():
    figure = figures.figure1(scores(diverged={("vae", 64), ("vae", 512)}), "classifier")
    values = lines(figure.axes[0])["VAE 8"].get_ydata()
    assert np.isnan(values).tolist() == [False, True, False, True]
    assert not np.isnan(lines(figure.axes[0])["DAE 8"].get_ydata()).any()


def test_a_diverged_value_is_not_drawn_whatever_it_says():
    made_up = scores(diverged={("vae", 64)})
    made_up["frechet_distance"] = made_up["frechet_distance"].fillna(1e9)
    assert np.isnan(lines(figures.figure1(made_up, "classifier").axes[0])["VAE 8"].get_ydata()[1])


def test_seeds_are_a_mean_and_a_band():
    figure = figures.figure1(scores(seeds=(0, 1, 5)), "classifier")
    axes = figure.axes[0]
    assert lines(axes)["DAE 8"].get_ydata()[0] == pytest.approx(24 + 20)
    band = axes.collections[0].get_paths()[0].vertices
    at_16 = band[np.isclose(band[:, 0], 16), 1]
    assert (at_16.min(), at_16.max()) == (24, 74)
    assert "range of seeds" in legend_texts(figure)
    single = figures.figure1(scores(), "classifier")
    assert len(single.axes[0].collections) == 0 and "range of seeds" not in legend_texts(single)


def test_panels_and_labels():
    several = pd.concat([scores(name, "inception") for name in ("digits", "celeba", "cifar10")])
    figure = figures.figure1(several, "inception")
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == [
        *("(a) CIFAR-10, MVG", "(b) CIFAR-10, GMM", "(c) CelebA, MVG", "(d) CelebA, GMM"),
        *("(e) digits, MVG", "(f) digits, GMM"),
    ]
    assert figure.axes[0].get_ylabel() == "FID"
    assert figures.figure1(scores(), "classifier").axes[0].get_ylabel() == "FD (classifier features)"
    assert figure.axes[0].get_xscale() == "log" and figure.axes[0].get_yscale() == "linear"


def test_ticks_are_plain_numbers_that_do_not_collide():
    latents = [16, 32, 64, 96, 128, 144, 152, 160, 192, 256, 384, 512, 768, 1024]
    table = pd.concat([scores().assign(latent=latent) for latent in latents])
    figure = figures.figure1(table, "classifier")
    figure.draw_without_rendering()
    axes = figure.axes[0]
    written = [label for label in axes.get_xticklabels() if label.get_text()]
    assert [label.get_text() for label in written] == ["16", "32", "64", "128", "256", "512", "1024"]
    boxes = [label.get_window_extent() for label in written]
    assert all(left.x1 < right.x0 for left, right in itertools.pairwise(boxes))
    assert {*axes.get_xticks(), *axes.get_xticks(minor=True)} == set(latents)


def test_published_values_only_for_inception_on_the_papers_datasets(published):
    figure = figures.figure1(scores("cifar10", "inception", filters=(128,)), "inception", published)
    mvg, gmm = figure.axes
    assert labelled(mvg, "cited")[0].get_ydata().tolist() == [80.80]
    assert labelled(gmm, "cited")[0].get_ydata().tolist() == [93.53, 74.16, 73.12]
    assert labelled(gmm, "cited")[0].get_marker() == "x"
    drawn = {
        (x, y) for line in labelled(mvg, "published") for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)
    }
    # DAE and VAE of 128 filters; not dae-bn, which is not drawn, and not the deeper network of section 4.
    assert drawn == {(128, 82.49), (144, 81.62), (128, 101.9), (384, 86.65)}
    assert any(text.startswith("by others") for text in legend_texts(figure))

    for dataset, extractor in (("cifar10", "classifier"), ("digits", "inception")):
        figure = figures.figure1(scores(dataset, extractor, filters=(128,)), extractor, published)
        for axes in figure.axes:
            assert not labelled(axes, "cited") and not labelled(axes, "published")
        assert "Published" not in " ".join(legend_texts(figure))


def test_a_single_latent_size_is_seen():
    one = scores()
    figure = figures.figure1(one[one["latent"] == 64], "classifier")
    line = lines(figure.axes[0])["DAE 8"]
    assert line.get_marker() not in ("", "None", None)
    left, right = figure.axes[0].get_xlim()
    assert left < 64 < right


def test_nothing_to_draw_says_so(tmp_path):
    empty = scores()[lambda table: table["depth"] == "2222"]
    figure = figures.figure1(empty, "classifier")
    assert "no cell" in figure.texts[0].get_text()
    everything = {(model, latent) for model in ("dae", "vae") for latent in (16, 64, 128, 512)}
    save(figures.figure1(scores(diverged=everything), "classifier"), tmp_path / "all_diverged.png")


def test_the_same_scores_give_the_same_bytes(tmp_path, published):
    table = scores("cifar10", "inception", filters=(32, 64), seeds=(0, 1))
    for name in ("first", "second"):
        figure = figures.figure1(table, "inception", published)
        save(figure, tmp_path / f"{name}.pdf", tmp_path / f"{name}.png")
    for suffix in ("pdf", "png"):
        first, second = ((tmp_path / f"{name}.{suffix}").read_bytes() for name in ("first", "second"))
        assert first == second
    pdf = (tmp_path / "first.pdf").read_bytes()
    assert b"CreationDate" not in pdf
    assert b"/FontFile2" in pdf and b"/Type3" not in pdf  # text stays text
    assert "Software" not in Image.open(tmp_path / "first.png").info
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first.pdf", "first.png", "second.pdf", "second.png"]


def test_text_is_at_least_8_points(published):
    figure = figures.figure1(scores("cifar10", "inception", filters=(32,)), "inception", published)
    axes = figure.axes[0]
    texts = [*axes.get_xticklabels(), *axes.get_yticklabels(), axes.xaxis.label, axes.yaxis.label, axes.title]
    assert min(text.get_fontsize() for text in [*texts, *figure.legends[0].get_texts()]) >= 8
    assert figure.get_size_inches()[0] <= 7.5  # printed as it is on a page


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
