"""What Snakemake and Python take before a job's own work begins: planning the grid, and importing each script."""

import re
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmark.comparison import Row, row

PROJECT = Path(__file__).parents[2]
SCRIPTS = PROJECT / "workflow" / "scripts"
# What every script's job does first, to be handed its parameters.
SNAKEMAKES_PART = "from snakemake import script"
# What every script's job does last (autoencoders.jobs.job).
END = "from autoencoders.jobs.job import leave; leave(0)"
CUDA_CONTEXT = "(CUDA context)"


@dataclass(frozen=True)
class Kind:
    """A kind of job: its rule, after which the rule's script is called, whether it uses a GPU where there is one, and
    the libraries that are imported inside the functions that it calls.
    """

    rule: str
    gpu: bool
    later: tuple[str, ...] = ()


# What writes a table.
TABLE = ("pyarrow.parquet",)
# Kinds, with what they import themselves.
MIXTURE = ("autoencoders.latent.priors.gmm", "sklearn.cluster", "sklearn.mixture")
SCORE = (
    "autoencoders.scores.extractors.inception",
    "pytorch_fid.inception",
    "autoencoders.scores.measures.frechet",
)
# What there is a job of, or several, for every cell: their start-up is paid hundreds of times.
KINDS = {
    "train": Kind("train", gpu=True, later=TABLE),
    "encode": Kind("encode", gpu=True),
    "fit_prior": Kind("fit_prior", gpu=False, later=("autoencoders.latent.priors.mvg",)),
    "fit_prior (mixture)": Kind("fit_prior", gpu=True, later=MIXTURE),
    "latent_statistics": Kind("latent_statistics", gpu=False, later=TABLE),
    "sample": Kind("sample", gpu=True),
    "score (Inception)": Kind("score", gpu=True, later=(*SCORE, *TABLE)),
    "pictures": Kind("pictures", gpu=False),
}
PER_CELL = tuple(dict.fromkeys(kind.rule for kind in KINDS.values()))


def python(code: str, *paths: Path) -> str:
    """What ``code`` prints in a Python process of its own, with ``paths`` to import from."""
    code = "".join(f"import sys; sys.path.insert(0, {str(path)!r})\n" for path in paths) + code
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=PROJECT)
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    return done.stdout


def median_seconds(code: str, repeats: int = 3) -> float:
    """Seconds of a whole Python process that runs ``code``, median of ``repeats``."""
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        python(code, SCRIPTS)
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def imports(kind: Kind, gpu: int) -> str:
    """All imports of a job of this kind, as code. The script's own work is guarded, so that nothing of it runs."""
    # A GPU's job that does without PyTorch elsewhere imports it for that (fit_prior); the others do so anyway.
    device = ["autoencoders.jobs.device", "autoencoders.networks.numerics"] if gpu and kind.gpu else []
    return "\n".join([SNAKEMAKES_PART, *(f"import {module}" for module in (*device, kind.rule, *kind.later))])


def measure_start_up(label: str, gpu: int) -> list[Row]:
    """A process that does what every job of a kind does beside its work: Snakemake's part, all imports, and its end."""
    seconds = median_seconds(f"{imports(KINDS[label], gpu)}\n{END}")
    return [row("start-up", "a job", label, seconds, "s", note="with Snakemake's part, all imports, and its end")]


def measure_snakemakes_part() -> list[Row]:
    seconds = median_seconds(f"{SNAKEMAKES_PART}\n{END}")
    return [row("start-up", "a job", "(Snakemake's part alone)", seconds, "s", note="in each of the above")]


def measure_cuda_context() -> list[Row]:
    """The first use of the GPU in a process, which comes on top where a job has one."""
    code = (
        "import time, torch; started = time.perf_counter(); torch.zeros(1, device='cuda').item(); "
        "print(time.perf_counter() - started)"
    )
    seconds = statistics.median(float(python(code)) for _ in range(3))
    note = f"on top of {', '.join(label for label, kind in KINDS.items() if kind.gpu)}"
    return [row("start-up", "a job", CUDA_CONTEXT, seconds, "s", note=note)]


def planned(output: str) -> dict[str, int]:
    """Rule -> number of jobs, and "total", from the table that a dry run prints first."""
    table = output.split("Job stats:")[1].split("\n\n")[0]
    return {rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", table, flags=re.MULTILINE)}


def dry_run(*configs: str) -> tuple[float, dict[str, int]]:
    """Seconds and jobs of a dry run of everything that the configs ask for, as if nothing were there yet."""
    with tempfile.TemporaryDirectory() as folder:
        empty = Path(folder) / "empty.yaml"
        empty.write_text(f"pathvars: {{ results: {folder}/results, resources: {folder}/resources }}\n")
        command = [sys.executable, "-m", "snakemake", "all", "--dry-run", "--cores", "1", "--resources", "gpu=1"]
        started = time.perf_counter()
        done = subprocess.run(
            [*command, "--configfile", *configs, str(empty)],
            text=True,
            cwd=PROJECT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        seconds = time.perf_counter() - started
    if done.returncode:
        raise RuntimeError(done.stdout.strip().splitlines()[-1])
    return seconds, planned(done.stdout)


def measure_planning(*configs: str) -> list[Row]:
    """A dry run of the whole grid: what every command waits for before its first job."""
    seconds, jobs = dry_run(*configs)
    case = "snakemake --dry-run all"
    return [
        row("planning", case, "whole command", seconds, "s", note=f"{jobs['total']:,} jobs"),
        row("planning", case, "whole command", 1000 * seconds / jobs["total"], "ms/job"),
        *(row("planning", case, rule, jobs[rule], "jobs") for rule in PER_CELL),
    ]
