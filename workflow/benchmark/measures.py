"""Measures of features: this pipeline's, torch-fidelity's and prdc's, of the same features."""

import resource
from collections.abc import Sequence

import numpy as np
import torch
from benchmark.comparison import Row
from benchmark.machine import Machine, timed
from torch import Tensor

from autoencoders.jobs import kinds

# Measures that share their work. The inception score is left out: it takes no time.
TOGETHER = (("frechet",), ("kid",), ("precision", "recall", "density", "coverage"), ("vendi",))
COPIES = ("copy_rate", "authenticity")


def made_up_features(count: int, dimensions: int, seed: int) -> Tensor:
    """float32 (N, D), not below zero and correlated, as those of a network; other seeds have slightly other means."""
    weights = np.random.default_rng(0).standard_normal((dimensions, dimensions), dtype=np.float32)
    weights /= np.sqrt(np.arange(1, dimensions + 1, dtype=np.float32))
    rows = np.random.default_rng(seed).standard_normal((count, dimensions), dtype=np.float32)
    return torch.from_numpy(np.abs(rows @ weights.T) + np.float32(0.05 * seed))


def measure_ours(machine: Machine, names: Sequence[str], count: int, dimensions: int) -> list[Row]:
    """Seconds of measures that share their work, for one set of ``count`` images. What they prepare from the reference
    is computed before: once for each dataset.
    """
    device = machine.job_device()
    features, reference = (made_up_features(count, dimensions, seed).to(device) for seed in (1, 2))
    modules = [kinds.load("measures", name) for name in names]
    options = [{name: part["default"] for name, part in kinds.options(module).items()} for module in modules]
    prepared = []
    for module, chosen in zip(modules, options, strict=True):
        found = module.prepare(reference, chosen)
        prepared.append({name: torch.as_tensor(value).cpu() for name, value in found.items()})
    return [timed_measures(modules, features, reference, options, prepared)]


def measure_copies(machine: Machine, count: int, dimensions: int, training: int) -> list[Row]:
    """The same of the measures of copies, among all ``training`` images."""
    device = machine.job_device()
    features, reference = made_up_features(count, dimensions, 1), made_up_features(training, dimensions, 2)
    modules = [kinds.load("measures", name) for name in COPIES]
    # Stand-ins for what is prepared from the distances of all training images from each other, which takes far longer.
    prepared = [{"limit": torch.ones((), dtype=torch.float64)}, {"own": torch.ones(training, dtype=torch.float64)}]
    return [timed_measures(modules, features.to(device), reference.to(device), [{}, {}], prepared)]


def timed_measures(modules, features: Tensor, reference: Tensor, options, prepared) -> Row:
    """The row of measures that share their work, in a process that did nothing else."""

    def measure() -> None:
        shared = {}
        for module, chosen, parts in zip(modules, options, prepared, strict=True):
            module.measure(features, reference, chosen, prepared=parts, random=np.random.default_rng(0), shared=shared)

    seconds, _ = timed(measure)
    # Of the whole process, with its libraries and all features; in kilobytes, on a Mac in bytes.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return Row(seconds, "s", f"one of a cell's six sets of images; at most {peak / 1e6:.1f} GB in memory", ours=True)


def measure_torch_fidelity(machine: Machine, which: str, count: int, dimensions: int) -> list[Row]:
    """torch-fidelity's "kid" (100 subsets of 1,000), or its "precision" with recall, of the same features."""
    from torch_fidelity.metric_kid import kid_features_to_metric
    from torch_fidelity.metric_prc import prc_features_to_metric

    device = machine.default_device()
    features, reference = (made_up_features(count, dimensions, seed).to(device) for seed in (1, 2))
    if which == "kid":
        size = min(1000, count)
        options = {"kid_subsets": 100, "kid_subset_size": size, "rng_seed": 2020, "verbose": False}
        seconds, _ = timed(lambda: kid_features_to_metric(features, reference, **options))
        return [Row(seconds, "s", f"the mean over 100 random subsets of {size:,} images")]
    seconds, _ = timed(lambda: prc_features_to_metric(features, reference, verbose=False))
    return [Row(seconds, "s", "precision and recall only; the reference's neighbourhoods are computed each time")]


def measure_prdc(count: int, dimensions: int) -> list[Row]:
    """prdc's four measures of the same features, on the CPU."""
    from prdc import compute_prdc

    features, reference = (made_up_features(count, dimensions, seed).numpy() for seed in (1, 2))
    seconds, _ = timed(lambda: compute_prdc(reference, features, nearest_k=5))
    return [Row(seconds, "s", "whole matrices; the reference's neighbourhoods are computed each time")]
