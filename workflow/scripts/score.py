"""Score one cell: measures between its image sets and the dataset's references (rule score). If all training images are
a reference, also each image's nearest one of them.

A cell that diverged has rows too, with that status and without values.
"""

from pathlib import Path

from autoencoders.config.seeds import seed_globals
from autoencoders.jobs.device import open_device
from autoencoders.jobs.files import file_sha256, read_json, read_npy, write_npz
from autoencoders.jobs.job import job
from autoencoders.jobs.parquet_tables import write_parquet
from autoencoders.networks.numerics import repeatable
from autoencoders.scores.cell_scores import identified, read_reference, score_cell
from autoencoders.scores.features import load_classes, load_extractor, recorded_name

if __name__ == "__main__":
    with job(snakemake.log[0]):
        params, weights, name = snakemake.params, snakemake.input.extractor, snakemake.wildcards.extractor
        entry = snakemake.config["extractors"][name]
        status = read_json(snakemake.input.cell)["status"]
        repeatable(snakemake.threads)
        device = open_device(snakemake.resources.gpu, snakemake.threads, snakemake.config["cells_per_gpu"])
        seed_globals(params.cell["seed"], "scores of own kinds")
        network = classes = None
        if status == "ok":
            network = load_extractor(entry, weights, device)
            classes = load_classes(entry, weights, device, params.measures)
        weights_sha256 = file_sha256(weights)
        # {extractor}-{split}.npz
        references = {
            Path(path).stem.rsplit("-", 1)[1]: read_reference(path, weights_sha256, device)
            for path in snakemake.input.references
        }
        image_sets = {Path(path).stem: read_npy(path) for path in snakemake.input.images}
        # Not a param: it changes the memory needed, but no result.
        batch_size = snakemake.config["scoring"]["batch_size"]
        scores = score_cell(
            status,
            image_sets,
            params.comparisons,
            references,
            params.measures,
            network,
            batch_size,
            device,
            params.cell["seed"],
            classes,
        )
        record = read_json(snakemake.input.record) if snakemake.input.record else {}
        worth = (record.get(key) for key in ("test_accuracy", "commonest_class"))
        recorded = recorded_name(name, entry, weights_sha256)
        write_parquet(snakemake.output.scores, identified(scores.table, params.cell, recorded, *worth))
        if path := snakemake.output.get("neighbours"):
            # As small as they can be: one of these files a cell. No dataset has more images than an int32 counts.
            arrays = {}
            for name, (squared, index) in scores.nearest.items():
                arrays |= {f"{name}/distance": squared.sqrt().float().numpy(), f"{name}/index": index.int().numpy()}
            write_npz(path, arrays)
