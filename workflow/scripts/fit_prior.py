"""Fit one prior on the codes of one cell (rule fit_prior)."""

from autoencoders.files import read_npy, write_npz
from autoencoders.job import job
from autoencoders.priors import fit_prior

if __name__ == "__main__":
    with job(snakemake):
        device = None
        if snakemake.resources.gpu:
            # Imported here: it brings PyTorch, which takes two seconds, and only mixtures on a GPU need it.
            from autoencoders.device import setup

            device = setup(snakemake.resources.gpu, snakemake.threads, snakemake.config["cells_per_gpu"]).type
        codes = read_npy(snakemake.input.codes)
        prior = fit_prior(codes, snakemake.params.prior, int(snakemake.wildcards.seed), device)
        write_npz(snakemake.output[0], prior)
