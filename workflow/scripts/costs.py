"""What every cell cost: seconds, speed, memory, energy (rule costs).

Benchmark files are read where they are, and are no inputs: deleting them must compute nothing again.
"""

from pathlib import Path

from autoencoders.cell_records import cell_records, costs_sections, costs_table, job_seconds
from autoencoders.files import read_json
from autoencoders.job import job
from autoencoders.rendering import write_table

if __name__ == "__main__":
    with job(snakemake):
        records = {Path(path).parent: read_json(path) for path in snakemake.input.cells}
        priors, datasets = snakemake.config["priors"], snakemake.config["datasets"]
        seconds = []
        for folder, record in records.items():
            # Not from the config: a workflow that uses this one as a module may put a prefix before all results.
            cells = folder.parents[2]
            cell = folder.relative_to(cells).as_posix()
            extractors = datasets[record["cell"]["dataset"]]["extractors"]
            spent = job_seconds(cells.with_name("benchmarks"), cell, priors, extractors, record["earlier_seconds"])
            seconds.append({**record["cell"], **spent})
        table = costs_table(cell_records(records.values()), seconds)
        write_table(table, "Costs", snakemake.output, costs_sections(table))
