"""`make bench`: the speed of this pipeline and of its alternatives, measured in one run on this machine.

Prints a page and writes it to results/benchmark/benchmark.md, and its numbers to benchmark.parquet in the same folder.
Exits with an error if a comparison failed and its contender is not optional.
"""

import sys
from pathlib import Path

from benchmark import machine, plan, projection, report
from benchmark.comparison import Comparison, isolated, measure_all

if __name__ == "__main__":
    here = machine.this_machine()
    sizes = plan.ON_A_GPU if here.gpu else plan.ON_A_CPU
    # In a separate process: this one leaves the GPU to the measurements.
    circumstances = isolated(machine.circumstances, here)
    rows = measure_all(plan.plan(sizes, here))
    grid = Comparison("projection", "the whole grid", "", projection.project, (rows, sizes.cases, plan.CONFIG))
    rows += measure_all([grid])
    folder = Path("results/benchmark")
    print("\n" + report.save(folder, report.with_ratios(rows), circumstances))
    print(f"This page is {folder}/benchmark.md; its numbers are in benchmark.parquet in the same folder.")
    if failed := [
        f"{row['section']}, {row['case']}, {row['contender']}: {row['note']}" for row in rows if row["failed"]
    ]:
        sys.exit("\n".join(["Failed:", *failed]))
