"""Table 3 of the paper: the best latent size of every width, model and prior (rule table3)."""

import pandas as pd

from autoencoders.job import job
from autoencoders.published import read_published
from autoencoders.tables import lowest_of_table3, table3, write_table

if __name__ == "__main__":
    with job(snakemake):
        table = table3(pd.read_parquet(snakemake.input.scores), read_published(snakemake.input.published))
        write_table(table, "Table 3: models at their best latent size", snakemake.output, bold=lowest_of_table3(table))
