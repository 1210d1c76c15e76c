"""Split the prepared training images of a dataset into those of its validation dataset (rule prepare_validation).

Writes train.npz and test.npz (images uint8 (N, 3, S, S), labels int64 (N,) if there are any) and dataset.json.
"""

from autoencoders.data.prepared_images import load_images, load_labels
from autoencoders.data.validation_split import describe_held_out, hold_out
from autoencoders.jobs.files import read_json, write_json, write_npz
from autoencoders.jobs.job import job

if __name__ == "__main__":
    with job(snakemake.log[0]):
        train, split = snakemake.input.train, snakemake.params.split
        arrays = hold_out(load_images(train), load_labels(train), split["test_fraction"], split["limit"])
        for name in arrays:
            write_npz(snakemake.output[name], arrays[name])
        record = describe_held_out(read_json(snakemake.input.info), split["validation_of"], arrays)
        write_json(snakemake.output.info, record)
