"""Train the network whose features score a dataset (rule train_extractor).

Writes its weights, and a record of its accuracy.
"""

from autoencoders.data.prepared_images import load_images, load_labels
from autoencoders.jobs import kinds
from autoencoders.jobs.device import describe, open_device
from autoencoders.jobs.errors import UserError
from autoencoders.jobs.files import FORMAT, write_json
from autoencoders.jobs.job import job
from autoencoders.jobs.tensor_files import write_tensors
from autoencoders.networks.numerics import repeatable

if __name__ == "__main__":
    with job(snakemake.log[0]):
        name, dataset, splits = snakemake.wildcards.extractor, snakemake.wildcards.dataset, ("train", "test")
        extractor = kinds.load("extractors", snakemake.config["extractors"][name]["kind"])
        options, seed = kinds.complete(snakemake.params.options, extractor.OPTIONS), snakemake.params.seed
        labels = {split: load_labels(snakemake.input[split]) for split in splits}
        if kinds.needs(extractor, "NEEDS_LABELS", False) and any(found is None for found in labels.values()):
            raise UserError(
                f"the dataset {dataset} has no labels, so the extractor {name} can't be trained on it: "
                "name its label column, or choose another extractor for this dataset"
            )
        repeatable(snakemake.threads)
        device = open_device(snakemake.resources.gpu, snakemake.threads, snakemake.config["cells_per_gpu"])
        images = {split: load_images(snakemake.input[split]) for split in splits}
        tensors, record = extractor.train(images, labels, options, seed, device)
        arrays = {name: tensor.numpy(force=True) for name, tensor in tensors.items()}
        write_tensors(snakemake.output.weights, "extractor", arrays, {"format": FORMAT})
        made_by = {"dataset": dataset, "options": options, "seed": seed, "device": describe(device)}
        write_json(snakemake.output.info, record | made_by)
