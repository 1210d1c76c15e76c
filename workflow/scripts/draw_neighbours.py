"""Those of a cell's samples that are nearest to a training image, each beside it (rule draw_neighbours).

A note says so if the cell was trained for a few steps only.
"""

from autoencoders.data.prepared_images import load_images
from autoencoders.evidence.short_trainings import short_training_note, steps_of
from autoencoders.figures.cell_pictures import cell_name, neighbour_page
from autoencoders.figures.page_style import save
from autoencoders.jobs.files import read_json, read_npz
from autoencoders.jobs.job import job

if __name__ == "__main__":
    with job(snakemake.log[0]):
        params, record = snakemake.params, read_json(snakemake.input.cell)
        gallery = read_npz(snakemake.input.gallery)
        neighbours = {
            extractor: read_npz(path)
            for extractor, path in zip(params.extractors, snakemake.input.neighbours, strict=True)
        }
        samples, note = {prior: gallery[prior] for prior in params.priors}, short_training_note([steps_of(record)])
        training = load_images(snakemake.input.train)
        save(neighbour_page(cell_name(record["cell"]), samples, neighbours, training, note), snakemake.output[0])
