"""Crop, resize and split a dataset into uint8 arrays (rule prepare_dataset).

Writes train.npz and test.npz (images uint8 (N, 3, S, S), labels int64 (N,) if there are any) and dataset.json.
"""

from pathlib import Path

from autoencoders.data.preparation import describe, prepare
from autoencoders.jobs.files import write_json, write_npz
from autoencoders.jobs.job import job

if __name__ == "__main__":
    with job(snakemake.log[0]):
        # Downloads lie beside their manifest; other datasets need no folder.
        folders = [Path(manifest).with_suffix("") for manifest in snakemake.input.source]
        arrays = prepare(snakemake.params.dataset, folders[0] if folders else Path())
        for split in arrays:
            write_npz(snakemake.output[split], arrays[split])
        fingerprint = {"fingerprint": snakemake.params.fingerprint}
        write_json(snakemake.output.info, describe(snakemake.params.dataset, arrays) | fingerprint)
