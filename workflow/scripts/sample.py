"""Make the image sets of one cell (rule sample): reconstructions, and decoded samples of every prior.

Each is uint8 (n, 3, S, S), named after its metric. The reconstructed images are those of the evaluation subsets: for
the test split the ones that the reference statistics are computed on.
"""

from pathlib import Path

import numpy as np

from autoencoders.dataset import evaluation_subset, load_images
from autoencoders.device import setup
from autoencoders.files import read_json, read_npz, write_npy
from autoencoders.inference import decode, encode
from autoencoders.job import job
from autoencoders.sampling import sample_prior
from autoencoders.weights import load_weights

if __name__ == "__main__":
    with job(snakemake):
        scoring, seed = snakemake.params.scoring, int(snakemake.wildcards.seed)
        device = setup(snakemake.resources.gpu, snakemake.threads)
        network = load_weights(snakemake.input.weights, device)
        diverged = read_json(snakemake.input.cell)["status"] == "diverged"
        splits = {"train_recon": snakemake.input.train, "test_recon": snakemake.input.test}
        priors = {Path(file).stem: file for file in snakemake.input.priors}
        for path in snakemake.output.images:
            metric = Path(path).stem
            if diverged:
                codes = np.empty((0, network.options.latent), np.float32)
            elif metric in splits:
                images = load_images(splits[metric])
                images = images[evaluation_subset(len(images), scoring["images"], scoring["seed"])]
                codes = encode(network, images, scoring["batch_size"], device)
            else:
                codes = sample_prior(read_npz(priors[metric]), scoring["images"], seed, metric)
            write_npy(path, decode(network, codes, scoring["batch_size"], device))
