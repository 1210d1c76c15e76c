"""How Gaussian the codes are, against width and depth (rule latent_figure)."""

import pandas as pd

from autoencoders.config.grid import CELL_KEYS
from autoencoders.evidence.short_trainings import steps_of
from autoencoders.figures.figure_page import write_figure_page
from autoencoders.figures.latent_figure import latent_statistics_figure
from autoencoders.figures.page_style import save
from autoencoders.jobs.files import read_json
from autoencoders.jobs.job import job
from autoencoders.jobs.parquet_tables import read_parquet

if __name__ == "__main__":
    with job(snakemake.log[0]):
        records = map(read_json, snakemake.input.cells)
        steps = pd.DataFrame([{**record["cell"], "steps": steps_of(record)} for record in records])
        table = read_parquet(snakemake.input.statistics).merge(steps, on=list(CELL_KEYS), validate="one_to_one")
        figure = latent_statistics_figure(table, snakemake.params.comparison_latent)
        save(figure, snakemake.output.pdf, snakemake.output.png)
        params, output = snakemake.params, snakemake.output
        write_figure_page(output.html, output.png, params.title, snakemake.input.caption, snakemake.wildcards)
