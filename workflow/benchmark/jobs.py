"""The time before a job's own work begins: Snakemake plans the grid, and a process starts."""

import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmark.comparison import Row

PROJECT = Path(__file__).parents[2]
# What a training imports: Snakemake's part, its script (whose work is guarded by __main__), and the writer of tables.
START = f"""
import sys
sys.path.insert(0, {str(PROJECT / "workflow" / "scripts")!r})
import snakemake.script, train, pyarrow.parquet
"""
FIRST_USE = "import torch; torch.zeros(1, device='cuda').item()"


def output(*arguments: str) -> str:
    """What Python prints with these arguments. If it fails, raises RuntimeError with the last line."""
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
        # os._exit skips Python's clean-up.
        output("-c", f"{START}\n{FIRST_USE if gpu else ''}\nimport os; os._exit(0)")
        seconds.append(time.perf_counter() - started)
    note = "Python, Snakemake's part, all imports" + ", first use of the GPU" * gpu
    return [Row(statistics.median(seconds), "s", note)]


def measure_planning(config: Path) -> list[Row]:
    """Seconds and jobs of ``snakemake all --dry-run`` without results: every command begins with such planning."""
    with tempfile.TemporaryDirectory() as folder:
        empty = Path(folder) / "empty.yaml"
        empty.write_text(
            f"pathvars: {{ results: {folder}/results, resources: {folder}/resources }}\n", encoding="utf-8"
        )
        options = ["--dry-run", "--cores", "1", "--resources", "gpu=1", "--configfile", str(config), str(empty)]
        started = time.perf_counter()
        printed = output("-m", "snakemake", "all", *options)
        seconds = time.perf_counter() - started
    # From the last line of the table at the top.
    jobs = int(re.search(r"^total +(\d+)$", printed, flags=re.MULTILINE)[1])
    return [Row(seconds, "s", f"{1000 * seconds / jobs:.2g} ms a job"), Row(jobs, "jobs")]
