"""Make the image sets of one cell (rule sample): reconstructions, and decoded samples of every prior.

Each is uint8 (n, 3, S, S), named after its metric. The reconstructed images are those of the evaluation subsets: for
the test split the ones that the reference statistics are computed on.
"""

from pathlib import Path

import numpy as np

from autoencoders.dataset import evaluation_subset, load_images
from autoencoders.device import setup
from autoencoders.files import read_json, read_npz, write_npy, write_npz
from autoencoders.inference import decode, encode
from autoencoders.job import job
from autoencoders.sampling import sample_prior
from autoencoders.weights import load_weights

# How many of each set stay in the gallery.
GALLERY = 40

if __name__ == "__main__":
    with job(snakemake):
        params, seed = snakemake.params, int(snakemake.wildcards.seed)
        # No param: it changes the memory that is needed, and no result.
        batch_size = snakemake.config["scoring"]["batch_size"]
        device = setup(snakemake.resources.gpu, snakemake.threads)
        network = load_weights(snakemake.input.weights, device)
        diverged = read_json(snakemake.input.cell)["status"] == "diverged"
        splits = {"train_recon": snakemake.input.train, "test_recon": snakemake.input.test}
        priors = {Path(file).stem: file for file in snakemake.input.priors}
        gallery = {}
        for path in snakemake.output.images:
            metric = Path(path).stem
            if diverged:
                codes = np.empty((0, network.options.latent), np.float32)
            elif metric in splits:
                originals = load_images(splits[metric])
                originals = originals[evaluation_subset(len(originals), params.images, params.seed)]
                gallery[f"{metric}_originals"] = originals[:GALLERY]
                codes = encode(network, originals, batch_size, device)
            else:
                codes = sample_prior(read_npz(priors[metric]), params.images, seed, metric)
            images = decode(network, codes, batch_size, device)
            gallery[metric] = images[:GALLERY]
            write_npy(path, images)
        write_npz(snakemake.output.gallery, gallery)
