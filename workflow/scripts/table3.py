"""Table 3 of the paper: the best latent size of every width, model and prior (rule table3)."""

from autoencoders.evidence.paper_values import read_published
from autoencoders.evidence.score_pages import table3_sections
from autoencoders.evidence.score_tables import table3
from autoencoders.evidence.table_files import write_table
from autoencoders.jobs.job import job
from autoencoders.jobs.parquet_tables import read_parquet

if __name__ == "__main__":
    with job(snakemake.log[0]):
        scores = read_parquet(snakemake.input.scores)
        table = table3(scores, read_published(snakemake.input.published))
        write_table(
            table, "Table 3: models at their best latent size", snakemake.output, table3_sections(table, scores)
        )
