"""Features of one split's images, or of all training images, and what measures prepare from them (rule reference)."""

import logging

from autoencoders.data.prepared_images import evaluation_subset, load_images
from autoencoders.jobs.device import open_device
from autoencoders.jobs.files import file_sha256, write_npz
from autoencoders.jobs.job import job
from autoencoders.networks.numerics import repeatable
from autoencoders.scores.cell_scores import read_reference, reference_arrays
from autoencoders.scores.features import load_classes, load_extractor

if __name__ == "__main__":
    with job(snakemake.log[0]):
        params, weights = snakemake.params, snakemake.input.extractor
        # Not a param: it changes the memory needed, but no result.
        batch_size = snakemake.config["scoring"]["batch_size"]
        repeatable(snakemake.threads)
        device = open_device(snakemake.resources.gpu, snakemake.threads, snakemake.config["cells_per_gpu"])
        images = load_images(snakemake.input.images)
        indices = evaluation_subset(len(images), params.images or len(images), params.seed)
        logging.info("the reference is %d of %d %s images", len(indices), len(images), snakemake.wildcards.split)
        stored = snakemake.input.test
        test = read_reference(stored, file_sha256(weights), device).features if stored else None
        entry = snakemake.config["extractors"][snakemake.wildcards.extractor]
        network, classes = load_extractor(entry, weights, device), load_classes(entry, weights, device, params.measures)
        arrays = reference_arrays(network, images[indices], weights, params.measures, batch_size, device, test, classes)
        write_npz(snakemake.output[0], {**arrays, "indices": indices})
