"""Table 2 of the paper: models compared at one latent size a dataset, all metrics (rule table2)."""

import pandas as pd

from autoencoders.job import job
from autoencoders.published import read_published
from autoencoders.tables import lowest, table2, to_markdown, write_table

if __name__ == "__main__":
    with job(snakemake):
        table = table2(
            pd.read_parquet(snakemake.input.scores),
            read_published(snakemake.input.published),
            snakemake.params.comparison_latent,
        )
        markdown = to_markdown(table, lowest(table))
        write_table(table, markdown, snakemake.output.parquet, snakemake.output.csv, snakemake.output.md)
