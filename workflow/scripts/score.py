"""Score one cell: the Fréchet distance of each of its image sets to the dataset's reference (rule score).

A cell that diverged gets its rows too, with that status and no distance.
"""

from pathlib import Path

from autoencoders.device import setup
from autoencoders.features import load_extractor
from autoencoders.files import read_json, read_npy, write_parquet
from autoencoders.job import job
from autoencoders.scoring import identified, read_reference, score_cell

if __name__ == "__main__":
    with job(snakemake):
        extractor = snakemake.wildcards.extractor
        status = read_json(snakemake.input.cell)["status"]
        device = setup(snakemake.resources.gpu, snakemake.threads)
        network = load_extractor(extractor, snakemake.input.extractor, device) if status == "ok" else None
        reference, root = read_reference(snakemake.input.reference, snakemake.input.extractor)
        image_sets = {Path(path).stem: read_npy(path) for path in snakemake.input.images}
        scores = score_cell(status, image_sets, reference, root, network, snakemake.params.batch_size, device)
        write_parquet(snakemake.output[0], identified(scores, snakemake.params.cell, extractor))
