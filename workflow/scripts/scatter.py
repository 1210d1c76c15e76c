"""Figures A.1 and A.2: codes of training images in two random latent dimensions (rule scatter)."""

from autoencoders.files import read_npy
from autoencoders.job import job
from autoencoders.scatter import scatter
from autoencoders.style import save

if __name__ == "__main__":
    with job(snakemake):
        params = snakemake.params
        models = [
            (label, variational, read_npy(path))
            for (label, variational), path in zip(params.models, snakemake.input.codes, strict=True)
        ]
        save(scatter(models, params.title, params.seed), snakemake.output.pdf, snakemake.output.png)
