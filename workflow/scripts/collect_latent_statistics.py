"""How Gaussian the codes of all cells are, in one table (rule collect_latent_statistics)."""

import pandas as pd

from autoencoders.cell_records import CELL, latent_sections
from autoencoders.job import job
from autoencoders.parquet import read_parquet
from autoencoders.rendering import write_table

if __name__ == "__main__":
    with job(snakemake):
        rows = pd.concat([read_parquet(path) for path in snakemake.input.statistics], ignore_index=True)
        table = rows.sort_values(CELL, ignore_index=True)
        write_table(table, "How Gaussian the codes are", snakemake.output, latent_sections(table))
