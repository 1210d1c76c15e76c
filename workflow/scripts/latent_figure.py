"""How Gaussian the codes are, against width and depth (rule latent_figure)."""

from autoencoders.job import job
from autoencoders.latent_figure import latent_statistics_figure
from autoencoders.parquet import read_parquet
from autoencoders.style import save

if __name__ == "__main__":
    with job(snakemake):
        figure = latent_statistics_figure(read_parquet(snakemake.input.statistics), snakemake.params.comparison_latent)
        save(figure, snakemake.output.pdf, snakemake.output.png)
