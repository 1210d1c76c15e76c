"""Score images made elsewhere as a cell's image sets are scored (rule score_external).

The columns are those of `scores.cell_scores` without the ones that describe a network; `model` is the images' name.
"""

from pathlib import Path

from autoencoders.config.seeds import seed_globals
from autoencoders.jobs.device import open_device
from autoencoders.jobs.files import file_sha256, read_json, read_npy
from autoencoders.jobs.job import job
from autoencoders.jobs.parquet_tables import write_parquet
from autoencoders.networks.numerics import repeatable
from autoencoders.scores.cell_scores import read_reference
from autoencoders.scores.external_scores import external_table, score_external
from autoencoders.scores.features import load_classes, load_extractor, recorded_name

if __name__ == "__main__":
    with job(snakemake.log[0]):
        params, weights, name = snakemake.params, snakemake.input.extractor, snakemake.wildcards.extractor
        entry = snakemake.config["extractors"][name]
        repeatable(snakemake.threads)
        device = open_device(snakemake.resources.gpu, snakemake.threads, snakemake.config["cells_per_gpu"])
        seed_globals(params.seed, "scores of own kinds")
        weights_sha256 = file_sha256(weights)
        # {extractor}-{split}.npz
        references = {
            Path(path).stem.rsplit("-", 1)[1]: read_reference(path, weights_sha256, device)
            for path in snakemake.input.references
        }
        scores = score_external(
            read_npy(snakemake.input.images),
            references,
            params.measures,
            load_extractor(entry, weights, device),
            # Not a param: it changes the memory needed, but no result.
            snakemake.config["scoring"]["batch_size"],
            device,
            params.seed,
            load_classes(entry, weights, device, params.measures),
        )
        record = read_json(snakemake.input.record) if snakemake.input.record else {}
        recorded = recorded_name(name, entry, weights_sha256)
        identity = {"dataset": params.dataset, "model": snakemake.wildcards.external, "extractor": recorded}
        worth = (record.get(key) for key in ("test_accuracy", "commonest_class"))
        write_parquet(snakemake.output[0], external_table(scores, identity, *worth))
