"""Table 2 of the paper: models compared at one latent size a dataset (rule table2)."""

from autoencoders.job import job
from autoencoders.parquet import read_parquet
from autoencoders.published import read_published
from autoencoders.rendering import write_table
from autoencoders.score_sections import table2_sections
from autoencoders.tables import table2

if __name__ == "__main__":
    with job(snakemake):
        scores, published = read_parquet(snakemake.input.scores), read_published(snakemake.input.published)
        table = table2(scores, published, snakemake.params.comparison_latent)
        write_table(table, "Table 2: models at one latent size", snakemake.output, table2_sections(table, scores))
