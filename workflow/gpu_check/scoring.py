"""Inception, Fréchet distances and mixtures: their speed, and whether the GPU's numbers are the CPU's."""

import logging
from collections.abc import Iterator
from functools import partial

import numpy as np
import torch
from benchmark import jobs, mixtures, scores
from benchmark.comparison import Row
from benchmark.machine import timed
from gpu_check import rows
from gpu_check.sizes import Check

from autoencoders.latent.priors import gmm
from autoencoders.scores.features import extract
from autoencoders.scores.measures.frechet import covariance_root, frechet_distance, statistics

INCEPTION = "Inception features as on the CPU"
DISTANCE = "Fréchet distance as on the CPU"
MIXTURE = "mixture as on the CPU"
CPU = torch.device("cpu")


def difference(found: np.ndarray, expected: np.ndarray) -> float:
    """The largest difference, relative to the largest expected number."""
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def within(section: str, check: str, found: float, most: float) -> dict:
    return rows.outcome(section, check, found <= most, f"largest relative difference {found:.1g}, at most {most:g}")


def distances(check: Check) -> Iterator[dict]:
    count, batch = check.sizes.inception
    found = scores.measure_features(check.machine, "ours", count, batch)
    yield from rows.measured("features", f"{count:,} images", "this pipeline", found)
    few = np.random.default_rng(0).integers(0, 256, (4, 3, 32, 32), dtype=np.uint8)
    network, device = scores.UntrainedInception().eval(), check.machine.job_device()
    expected = extract(network, few, 4, CPU).numpy()
    found = extract(network.to(device, memory_format=torch.channels_last), few, 4, device).numpy(force=True)
    yield within("scores", INCEPTION, difference(found, expected), 1e-4)

    count, dimensions = check.sizes.features
    covariance_root(torch.eye(2, dtype=torch.float64, device=device))
    sets = [np.random.default_rng(seed).normal(seed, 1 + seed, (count, dimensions)) for seed in (0, 1)]
    values = []
    for place in (device, CPU):
        reference, other = (statistics(torch.from_numpy(features).to(place)) for features in sets)
        root_seconds, root = timed(covariance_root, reference.covariance)
        seconds, distance = timed(frechet_distance, reference, root, other)
        values.append(np.asarray(float(distance)))
        where = "this pipeline" if place == device else "on the CPU"
        measured = [
            Row(seconds, "s", "once for each score", ours=place == device),
            Row(root_seconds, "s", "root of the reference, once for each dataset"),
        ]
        yield from rows.measured("Fréchet distance", f"{count:,} x {dimensions} features", where, measured)
    yield within("scores", DISTANCE, difference(*values), 1e-6)


def fit_mixtures(check: Check) -> Iterator[dict]:
    # The fits would warn that they did not converge.
    logging.disable(logging.WARNING)
    device = check.machine.job_device().type
    options = {"components": mixtures.COMPONENTS, "tol": 0.0, "reg_covar": 1e-6, "max_iter": 5}
    codes = mixtures.codes(2_000, 8)
    # The first fit also loads libraries and kernels.
    found, expected = (gmm.fit(codes, options, seed=0, device=place)["means"] for place in (device, None))
    yield within("mixtures", MIXTURE, difference(found, expected), 1e-6)
    for count, latent, iterations in check.sizes.codes:
        codes = mixtures.codes(count, latent)
        fit = partial(gmm.fit, codes, seed=0, device=device)
        one, _ = timed(partial(fit, {**options, "max_iter": 1}))
        many, _ = timed(partial(fit, {**options, "max_iter": iterations}))
        each = (many - one) / (iterations - 1)
        work = gmm.operations({**options, "max_iter": 1}, count, latent)
        measured = [
            Row(1000 * each, "ms", "an iteration"),
            Row(one, "s", "k-means on the CPU, and one iteration"),
            Row(work / each / 1e12, "TFLOP/s", "float64"),
        ]
        yield from rows.measured("mixture", f"{count:,} x {latent}", "this pipeline", measured)


def start_and_plan(check: Check) -> Iterator[dict]:
    """The time before a job's own work begins."""
    found = jobs.measure_start_up(check.machine.gpu)
    yield from rows.measured("start-up", "a job", "a training", found)
    found = jobs.measure_planning(check.sizes.grid)
    yield from rows.measured("planning", f"the grid of {check.sizes.grid.name}", "snakemake all --dry-run", found)
