"""Scores of samples that are drawn again from the priors of one cell of a dataset (rule redraw).

No rows if the cell diverged. The samples are not stored; one draw of one prior is in memory at a time.
"""

from functools import partial
from pathlib import Path

from autoencoders.jobs.device import open_device
from autoencoders.jobs.files import file_sha256, read_json, read_npz
from autoencoders.jobs.job import job
from autoencoders.jobs.parquet_tables import write_parquet
from autoencoders.networks.numerics import repeatable
from autoencoders.networks.weights import load_weights
from autoencoders.scores.cell_scores import read_reference
from autoencoders.scores.features import load_extractor, recorded_name
from autoencoders.scores.redraws import redraw, redraw_table, sample_score

if __name__ == "__main__":
    with job(snakemake.log[0]):
        params, inputs, threads = snakemake.params, snakemake.input, snakemake.threads
        name = snakemake.wildcards.extractor
        entry, weights_sha256 = snakemake.config["extractors"][name], file_sha256(inputs.extractor)
        repeatable(threads)
        device = open_device(snakemake.resources.gpu, threads, snakemake.config["cells_per_gpu"])
        values = []
        if read_json(inputs.cell)["status"] == "ok":
            network = load_weights(inputs.weights, device)
            extractor = load_extractor(entry, inputs.extractor, device)
            reference = read_reference(inputs.reference, weights_sha256, device)
            for path in inputs.priors:
                prior = Path(path).stem
                score = partial(
                    sample_score,
                    network,
                    prior,
                    snakemake.config["priors"][prior]["kind"],
                    read_npz(path),
                    params.images,
                    reference=reference,
                    measure=params.measure,
                    extractor=extractor,
                    # Not a param: it changes the memory needed, but no result.
                    batch_size=snakemake.config["scoring"]["batch_size"],
                    device=device,
                    threads=threads,
                    tf32=params.precision != "fp32",
                )
                values += redraw(score, prior, params.cell["seed"])
        recorded = recorded_name(name, entry, weights_sha256)
        write_parquet(snakemake.output[0], redraw_table(params.cell, recorded, values))
