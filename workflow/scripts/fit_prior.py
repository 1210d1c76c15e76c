"""Fit one prior on the codes of one cell (rule fit_prior).

An interrupted fit of a mixture goes on from its checkpoint, which is deleted once the prior is written.
"""

import importlib.metadata
from pathlib import Path

from autoencoders.checkpoints import checkpoint_of, remove_checkpoint
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
        seed, output = int(snakemake.wildcards.seed), snakemake.output[0]
        path, checkpoint = Path(output).with_suffix(".checkpoint.safetensors"), None
        if snakemake.params.prior["kind"] == "gmm":
            versions = {package: importlib.metadata.version(package) for package in ("scikit-learn", "numpy", "torch")}
            checkpoint = checkpoint_of(snakemake, path, seed=seed, device=device, **versions)
        prior = fit_prior(read_npy(snakemake.input.codes), snakemake.params.prior, seed, device, checkpoint)
        write_npz(output, prior)
        remove_checkpoint(path)
