"""Features of one split's images, and what measures prepare from them (rule reference)."""

import logging

from autoencoders.data.prepared_images import evaluation_subset, load_images
from autoencoders.jobs import kinds
from autoencoders.jobs.device import open_device
from autoencoders.jobs.files import write_npz
from autoencoders.jobs.job import job
from autoencoders.networks.numerics import repeatable
from autoencoders.scores.cell_scores import reference_arrays

if __name__ == "__main__":
    with job(snakemake.log[0]):
        params, weights = snakemake.params, snakemake.input.extractor
        # Not a param: it changes the memory needed, but no result.
        batch_size = snakemake.config["scoring"]["batch_size"]
        repeatable(snakemake.threads)
        device = open_device(snakemake.resources.gpu, snakemake.threads, snakemake.config["cells_per_gpu"])
        images = load_images(snakemake.input.images)
        indices = evaluation_subset(len(images), params.images, params.seed)
        logging.info("the reference is %d of %d %s images", len(indices), len(images), snakemake.wildcards.split)
        network = kinds.load("extractors", snakemake.wildcards.extractor).load(weights, device)
        arrays = reference_arrays(network, images[indices], weights, params.measures, batch_size, device)
        write_npz(snakemake.output[0], {**arrays, "indices": indices})
