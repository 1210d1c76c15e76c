"""Table 3 of the paper: the best latent size of every width, model and prior (rule table3)."""

from autoencoders.job import job
from autoencoders.parquet import read_parquet
from autoencoders.published import read_published
from autoencoders.rendering import write_table
from autoencoders.score_sections import table3_sections
from autoencoders.tables import table3

if __name__ == "__main__":
    with job(snakemake):
        scores = read_parquet(snakemake.input.scores)
        table = table3(scores, read_published(snakemake.input.published))
        write_table(
            table, "Table 3: models at their best latent size", snakemake.output, table3_sections(table, scores)
        )
