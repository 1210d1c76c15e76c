"""Collect how Gaussian the codes of all cells are in one table (rule collect_latent_statistics)."""

import pandas as pd

from autoencoders.evidence.cell_tables import CELL, latent_sections
from autoencoders.evidence.table_files import write_table
from autoencoders.jobs.job import job
from autoencoders.jobs.parquet_tables import read_parquet

if __name__ == "__main__":
    with job(snakemake.log[0]):
        rows = pd.concat([read_parquet(path) for path in snakemake.input.statistics], ignore_index=True)
        table = rows.sort_values(CELL, ignore_index=True)
        write_table(table, "How Gaussian the codes are", snakemake.output, latent_sections(table))
