"""Score one cell: the Fréchet distances of its image sets to the dataset's references (rule score).

A cell that diverged gets its rows too, with that status and no distance.
"""

import math
from pathlib import Path

from autoencoders.device import setup
from autoencoders.features import load_extractor
from autoencoders.files import file_sha256, read_json, read_npy
from autoencoders.inception import recorded_name
from autoencoders.job import job
from autoencoders.parquet import write_parquet
from autoencoders.published import setting
from autoencoders.scoring import identified, read_reference, score_cell

if __name__ == "__main__":
    with job(snakemake):
        extractor, weights = snakemake.wildcards.extractor, snakemake.input.extractor
        record = read_json(snakemake.input.cell)
        device = setup(snakemake.resources.gpu, snakemake.threads, snakemake.config["cells_per_gpu"])
        network = load_extractor(extractor, weights, device) if record["status"] == "ok" else None
        weights_sha256 = file_sha256(weights)
        # {extractor}-{split}.npz
        references = {
            Path(path).stem.rsplit("-", 1)[1]: read_reference(path, weights_sha256, device)
            for path in snakemake.input.references
        }
        image_sets = {Path(path).stem: read_npy(path) for path in snakemake.input.images}
        # No param: it changes the memory that is needed, and no result.
        batch_size = snakemake.config["scoring"]["batch_size"]
        comparisons = snakemake.params.comparisons
        scores = score_cell(record["status"], image_sets, comparisons, references, network, batch_size, device)
        classifier = read_json(snakemake.input.classifier) if extractor == "classifier" else {}
        circumstances = {
            "model": snakemake.wildcards.model,
            "options": record["network"] | record["objective"] | {"frozen_latent": record["frozen_latent"]},
            "prepared": (record["dataset"]["size"], record["dataset"]["crop"]),
            "training": record["training"],
            # No param: a prior that changes has its images made again, and scored.
            "priors": snakemake.config["priors"],
            "trained_on": record["training_images"],
            "reference": references["test"][0].count,
            "scored": scores["images"].max(),
        }
        scores = identified(
            scores,
            snakemake.params.cell,
            setting(snakemake.wildcards.dataset, **circumstances),
            recorded_name(extractor, weights_sha256),
            *(classifier.get(key, math.nan) for key in ("test_accuracy", "commonest_class")),
        )
        write_parquet(snakemake.output[0], scores)
