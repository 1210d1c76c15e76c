"""Images of one cell: test images above their reconstructions, and steps between test images (rule pictures).

A note says so if the cell was trained for a few steps only.
"""

from autoencoders.evidence.short_trainings import short_training_note, steps_of
from autoencoders.figures.cell_pictures import cell_name, interpolation_page, reconstruction_page
from autoencoders.figures.page_style import save
from autoencoders.jobs.files import read_json, read_npz
from autoencoders.jobs.job import job

# As few as show a network: the report holds the pictures of hundreds of cells.
PAIRS, ROWS = 22, 6

if __name__ == "__main__":
    with job(snakemake.log[0]):
        gallery, record = read_npz(snakemake.input.gallery), read_json(snakemake.input.cell)
        title, note = cell_name(record["cell"]), short_training_note([steps_of(record)])
        originals, reconstructions = (gallery[name][:PAIRS] for name in ("test_recon_originals", "test_recon"))
        save(reconstruction_page(title, originals, reconstructions, note), snakemake.output.reconstructions)
        interpolations = interpolation_page(title, gallery["step_ends"][:ROWS], gallery["steps"][:ROWS], note)
        save(interpolations, snakemake.output.interpolations)
