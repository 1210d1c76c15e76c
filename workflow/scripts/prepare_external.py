"""Images made elsewhere as an image set to score (rule prepare_external).

Writes images.npy, uint8 (n, 3, S, S), and external.json. The pixels are those of the files.
"""

from autoencoders.data.external_images import count_copies, describe_external, image_set, read_external
from autoencoders.data.prepared_images import load_images
from autoencoders.jobs.files import write_json, write_npy
from autoencoders.jobs.job import job

if __name__ == "__main__":
    with job(snakemake.log[0]):
        params, output = snakemake.params, snakemake.output
        test = load_images(snakemake.input.test)
        every = read_external(params.source, test.shape[-1])
        images = image_set(every, params.images, params.seed)
        copied = count_copies(images, load_images(snakemake.input.train), test)
        write_npy(output.images, images)
        record = describe_external(images, len(every), copied)
        write_json(output.info, record | {"source": params.source, "fingerprint": params.fingerprint})
