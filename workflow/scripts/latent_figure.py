"""How Gaussian the codes are, against width and depth (rule latent_figure)."""

from autoencoders.figures.latent_figure import latent_statistics_figure
from autoencoders.figures.page_style import save
from autoencoders.jobs.job import job
from autoencoders.jobs.parquet_tables import read_parquet

if __name__ == "__main__":
    with job(snakemake.log[0]):
        figure = latent_statistics_figure(read_parquet(snakemake.input.statistics), snakemake.params.comparison_latent)
        save(figure, snakemake.output.pdf, snakemake.output.png)
