"""Encode all images of one cell (rule encode): float32 (N, latent) per split; no rows for a diverged cell.

Deletes the checkpoint of the cell's training, since Snakemake has accepted the weights.
"""

import numpy as np

from autoencoders.config.seeds import stream_seed
from autoencoders.data.prepared_images import load_images
from autoencoders.jobs.checkpoints import remove_checkpoint, training_checkpoint
from autoencoders.jobs.device import open_device
from autoencoders.jobs.files import read_json, write_npy
from autoencoders.jobs.job import job
from autoencoders.latent.encode_decode import encode
from autoencoders.networks.numerics import repeatable
from autoencoders.networks.weights import load_weights

if __name__ == "__main__":
    with job(snakemake.log[0]):
        repeatable(snakemake.threads, tf32=snakemake.params.precision != "fp32")
        device = open_device(snakemake.resources.gpu, snakemake.threads, snakemake.config["cells_per_gpu"])
        network = load_weights(snakemake.input.weights, device)
        diverged = read_json(snakemake.input.cell)["status"] == "diverged"
        # Not a param: it changes the memory use, but no result.
        batch_size = snakemake.config["scoring"]["batch_size"]
        for split in ("train", "test"):
            codes, seed = np.empty((0, network.options.latent), np.float32), None
            if snakemake.params.codes == "sample":
                seed = stream_seed(int(snakemake.wildcards.seed), f"codes/{split}")
            if not diverged:
                codes = encode(network, load_images(snakemake.input[split]), batch_size, device, seed)
            write_npy(snakemake.output[split], codes)
        remove_checkpoint(training_checkpoint(snakemake.input.weights))
