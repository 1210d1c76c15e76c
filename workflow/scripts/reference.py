"""Statistics of a split's images in an extractor's features (rule reference).

Computed once a dataset, extractor and split; every cell is scored against them. The root of the covariance, the costly
part of the Fréchet distance, is kept with them.
"""

import logging

from autoencoders.dataset import evaluation_subset, load_images
from autoencoders.device import setup
from autoencoders.features import load_extractor
from autoencoders.files import write_npz
from autoencoders.job import job
from autoencoders.scoring import reference_arrays

if __name__ == "__main__":
    with job(snakemake):
        params = snakemake.params
        # No param: it changes the memory that is needed, and no result.
        batch_size = snakemake.config["scoring"]["batch_size"]
        device = setup(snakemake.resources.gpu, snakemake.threads, snakemake.config["cells_per_gpu"])
        network = load_extractor(snakemake.wildcards.extractor, snakemake.input.extractor, device)
        images = load_images(snakemake.input.images)
        indices = evaluation_subset(len(images), params.images, params.seed)
        logging.info("the reference is %d of %d %s images", len(indices), len(images), snakemake.wildcards.split)
        result = reference_arrays(network, images[indices], snakemake.input.extractor, batch_size, device)
        write_npz(snakemake.output[0], {**result, "indices": indices})
