"""Samples drawn again: their scores by hand, their random streams, and the noise that they show."""

import hashlib
import itertools
import math
import statistics
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import linalg

from autoencoders.config.seeds import generator
from autoencoders.evidence.redraw_noise import redraw_noise
from autoencoders.jobs.errors import UserError
from autoencoders.jobs.parquet_tables import read_parquet, write_parquet
from autoencoders.networks.network import Autoencoder, NetworkOptions, parse_depth
from autoencoders.scores.cell_scores import Reference
from autoencoders.scores.measures import frechet
from autoencoders.scores.redraws import DRAWS, TYPES, redraw, redraw_table, sample_score

CPU = torch.device("cpu")
CELL = {"dataset": "digits", "model": "dae", "filters": 8, "depth": "1", "latent": 6, "seed": 7}
LATENT, COUNT = CELL["latent"], 90
# Wide codes, so that a network without training decodes them to images that differ.
PRIOR = "def fit(codes, options, **_): ...\ndef sample(prior, count, random):\n    return {}\n"
WIDE = "prior['width'] * random.normal(size=(count, 6))"


@pytest.fixture(autouse=True)
def settings_of_torch():
    """Put back what a job sets for its whole process."""
    threads, mode = torch.get_num_threads(), torch.get_deterministic_debug_mode()
    formats = torch.backends.cudnn, torch.backends.cuda.matmul
    tf32 = [each.allow_tf32 for each in formats]
    yield
    torch.set_num_threads(threads)
    torch.set_deterministic_debug_mode(mode)
    for each, value in zip(formats, tf32, strict=True):
        each.allow_tf32 = value


@pytest.fixture
def network() -> Autoencoder:
    return Autoencoder(NetworkOptions(32, 4, parse_depth("1"), LATENT), seed=0).eval()


def quarters(images: torch.Tensor) -> torch.Tensor:
    """The mean of each quarter of an image and colour: twelve features."""
    return torch.nn.functional.adaptive_avg_pool2d(images, 2).flatten(1)


@pytest.fixture
def real() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (200, 3, 1, 1), dtype=np.uint8).repeat(32, 2).repeat(32, 3)


@pytest.fixture
def score(network, real, tmp_path):
    """``sample_score`` of a prior with this name, whose kind is a file."""

    def score(prior: str, drawn: str = WIDE, extractor=quarters, tf32=False):
        kind = tmp_path / f"{len(list(tmp_path.iterdir()))}.py"
        kind.write_text(PRIOR.format(drawn), encoding="utf-8")
        features = quarters(torch.from_numpy(real).float() / 255)
        reference = Reference(features, {"frechet": frechet.prepare(features, {})})
        return partial(
            sample_score,
            *(network, prior, str(kind), {"width": np.array(40.0)}, COUNT),
            **{"reference": reference, "measure": {"kind": "frechet"}, "extractor": extractor},
            **{"batch_size": 32, "device": CPU, "threads": 1, "tf32": tf32},
        )

    return score


def stream(text: str) -> np.random.Generator:
    return np.random.default_rng(int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1)


def by_hand(network, real: np.ndarray, codes: np.ndarray) -> float:
    """The Fréchet distance of decoded codes with scipy's root."""
    with torch.no_grad():
        exact = network.decoder(torch.from_numpy(codes).float()).double().numpy()
    moments = []
    for images in (np.rint(255 / (1 + np.exp(-exact))), real):
        means = np.stack([images[:, :, y : y + 16, x : x + 16].mean(axis=(2, 3)) for y in (0, 16) for x in (0, 16)], 2)
        features = means.reshape(len(images), 12) / 255
        moments.append((features.mean(axis=0), np.cov(features, rowvar=False)))
    (mean, covariance), (other, of_other) = moments
    root = linalg.sqrtm(covariance @ of_other).real
    return ((mean - other) ** 2).sum() + np.trace(covariance + of_other - 2 * root)


def test_each_value_is_the_distance_by_hand_of_samples_from_its_own_stream(network, real, score):
    for prior in ("mvg", "gmm"):
        found = list(redraw(score(prior), prior, seed=7))
        assert [row[:2] for row in found] == [(prior, draw) for draw in range(5)]
        codes = [40 * stream(f"7/redraw/{draw}/{prior}").normal(size=(COUNT, LATENT)) for draw in range(DRAWS)]
        assert [value for *_, value in found] == pytest.approx([by_hand(network, real, z) for z in codes], rel=1e-5)


def test_draws_differ_from_each_other_and_from_the_scored_one_and_are_repeatable(score):
    found = {}
    for prior, seed in (("mvg", 7), ("gmm", 7), ("mvg", 8)):
        values = [value for *_, value in redraw(score(prior), prior, seed)]
        assert values == [value for *_, value in redraw(score(prior), prior, seed)]
        # That of the rule sample.
        found[prior, seed] = [*values, score(prior)(generator(seed, f"sample/{prior}"))]
    values = sorted(value for each in found.values() for value in each)
    assert len(values) == 3 * 6
    assert min(later / earlier for earlier, later in itertools.pairwise(values)) > 1 + 1e-6
    assert 1.001 < max(values) / min(values) < 1.5


def test_samples_are_decoded_as_the_network_was_trained_and_scored_without_tf32(network, score):
    """On a CPU nothing rounds to TF32, so the switch itself is observed."""
    seen = []
    network.decoder.register_forward_pre_hook(lambda *_: seen.append(torch.backends.cuda.matmul.allow_tf32))

    def extractor(images):
        seen.append(f"scored: {torch.backends.cuda.matmul.allow_tf32}")
        return quarters(images)

    for tf32 in (True, False):
        score("mvg", extractor=extractor, tf32=tf32)(np.random.default_rng(0))
        # Three batches each.
        assert seen == [tf32] * 3 + ["scored: False"] * 3
        seen.clear()


@pytest.mark.parametrize("drawn", ["random.normal(size=(count, 5))", "random.normal(size=(count, 6)) * float('nan')"])
def test_what_is_no_code_is_refused_with_the_name_of_the_prior(score, drawn):
    with pytest.raises(UserError, match="samples of the prior mine"):
        score("mine", drawn)(np.random.default_rng(0))


def test_a_table_has_its_columns_and_types_even_without_rows(tmp_path):
    values = [("mvg", 0, 1.5), ("mvg", 1, 2), ("gmm", 0, 0.5)]
    for name, rows in (("ok", values), ("diverged", [])):
        write_parquet(tmp_path / name, redraw_table(CELL | {"depth": "3321"}, "inception", rows))
        table = read_parquet(tmp_path / name)
        assert {column: str(kind) for column, kind in table.dtypes.items()} == TYPES
        assert len(table) == len(rows)
    table = redraw_table(CELL, "inception", values)
    assert table[["comparison", "draw", "value"]].to_numpy().tolist() == [list(row) for row in values]
    assert table.loc[2, [*CELL, "extractor"]].to_dict() == CELL | {"extractor": "inception"}


# ---- the noise


def frame(prior: str, values, extractor="inception", **cell) -> pd.DataFrame:
    return redraw_table(CELL | cell, extractor, [(prior, draw, value) for draw, value in enumerate(values)])


def test_the_noise_is_the_deviation_of_logarithms_of_each_prior():
    values = {"mvg": [30.0, 31, 29, 30.5, 28], "gmm": [20.0, 20.2, 20.1, 19.9, 20]}
    frames = [pd.concat([frame(prior, drawn) for prior, drawn in values.items()])]
    frames += [frame("mvg", [3.0, 4], extractor="classifier", model="vae", filters=256), frame("mvg", [])]
    table = redraw_noise(frames)
    assert list(table.columns) == [
        *("dataset", "extractor", "comparison", "model", "filters", "depth", "latent", "seed", "draws", "sd_of_log")
    ]
    assert table[["extractor", "comparison", "model", "filters", "draws"]].to_numpy().tolist() == [
        ["inception", "mvg", "dae", 8, 5],
        ["inception", "gmm", "dae", 8, 5],
        ["classifier", "mvg", "vae", 256, 2],
    ]
    expected = [statistics.stdev(map(math.log, drawn)) for drawn in (*values.values(), [3.0, 4])]
    assert table["sd_of_log"].tolist() == pytest.approx(expected, rel=1e-12)
    # Small noise is a share of the score.
    assert table["sd_of_log"][1] == pytest.approx(statistics.stdev(values["gmm"]) / 20.04, rel=0.01)


@pytest.mark.parametrize("values", [[30.0], [30.0, 0, 31], [30.0, -1e-9, 31], [30.0, math.nan, 31]])
def test_noise_is_unknown_of_one_draw_and_of_values_without_a_logarithm(values, recwarn):
    table = redraw_noise([frame("mvg", values), frame("gmm", [1.0, math.e])])
    assert math.isnan(table["sd_of_log"][0]) and table["draws"].tolist() == [len(values), 2]
    assert table["sd_of_log"][1] == pytest.approx(math.sqrt(0.5))
    assert not recwarn


def test_diverged_cells_have_no_noise():
    for frames in ([frame("mvg", [])], [frame("mvg", []), frame("gmm", [])]):
        table = redraw_noise(frames)
        assert len(table) == 0 and str(table["sd_of_log"].dtype) == "float64" and str(table["draws"].dtype) == "int64"
