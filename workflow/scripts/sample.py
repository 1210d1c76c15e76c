"""Make the image sets of one cell (rule sample): reconstructions, decoded midpoints between codes, and decoded samples
of every prior.

Each is uint8 (n, 3, S, S). The reconstructed images are those of the evaluation subsets, the ones that the reference
statistics are computed on. Midpoints lie between the codes of those test images.
"""

from pathlib import Path

import numpy as np

from autoencoders.dataset import evaluation_subset, load_images
from autoencoders.device import setup
from autoencoders.files import read_json, read_npz, write_npy, write_npz
from autoencoders.inference import decode, encode
from autoencoders.job import job
from autoencoders.sampling import midpoints, sample_prior
from autoencoders.weights import load_weights

# How many of each set stay in the gallery.
GALLERY = 40

if __name__ == "__main__":
    with job(snakemake):
        params, seed = snakemake.params, int(snakemake.wildcards.seed)
        # No param: it changes the memory that is needed, and no result.
        batch_size = snakemake.config["scoring"]["batch_size"]
        device = setup(
            snakemake.resources.gpu,
            snakemake.threads,
            snakemake.config["cells_per_gpu"],
            tf32=snakemake.params.precision != "fp32",
        )
        network = load_weights(snakemake.input.weights, device)
        diverged = read_json(snakemake.input.cell)["status"] == "diverged"
        splits = {"train_recon": snakemake.input.train, "test_recon": snakemake.input.test}
        priors = {Path(file).stem: file for file in snakemake.input.priors}
        gallery, recon_codes = {}, {}
        for path in snakemake.output.images:
            name = Path(path).stem
            if diverged:
                codes = np.empty((0, network.options.latent), np.float32)
            elif name in splits:
                originals = load_images(splits[name])
                originals = originals[evaluation_subset(len(originals), params.images, params.seed)]
                gallery[f"{name}_originals"] = originals[:GALLERY]
                codes = recon_codes[name] = encode(network, originals, batch_size, device)
            elif name == "interpolation":
                # Follows test_recon in the outputs.
                codes = midpoints(recon_codes["test_recon"], seed)
            else:
                codes = sample_prior(read_npz(priors[name]), params.images, seed, name)
            images = decode(network, codes, batch_size, device)
            gallery[name] = images[:GALLERY]
            write_npy(path, images)
        write_npz(snakemake.output.gallery, gallery)
