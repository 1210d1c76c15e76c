"""The cost of every cell: seconds, speed, memory, energy (rule costs).

Benchmark files are read but are not inputs of the rule: deleting them must rerun nothing.
"""

from pathlib import Path

from autoencoders.config.grid import model_priors
from autoencoders.evidence.cell_tables import cell_records, costs_sections, costs_table, job_seconds
from autoencoders.evidence.table_files import write_table
from autoencoders.jobs import kinds
from autoencoders.jobs.files import read_json
from autoencoders.jobs.job import job

if __name__ == "__main__":
    with job(snakemake.log[0]):
        records = {Path(path).parent: read_json(path) for path in snakemake.input.cells}
        datasets = snakemake.config["datasets"]
        seconds = []
        for folder, record in records.items():
            # Not from the config: a workflow that uses this one as a module may add a prefix to all results.
            cells = folder.parents[2]
            cell = folder.relative_to(cells).as_posix()
            # Whether each prior is fitted on a GPU.
            priors = {
                name: kinds.needs(kinds.load("priors", entry["kind"]), "GPU", False)
                for name, entry in model_priors(snakemake.config, record["cell"]["model"]).items()
            }
            extractors = datasets[record["cell"]["dataset"]]["extractors"]
            spent = job_seconds(cells.with_name("benchmarks"), cell, priors, extractors, record["earlier_seconds"])
            seconds.append({**record["cell"], **spent})
        table = costs_table(cell_records(records.values()), seconds)
        write_table(table, "Costs", snakemake.output, costs_sections(table))
