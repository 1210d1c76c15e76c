"""Table 1 of the paper: the experiments of the config (rule table1)."""

from autoencoders.config.grid import experiment_cells
from autoencoders.evidence.cell_tables import table1, table1_sections
from autoencoders.evidence.table_files import write_table
from autoencoders.jobs.job import job

if __name__ == "__main__":
    with job(snakemake.log[0]):
        config = snakemake.config
        table = table1({name: experiment_cells(config, name) for name in config["run"]})
        write_table(table, "Table 1: experiments", snakemake.output, table1_sections(table))
