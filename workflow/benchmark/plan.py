"""What `make bench` compares, and at which sizes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import yaml
from benchmark import distances, features, jobs, mixtures, sharing, training
from benchmark.comparison import Comparison
from benchmark.training import Case, Effort

from autoencoders.config import settings

PRECISIONS = ("bf16", "tf32", "fp32")
CONFIG = jobs.PROJECT / "config" / "config.yaml"


@dataclass(frozen=True)
class Sizes:
    """What a benchmark trains and fits.

    ``pictures`` are N for Inception, and how many at once by our pass and by pytorch-fid's; ``features`` (N, D), and
    ``codes`` (N, z) and EM iterations. ``shared`` are the cases that several processes train at once, with the numbers
    of processes.
    """

    cases: Sequence[Case]
    shared: Sequence[tuple[Case, Sequence[int]]]
    seconds: float
    product: int
    pictures: tuple[int, int, int]
    features: tuple[int, int]
    codes: Sequence[tuple[int, int, int]]


CIFAR10 = [Case(f"cifar10-shaped, f={filters}, z=128", 32, filters, 128, 50_000) for filters in (32, 64, 128, 256)]
# The paper's sizes.
ON_A_GPU = Sizes(
    cases=[*CIFAR10, Case("celeba-shaped, f=128, z=64", 64, 128, 64, 20_000)],
    shared=[(CIFAR10[0], (1, 2, 4)), (CIFAR10[1], (1, 2))],
    seconds=4,
    product=8192,
    # Each one's own batch.
    pictures=(5_000, 250, 50),
    features=(10_000, 2048),
    codes=[(50_000, 128, 20), (50_000, 512, 5)],
)
# The same comparisons in minutes on two cores. What concerns GPUs alone is left out.
NARROW = [Case(f"cifar10-shaped, f={filters}, z=64", 32, filters, 64, 6_400) for filters in (8, 16)]
ON_A_CPU = Sizes(
    cases=NARROW,
    shared=[(NARROW[0], (1, 2))],
    seconds=12,
    product=2048,
    pictures=(64, 16, 16),
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

    # A process starts, and shorter runs come before the one that counts.
    loop = 6 + 1.2 * sizes.seconds
    # What takes long: on a CPU of one case alone.
    few = sizes.cases if gpu else sizes.cases[:1]
    for case in sizes.cases:
        for precision in PRECISIONS:
            name = f"this pipeline, {precision}"
            # No CPU has TF32.
            seconds = loop if gpu or precision != "tf32" else 4
            add("training", case.name, name, seconds, training.measure_pipeline, case, precision, default, effort)
        if case in few:
            name = "this pipeline, not deterministic"
            add("training", case.name, name, loop, training.measure_unrepeatable, case, default, effort)
            compilation = 50 + loop
            add("training", case.name, "torch.compile", compilation, training.measure_compiled, case, default, effort)
        add("training", case.name, "plain PyTorch loop", loop, training.measure_plain, case, effort)
        add("training", case.name, "Pythae", loop, training.measure_pythae, case, effort)
    for case, counts in sizes.shared:
        for count in counts:
            each = replace(effort, threads=max(1, threads // count))
            add("sharing", case.name, f"{count} at once", 5 + loop, sharing.measure_shared, case, default, count, each)
    images, ours, theirs = sizes.pictures
    case = f"{images:,} images"
    add("features", case, "this pipeline", 15, features.measure_pipeline, images, ours, gpu, threads)
    add("features", case, "pytorch-fid's way", 15, features.measure_pytorch_fid, images, theirs, gpu, threads)
    case = f"{sizes.features[0]:,} x {sizes.features[1]} features"
    add("Fréchet distance", case, "pytorch-fid", 40, distances.measure_distances, *sizes.features, gpu, threads)
    for codes in sizes.codes:
        case = f"{codes[0]:,} x {codes[1]}"
        add("mixture", case, "this pipeline", 10, mixtures.measure_pipeline, *codes, gpu, threads)
        add("mixture", case, "scikit-learn", 10, mixtures.measure_scikit_learn, *codes)
    add("planning", "whole grid", "snakemake --dry-run", 15, jobs.measure_planning, str(CONFIG))
    for label in jobs.KINDS:
        add("start-up", "a job", label, 6, jobs.measure_start_up, label, gpu)
    add("start-up", "a job", "(Snakemake's part alone)", 1, jobs.measure_snakemakes_part)
    if gpu:
        add("start-up", "a job", jobs.CUDA_CONTEXT, 10, jobs.measure_cuda_context)
    return found
