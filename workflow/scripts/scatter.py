"""Figures A.1 and A.2: codes of training images in two random latent dimensions (rule scatter)."""

from autoencoders.figures.page_style import save
from autoencoders.figures.scatter import scatter
from autoencoders.jobs.files import read_npy
from autoencoders.jobs.job import job

if __name__ == "__main__":
    with job(snakemake.log[0]):
        params = snakemake.params
        models = [
            (label, variational, read_npy(path))
            for (label, variational), path in zip(params.models, snakemake.input.codes, strict=True)
        ]
        save(scatter(models, params.title, params.seed), snakemake.output.pdf, snakemake.output.png)
