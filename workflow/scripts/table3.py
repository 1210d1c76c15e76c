"""Table 3 of the paper: the best latent size of every width, model and prior (rule table3)."""

import pandas as pd

from autoencoders.job import job
from autoencoders.published import read_published
from autoencoders.tables import lowest_of_table3, table3, to_markdown, write_table

if __name__ == "__main__":
    with job(snakemake):
        table = table3(pd.read_parquet(snakemake.input.scores), read_published(snakemake.input.published))
        markdown = to_markdown(table, lowest_of_table3(table))
        write_table(table, markdown, snakemake.output.parquet, snakemake.output.csv, snakemake.output.md)
