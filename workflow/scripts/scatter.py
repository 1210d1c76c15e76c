"""Figures A.1 and A.2: codes of training images in two random latent dimensions (rule scatter)."""

from autoencoders.evidence.short_trainings import short_training_note, steps_of
from autoencoders.figures.figure_page import write_figure_page
from autoencoders.figures.page_style import save
from autoencoders.figures.scatter import Cloud, scatter
from autoencoders.jobs.files import read_json, read_npy
from autoencoders.jobs.job import job

if __name__ == "__main__":
    with job(snakemake.log[0]):
        params = snakemake.params
        clouds = [
            Cloud(*labels, read_npy(path)) for labels, path in zip(params.clouds, snakemake.input.codes, strict=True)
        ]
        note = short_training_note(steps_of(read_json(path)) for path in snakemake.input.cells)
        save(scatter(clouds, params.seed, params.models, note), snakemake.output.pdf, snakemake.output.png)
        output = snakemake.output
        write_figure_page(output.html, output.png, params.title, snakemake.input.caption, snakemake.wildcards)
