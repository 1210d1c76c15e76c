"""Draw a grid of 10 x 10 test images (rule preview_dataset).

They are chosen at random, with a fixed seed: in a folder dataset, the first ones are all of one class.
"""

from autoencoders.data.prepared_images import evaluation_subset, load_images
from autoencoders.figures.tiles import tile, write_png
from autoencoders.jobs.job import job

if __name__ == "__main__":
    with job(snakemake.log[0]):
        images = load_images(snakemake.input.test)
        write_png(snakemake.output[0], tile(images[evaluation_subset(len(images), 100, seed=0)], columns=10))
