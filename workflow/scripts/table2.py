"""Table 2 of the paper: models compared at one latent size per dataset (rules table2 and
table2_by_measure).
"""

from autoencoders.evidence.external_rows import add_external, of_cells, of_external
from autoencoders.evidence.measure_texts import FRECHET
from autoencoders.evidence.methods import with_native_priors, with_untuned
from autoencoders.evidence.paper_values import read_published
from autoencoders.evidence.redraw_noise import redraw_noise
from autoencoders.evidence.score_pages import table2_sections
from autoencoders.evidence.score_tables import of_measure, on_test_images, table2
from autoencoders.evidence.table_files import write_table
from autoencoders.jobs.job import job
from autoencoders.jobs.parquet_tables import read_parquet

if __name__ == "__main__":
    with job(snakemake.log[0]):
        scores = on_test_images(read_parquet(snakemake.input.scores), snakemake.config)
        published = read_published(snakemake.input.published)
        noise = redraw_noise(map(read_parquet, snakemake.input.redraws))
        measure = snakemake.wildcards.get("measure", FRECHET)
        cells = of_cells(scores)
        table = table2(cells, published, snakemake.params.comparison_latent, measure)
        table = add_external(table, of_measure(of_external(scores), measure))
        table = with_untuned(with_native_priors(table, snakemake.params.methods), snakemake.params.methods)
        title = "Table 2: models at one latent size" + f", {measure}" * (measure != FRECHET)
        write_table(table, title, snakemake.output, table2_sections(table, cells, published, noise, measure))
