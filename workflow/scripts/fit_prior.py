"""Fit one prior on the codes of one cell (rule fit_prior); no arrays for a diverged cell.

An interrupted fit resumes from its checkpoint, if its kind keeps one; the checkpoint is deleted once the prior is
written.
"""

from pathlib import Path

from autoencoders.config.seeds import seed_globals
from autoencoders.jobs import kinds
from autoencoders.jobs.checkpoints import Checkpoint, checkpoint_key, remove_checkpoint
from autoencoders.jobs.errors import UserError
from autoencoders.jobs.files import read_npy, write_npz
from autoencoders.jobs.job import job
from autoencoders.jobs.provenance import package_versions

if __name__ == "__main__":
    with job(snakemake.log[0]):
        device = None
        if snakemake.resources.gpu:
            # Imported here: they import PyTorch, which takes two seconds, and only fits on a GPU need it.
            from autoencoders.jobs.device import open_device
            from autoencoders.networks.numerics import repeatable

            repeatable(snakemake.threads)
            device = open_device(snakemake.resources.gpu, snakemake.threads, snakemake.config["cells_per_gpu"]).type
        params, seed, output = snakemake.params, int(snakemake.wildcards.seed), snakemake.output[0]
        prior = kinds.load("priors", params.prior["kind"])
        path = Path(output).with_suffix(".checkpoint.safetensors")

        def key() -> str:
            used = ("python", "numpy", "scipy", "scikit-learn", "torch")
            versions = {package: version for package, version in package_versions().items() if package in used}
            circumstances = {"prior": params.prior, "seed": seed, "device": device, "versions": versions}
            return checkpoint_key(circumstances, [*snakemake.input, Path(snakemake.scriptdir, "fit_prior.py")])

        checkpoint = Checkpoint(path, key, snakemake.config["checkpoint_minutes"])
        seed_globals(seed, f"fit/{snakemake.wildcards.prior}")
        codes, arrays = read_npy(snakemake.input.codes), {}
        if len(codes):
            options = kinds.complete(params.prior, kinds.options(prior))
            arrays = prior.fit(codes, options, seed=seed, device=device, checkpoint=checkpoint)
            if not isinstance(arrays, dict) or not arrays:
                raise UserError(f"fit of {params.prior['kind']} must return a dict of arrays, but returned {arrays!r}.")
        write_npz(output, arrays)
        remove_checkpoint(path)
