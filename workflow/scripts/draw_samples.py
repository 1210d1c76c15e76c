"""Samples of one cell from every prior, with their scores, below test images (rules draw_samples and
draw_unscored_samples).

A note says so if the cell was trained for a few steps only.
"""

import pandas as pd

from autoencoders.evidence.short_trainings import short_training_note, steps_of
from autoencoders.figures.cell_pictures import cell_name, sample_page
from autoencoders.figures.page_style import save
from autoencoders.jobs.files import read_json, read_npz
from autoencoders.jobs.job import job
from autoencoders.jobs.parquet_tables import read_parquet

# Of each prior.
SAMPLES = 33

if __name__ == "__main__":
    with job(snakemake.log[0]):
        gallery, record = read_npz(snakemake.input.gallery), read_json(snakemake.input.cell)
        samples = {prior: gallery[prior][:SAMPLES] for prior in snakemake.params.priors}
        scores = [read_parquet(path) for path in snakemake.input.get("scores", [])]
        table = pd.concat(scores) if scores else pd.DataFrame(columns=["comparison", "measure", "value"])
        note = short_training_note([steps_of(record)])
        figure = sample_page(cell_name(record["cell"]), gallery["test_recon_originals"], samples, table, note)
        save(figure, snakemake.output[0])
