"""What `make bench` compares, and at which sizes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import yaml
from benchmark import jobs, measures, methods, mixtures, scores, sharing, training
from benchmark.comparison import Comparison
from benchmark.loops import Case
from benchmark.machine import Machine

from autoencoders.config import settings

CONFIG = jobs.PROJECT / "config" / "config.yaml"


@dataclass(frozen=True)
class Sizes:
    """What a benchmark trains, for about ``seconds`` a contender, and what it scores and fits.

    ``shared`` are cases with the numbers of processes that train them at once; ``images`` is the number of images for
    Inception, our batch size and pytorch-fid's; ``features`` is (N, D), ``copies`` the number of training images that
    copies are looked for among; ``codes`` are (N, z, EM iterations). ``methods`` is the case that the cited methods
    train.
    """

    cases: Sequence[Case]
    shared: Sequence[tuple[Case, Sequence[int]]]
    seconds: float
    images: tuple[int, int, int]
    features: tuple[int, int]
    copies: int
    codes: Sequence[tuple[int, int, int]]
    methods: Case


# The channels of the decoder in the paper's run.
WIDE = 1024
CIFAR10 = [
    Case(f"cifar10-shaped, f={filters}, z=128", 32, filters, 128, 50_000, WIDE) for filters in (32, 64, 128, 256)
]
# The paper's sizes.
ON_A_GPU = Sizes(
    cases=[*CIFAR10, Case("celeba-shaped, f=128, z=64", 64, 128, 64, 20_000, WIDE)],
    shared=[(CIFAR10[0], (1, 2, 4)), (CIFAR10[1], (1, 2))],
    seconds=4,
    images=(5_000, 250, 50),
    features=(10_000, 2048),
    copies=50_000,
    codes=[(50_000, 128, 20), (50_000, 512, 5)],
    methods=CIFAR10[2],
)
# The same comparisons in minutes on two cores.
NARROW = [Case(f"cifar10-shaped, f={filters}, z=64", 32, filters, 64, 6_400) for filters in (8, 16)]
ON_A_CPU = Sizes(
    cases=NARROW,
    shared=[(NARROW[0], (1, 2))],
    seconds=12,
    images=(64, 16, 16),
    features=(10_000, 2048),
    copies=50_000,
    codes=[(20_000, 64, 20)],
    methods=Case("cifar10-shaped, f=16, z=128", 32, 16, 128, 128),
)


def plan(sizes: Sizes, machine: Machine) -> list[Comparison]:
    """Every comparison but the projection, which needs their rows."""
    config = settings.resolve(yaml.safe_load(CONFIG.read_text(encoding="utf-8")))
    default, seconds, found = config["models"][methods.PLAIN]["precision"], sizes.seconds, []

    def add(section: str, case: str, contender: str, measure, *arguments: object, optional: bool = False) -> None:
        found.append(Comparison(section, case, contender, measure, arguments, optional))

    for case in sizes.cases:
        # No CPU has TF32.
        for precision in ("bf16", "tf32", "fp32") if machine.gpu else ("bf16", "fp32"):
            options = (machine, case, precision, default, seconds)
            add("training", case.name, f"this pipeline, {precision}", training.measure_pipeline, *options)
        # Compilation takes a minute: on a CPU, one case is enough.
        if machine.gpu or case == sizes.cases[0]:
            name, options = "this pipeline, not deterministic", (machine, case, default, seconds)
            add("training", case.name, name, training.measure_nondeterministic, *options)
            name = "this pipeline, torch.compile"
            add("training", case.name, name, training.measure_compiled, *options, optional=True)
        add("training", case.name, "plain PyTorch loop", training.measure_plain, machine, case, seconds)
        add("training", case.name, "Pythae", training.measure_pythae, machine, case, seconds, optional=True)
    for case, counts in sizes.shared:
        for count in counts:
            arguments = (replace(machine, threads=max(1, machine.threads // count)), case, default, count, seconds)
            add("sharing", case.name, f"{count} at once", sharing.measure_shared, *arguments)
    arguments = (replace(machine, threads=1), sizes.methods, default, config, seconds)
    add("cited methods", sizes.methods.name, "", methods.measure_methods, *arguments)
    images, ours, theirs = sizes.images
    case = f"{images:,} images"
    add("features", case, "this pipeline", scores.measure_features, machine, "ours", images, ours)
    add("features", case, "pytorch-fid's way", scores.measure_features, machine, "theirs", images, theirs)
    if machine.gpu:
        which = "theirs without TF32"
        add(
            "features", case, "pytorch-fid's way, without TF32", scores.measure_features, machine, which, images, theirs
        )
    case = f"{sizes.features[0]:,} x {sizes.features[1]} features, from their moments"
    add("Fréchet distance", case, "", scores.measure_distances, machine, *sizes.features)
    case = f"{sizes.features[0]:,} x {sizes.features[1]} features"
    for names in measures.TOGETHER:
        these = f"{', '.join(names)}: {case}"
        add("measures", these, "this pipeline", measures.measure_ours, machine, names, *sizes.features)
        for name in set(names) & {"kid", "precision"}:
            arguments = (machine, name, *sizes.features)
            add("measures", these, "torch-fidelity", measures.measure_torch_fidelity, *arguments)
        if "precision" in names:
            add("measures", these, "prdc", measures.measure_prdc, *sizes.features)
    case = f"{', '.join(measures.COPIES)}: {case}, {sizes.copies:,} training images"
    add("measures", case, "this pipeline", measures.measure_copies, machine, *sizes.features, sizes.copies)
    for count, latent, iterations in sizes.codes:
        case = f"{count:,} x {latent}, k-means and {iterations} iterations"
        add("mixture", case, "this pipeline", mixtures.measure_pipeline, machine, count, latent, iterations)
        add("mixture", case, "scikit-learn on the CPU", mixtures.measure_scikit_learn, count, latent, iterations)
    add("planning", "the whole grid", "snakemake all --dry-run", jobs.measure_planning, CONFIG)
    add("start-up", "a job", "a training", jobs.measure_start_up, machine.gpu)
    return found
