"""What `make bench` compares, and at which sizes."""

from collections.abc import Sequence
from dataclasses import dataclass

import yaml
from benchmark import distances, features, jobs, mixtures, training
from benchmark.comparison import Comparison
from benchmark.training import Case, Effort

from autoencoders import settings

PRECISIONS = ("bf16", "tf32", "fp32")
CONFIG = jobs.PROJECT / "config" / "config.yaml"


@dataclass(frozen=True)
class Sizes:
    """What a benchmark trains and fits.

    ``pictures`` are (N, images at once) for Inception, ``features`` (N, D), ``codes`` (N, z) and EM iterations.

    ``extremes`` are the cases that are also trained without determinism and, on a GPU, compiled; ``shared`` those that
    several processes train at once, with the numbers of processes.
    """

    cases: Sequence[Case]
    extremes: Sequence[Case]
    shared: Sequence[tuple[Case, Sequence[int]]]
    seconds: float
    product: int
    pictures: tuple[int, int]
    features: tuple[int, int]
    codes: Sequence[tuple[int, int, int]]


CIFAR10 = [Case(f"cifar10-shaped, f={filters}, z=128", 32, filters, 128, 50_000) for filters in (32, 64, 128, 256)]
# The paper's sizes.
ON_A_GPU = Sizes(
    cases=[*CIFAR10, Case("celeba-shaped, f=128, z=64", 64, 128, 64, 20_000)],
    extremes=[CIFAR10[0], CIFAR10[-1]],
    shared=[(CIFAR10[0], (1, 2, 4)), (CIFAR10[1], (1, 2))],
    seconds=4,
    product=8192,
    pictures=(5_000, 250),
    features=(10_000, 2048),
    codes=[(50_000, 128, 20), (50_000, 512, 5)],
)
# The same comparisons in minutes on two cores. What concerns GPUs alone is left out.
NARROW = [Case(f"cifar10-shaped, f={filters}, z=64", 32, filters, 64, 6_400) for filters in (8, 16)]
ON_A_CPU = Sizes(
    cases=NARROW,
    extremes=[NARROW[0]],
    shared=[(NARROW[0], (1, 2))],
    seconds=12,
    product=2048,
    pictures=(64, 16),
    features=(10_000, 2048),
    codes=[(20_000, 64, 20)],
)


def plan(sizes: Sizes, gpu: int, threads: int) -> list[Comparison]:
    """Every comparison but the projection, which needs their rows. ``gpu`` is 1 or 0."""
    default = settings.resolve(yaml.safe_load(CONFIG.read_text()))["models"]["dae"]["precision"]
    effort = Effort(gpu, threads, sizes.seconds, sizes.product)
    found = []

    def add(section: str, case: str, contender: str, seconds: float, measure, *arguments: object) -> None:
        found.append(Comparison(section, case, contender, seconds, measure, arguments))

    # A process starts and warms up in about as long as a loop is timed for.
    loop = 10 + 2 * sizes.seconds
    for case in sizes.cases:
        for precision in PRECISIONS:
            name = f"this pipeline, {precision}"
            add("training", case.name, name, loop, training.measure_pipeline, case, precision, default, effort)
        if case in sizes.extremes:
            name = "this pipeline, not deterministic"
            add("training", case.name, name, loop, training.measure_unrepeatable, case, default, effort)
        if gpu and case in sizes.extremes:
            add("training", case.name, "torch.compile", 60 + loop, training.measure_compiled, case, effort)
        add("training", case.name, "plain PyTorch loop", loop, training.measure_plain, case, effort)
        add("training", case.name, "Pythae", loop, training.measure_pythae, case, effort)
    add(
        "features",
        f"{sizes.pictures[0]:,} images",
        "Inception",
        40,
        features.measure_features,
        *sizes.pictures,
        gpu,
        threads,
    )
    case = f"{sizes.features[0]:,} x {sizes.features[1]} features"
    add("Fréchet distance", case, "pytorch-fid", 60, distances.measure_distances, *sizes.features, gpu, threads)
    for codes in sizes.codes:
        case = f"{codes[0]:,} x {codes[1]}"
        add("mixture", case, "this pipeline", 15, mixtures.measure_pipeline, *codes, gpu, threads)
        add("mixture", case, "scikit-learn", 15, mixtures.measure_scikit_learn, *codes)
    add("planning", "whole grid", "snakemake --dry-run", 15, jobs.measure_planning, str(CONFIG))
    for script in jobs.PER_CELL:
        add("start-up", "a job", script, 10, jobs.measure_start_up, script)
    add("start-up", "a job", "(Snakemake's part alone)", 4, jobs.measure_snakemakes_part)
    if gpu:
        add("start-up", "a job", "(CUDA context)", 10, jobs.measure_cuda_context)
    return found
