"""Table 1 of the paper: the experiments, written from the config (rule table1)."""

from autoencoders.experiments import table1, table1_sections
from autoencoders.job import job
from autoencoders.rendering import write_table

if __name__ == "__main__":
    with job(snakemake):
        table = table1(snakemake.params.experiments)
        write_table(table, "Table 1: experiments", snakemake.output, table1_sections(table))
