"""Images of one cell: test images above their reconstructions, and samples of every prior (rule pictures).

A note says so if the cell was trained for a few steps only.
"""

from autoencoders.evidence.short_trainings import short_training_note, steps_of
from autoencoders.figures.cell_pictures import reconstruction_grid, sample_grid
from autoencoders.figures.page_style import save
from autoencoders.jobs.files import read_json, read_npz
from autoencoders.jobs.job import job

PER_ROW = 10
PAIRS = 30

if __name__ == "__main__":
    with job(snakemake.log[0]):
        gallery = read_npz(snakemake.input.gallery)
        note = short_training_note([steps_of(read_json(snakemake.input.cell))])
        reconstructions = gallery["test_recon"][:PAIRS]
        # A diverged cell has no reconstructions, and so no originals either.
        originals = gallery.get("test_recon_originals", reconstructions)[:PAIRS]
        save(reconstruction_grid(originals, reconstructions, PER_ROW, note), snakemake.output.reconstructions)
        samples = {prior: gallery[prior] for prior in snakemake.params.priors}
        save(sample_grid(samples, PER_ROW, note), snakemake.output.samples)
