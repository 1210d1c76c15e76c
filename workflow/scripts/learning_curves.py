"""The losses of every epoch of a dataset's cells, as curves (rule learning_curves)."""

from autoencoders.figures.figure_page import write_figure_page
from autoencoders.figures.learning_curves import learning_curves, learning_curves_figure
from autoencoders.figures.page_style import save
from autoencoders.jobs.files import read_json
from autoencoders.jobs.job import job
from autoencoders.jobs.parquet_tables import read_parquet

if __name__ == "__main__":
    with job(snakemake.log[0]):
        cells = zip(snakemake.input.cells, snakemake.input.histories, strict=True)
        curves = learning_curves((read_json(cell), read_parquet(history)) for cell, history in cells)
        params = snakemake.params
        figure = learning_curves_figure(curves, params.comparison_latent, params.models)
        save(figure, snakemake.output.pdf, snakemake.output.png)
        output = snakemake.output
        write_figure_page(output.html, output.png, params.title, snakemake.input.caption, snakemake.wildcards)
