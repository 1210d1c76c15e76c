"""Seconds of a Fréchet distance: this pipeline's beside pytorch-fid's, on the same features."""

import time
import warnings
from collections.abc import Callable
from unittest import mock

import numpy as np
import scipy.linalg
import torch
from benchmark.comparison import Row, row
from benchmark.machine import job_device

from autoencoders.scores.measures.frechet import covariance_root, frechet_distance, root_trace, statistics


def correlated_features(count: int, dimensions: int, seed: int) -> np.ndarray:
    """float32 (count, dimensions), correlated and of full rank; sets of other seeds differ in mean and scale."""
    generator = np.random.default_rng(seed)
    mixing = np.random.default_rng(0).normal(size=(dimensions, dimensions)) / np.sqrt(dimensions)
    scales = np.geomspace(0.1, 1, dimensions) * (1 + seed / 10)
    return ((generator.normal(size=(count, dimensions)) * scales) @ mixing + seed / 100).astype(np.float32)


def finish() -> None:
    """Wait for what a GPU still computes."""
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()


def timed(function: Callable, *arguments: object, **keywords: object) -> tuple[float, object]:
    """Seconds until all that the function has begun is done, and what it returned."""
    finish()
    started = time.perf_counter()
    result = function(*arguments, **keywords)
    finish()
    return time.perf_counter() - started, result


def pytorch_fids_distance(reference: np.ndarray, other: np.ndarray) -> tuple[float, float, float, float]:
    """pytorch-fid on two sets of features (N, D): its seconds, its distance, its root's seconds, that root's trace.

    The root's seconds are those of scipy.linalg.sqrtm and of the product that it is taken of.
    """
    # Imported here: it brings torchvision, which needs seconds and no part in our own timing.
    from pytorch_fid.fid_score import calculate_frechet_distance

    moments = [moment for features in (reference, other) for moment in moments_of(features)]
    roots = []

    def timed_root(*arguments: object, **keywords: object) -> object:
        seconds, result = timed(square_root, *arguments, **keywords)
        roots.append((seconds, float(np.trace(result[0] if isinstance(result, tuple) else result).real)))
        return result

    square_root = scipy.linalg.sqrtm
    with mock.patch.object(scipy.linalg, "sqrtm", timed_root), warnings.catch_warnings():
        # It calls sqrtm in a way that SciPy is about to drop.
        warnings.simplefilter("ignore", DeprecationWarning)
        seconds, distance = timed(calculate_frechet_distance, *moments)
    root_seconds, trace = roots[-1]
    product_seconds, _ = timed(np.dot, moments[1], moments[3])
    return seconds, float(distance), product_seconds + root_seconds, trace


def moments_of(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean (D,) and covariance (D, D) as pytorch-fid computes them, in float64."""
    features = features.astype(np.float64)
    return features.mean(axis=0), np.cov(features, rowvar=False)


def measure_distances(count: int, dimensions: int, gpu: int, threads: int) -> list[Row]:
    """Our distance and pytorch-fid's of two sets of (count, dimensions) features, and the part of both that takes
    longest, the trace of a root; how far the results are apart.
    """
    device = job_device(gpu, threads)
    if gpu:
        # The first decomposition loads the library that does it.
        torch.linalg.eigh(torch.eye(2, dtype=torch.float64, device=device))
    sets = [correlated_features(count, dimensions, seed) for seed in (0, 1)]
    reference, other = (statistics(torch.from_numpy(features).to(device)) for features in sets)
    root_seconds, root = timed(covariance_root, reference.covariance)
    seconds, distance = timed(frechet_distance, reference, root, other)
    trace_seconds, trace = timed(lambda: root_trace(root, other.covariance).item())
    their_seconds, their_distance, their_trace_seconds, their_trace = pytorch_fids_distance(*sets)
    whole = f"{count:,} x {dimensions} features, from their statistics"
    part = f"{dimensions} x {dimensions}, trace of the root of a product"

    def line(case: str, contender: str, value: float, note: str, ours: bool = False) -> Row:
        return row("Fréchet distance", case, contender, value, "s", ours=ours, note=note)

    def difference(mine: float, theirs: float) -> str:
        return f"relative difference to ours {abs(mine / theirs - 1):.1g}"

    return [
        line(whole, "this pipeline", seconds, "once for each of a cell's scores", ours=True),
        line(whole, "this pipeline, root of the reference", root_seconds, "once a dataset"),
        line(whole, "pytorch-fid", their_seconds, difference(distance, their_distance)),
        line(part, "this pipeline's product and eigvalsh", trace_seconds, "in its distance", ours=True),
        line(part, "pytorch-fid's product and sqrtm", their_trace_seconds, difference(trace, their_trace)),
    ]
