"""Images of one cell: test images above their reconstructions, and samples of every prior (rule grids)."""

from pathlib import Path

from autoencoders.dataset import evaluation_subset, load_images
from autoencoders.files import read_npy
from autoencoders.image_grids import reconstruction_grid, sample_grid
from autoencoders.job import job
from autoencoders.style import save

PER_ROW = 10
PAIRS = 30
# The samples are in no order (those of a mixture are shuffled), so the first ones are as good as any.
SAMPLES = 40

if __name__ == "__main__":
    with job(snakemake):
        originals = load_images(snakemake.input.originals)
        scoring = snakemake.params.scoring
        subset = evaluation_subset(len(originals), scoring["images"], scoring["seed"])[:PAIRS]
        reconstructions = read_npy(snakemake.input.reconstructions)[:PAIRS]
        save(reconstruction_grid(originals[subset], reconstructions, PER_ROW), snakemake.output.reconstructions)

        # Copies: a slice would keep all 10,000 images of every prior in memory.
        samples = {Path(path).stem: read_npy(path)[:SAMPLES].copy() for path in snakemake.input.samples}
        save(sample_grid(samples, PER_ROW), snakemake.output.samples)
