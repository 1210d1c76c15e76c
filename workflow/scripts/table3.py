"""Table 3 of the paper: the best latent size of every width, model and prior (rule table3)."""

from autoencoders.evidence.external_rows import of_cells
from autoencoders.evidence.methods import with_untuned
from autoencoders.evidence.paper_values import read_published
from autoencoders.evidence.redraw_noise import redraw_noise
from autoencoders.evidence.score_pages import table3_sections
from autoencoders.evidence.score_tables import on_test_images, table3
from autoencoders.evidence.table_files import write_table
from autoencoders.jobs.job import job
from autoencoders.jobs.parquet_tables import read_parquet

if __name__ == "__main__":
    with job(snakemake.log[0]):
        scores = on_test_images(of_cells(read_parquet(snakemake.input.scores)), snakemake.config)
        published = read_published(snakemake.input.published)
        noise = redraw_noise(map(read_parquet, snakemake.input.redraws))
        table = with_untuned(table3(scores, published), snakemake.params.methods)
        title = "Table 3: models at their best latent size"
        write_table(table, title, snakemake.output, table3_sections(table, scores, published, noise))
