"""`make bench`: this pipeline beside what one would use instead, measured in one run on this machine.

Prints a page and writes it to results/benchmark/benchmark.md, and its numbers to benchmark.parquet there. Ends with an
error that names them where comparisons failed.
"""

import sys
from pathlib import Path

WORKFLOW = Path(__file__).resolve().parents[1]
# In place of this folder itself, whose modules would get a second name each.
sys.path[:1] = [str(WORKFLOW), str(WORKFLOW / "scripts")]

import torch  # noqa: E402
from benchmark import machine, plan, projection, report  # noqa: E402
from benchmark.comparison import Comparison, failures, isolated  # noqa: E402
from benchmark.run import run  # noqa: E402

if __name__ == "__main__":
    gpu, threads = int(torch.cuda.is_available()), machine.cpu_threads()
    sizes = plan.ON_A_GPU if gpu else plan.ON_A_CPU
    # This process leaves the GPU alone, for the others to use.
    circumstances = isolated(machine.circumstances, gpu, threads)
    rows = run(plan.plan(sizes, gpu, threads))
    grid = Comparison("projection", "the whole grid", "", 5, projection.project, (rows, sizes.cases, plan.CONFIG))
    rows += run([grid])
    folder = Path("results/benchmark")
    print("\n" + report.save(folder, report.with_ratios(rows), circumstances))
    print(f"This page is {folder}/benchmark.md; its numbers are in benchmark.parquet beside it.")
    if failed := failures(rows):
        sys.exit("\n".join(["Failed:", *failed]))
