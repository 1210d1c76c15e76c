"""Fit one prior on the codes of one cell (rule fit_prior)."""

from autoencoders.files import read_npy, write_npz
from autoencoders.job import job
from autoencoders.priors import fit_prior

if __name__ == "__main__":
    with job(snakemake):
        codes = read_npy(snakemake.input.codes)
        prior = fit_prior(codes, snakemake.params.prior, seed=int(snakemake.wildcards.seed))
        write_npz(snakemake.output[0], prior)
