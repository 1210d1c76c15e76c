"""What Snakemake and Python take before a job's own work begins: planning the grid, and starting a job."""

import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmark.comparison import Row

PROJECT = Path(__file__).parents[2]
# The imports of a training: Snakemake's, its script's, whose own work is guarded, and that of the table that it writes.
START = f"""
import sys
sys.path.insert(0, {str(PROJECT / "workflow" / "scripts")!r})
import snakemake.script, train, pyarrow.parquet
"""
FIRST_USE = "import torch; torch.zeros(1, device='cuda').item()"


def output(*arguments: str) -> str:
    """What Python prints. Raises RuntimeError with its last line if it fails."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "cwd": PROJECT}
    done = subprocess.run([sys.executable, *arguments], **options)
    if done.returncode:
        raise RuntimeError(done.stdout.strip().splitlines()[-1])
    return done.stdout


def measure_start_up(gpu: int) -> list[Row]:
    """Seconds from the start of a training's process until its work begins, median of three."""
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        # Without the clean-up at Python's end.
        output("-c", f"{START}\n{FIRST_USE if gpu else ''}\nimport os; os._exit(0)")
        seconds.append(time.perf_counter() - started)
    note = "Python, Snakemake's part, all imports" + ", first use of the GPU" * gpu
    return [Row(statistics.median(seconds), "s", note)]


def measure_planning(config: Path) -> list[Row]:
    """A dry run of ``snakemake all`` in an empty results folder, which every command begins with; its jobs."""
    with tempfile.TemporaryDirectory() as folder:
        empty = Path(folder) / "empty.yaml"
        empty.write_text(f"pathvars: {{ results: {folder}/results, resources: {folder}/resources }}\n")
        options = ["--dry-run", "--cores", "1", "--resources", "gpu=1", "--configfile", str(config), str(empty)]
        started = time.perf_counter()
        printed = output("-m", "snakemake", "all", *options)
        seconds = time.perf_counter() - started
    # The last line of the table that it prints first.
    jobs = int(re.search(r"^total +(\d+)$", printed, flags=re.MULTILINE)[1])
    return [Row(seconds, "s", f"{1000 * seconds / jobs:.2g} ms a job"), Row(jobs, "jobs")]
