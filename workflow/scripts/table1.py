"""Table 1 of the paper: the experiments, written from the config (rule table1)."""

from autoencoders.experiments import table1, table1_sections
from autoencoders.grid import experiment_cells
from autoencoders.job import job
from autoencoders.rendering import write_table

if __name__ == "__main__":
    with job(snakemake):
        config = snakemake.config
        table = table1({name: experiment_cells(config, name) for name in config["run"]})
        write_table(table, "Table 1: experiments", snakemake.output, table1_sections(table))
