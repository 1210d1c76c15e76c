"""Encode all training images of one cell (rule encode): float32 (N, latent); no rows for a diverged cell."""

import numpy as np

from autoencoders.dataset import load_images
from autoencoders.device import setup
from autoencoders.files import read_json, write_npy
from autoencoders.inference import encode
from autoencoders.job import job
from autoencoders.weights import load_weights

if __name__ == "__main__":
    with job(snakemake):
        device = setup(snakemake.resources.gpu, snakemake.threads)
        network = load_weights(snakemake.input.weights, device)
        if read_json(snakemake.input.cell)["status"] == "diverged":
            codes = np.empty((0, network.options.latent), np.float32)
        else:
            # No param: it changes the memory that is needed, and no result.
            batch_size = snakemake.config["scoring"]["batch_size"]
            codes = encode(network, load_images(snakemake.input.train), batch_size, device)
        write_npy(snakemake.output[0], codes)
