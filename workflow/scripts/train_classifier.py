"""Train the classifier that serves as a dataset's extractor (rule train_classifier).

Writes its weights, and a record of how well it classifies the test images: features of a classifier that has not
learnt its classes make a poor distance.
"""

import logging
import time

import numpy as np

from autoencoders.classifier import accuracy, number_of_classes, save_classifier, train_classifier
from autoencoders.dataset import load_images, load_labels
from autoencoders.device import describe, setup
from autoencoders.errors import UserError
from autoencoders.files import write_json
from autoencoders.job import job

if __name__ == "__main__":
    with job(snakemake):
        options, seed = snakemake.params.options, snakemake.params.seed
        labels, test_labels = load_labels(snakemake.input.train), load_labels(snakemake.input.test)
        if labels is None or test_labels is None:
            raise UserError(
                f"the dataset {snakemake.wildcards.dataset} has no labels, so that no classifier can be trained on it: "
                "name its label column, or write `extractors: [inception]` for this dataset"
            )
        classes = number_of_classes(labels)
        device = setup(snakemake.resources.gpu, snakemake.threads, snakemake.config["cells_per_gpu"])
        images = load_images(snakemake.input.train)
        start = time.monotonic()
        network = train_classifier(images, labels, classes, options, seed, device)
        seconds = time.monotonic() - start
        right = accuracy(network, load_images(snakemake.input.test), test_labels, options["batch_size"], device)
        logging.info("the classifier is right on %.1f%% of the test images", 100 * right)
        save_classifier(network, snakemake.output.weights)
        write_json(
            snakemake.output.info,
            {
                "dataset": snakemake.wildcards.dataset,
                "classes": classes,
                "training_images": len(images),
                "test_accuracy": right,
                # What naming one class always would get right.
                "commonest_class": float(np.bincount(test_labels).max() / len(test_labels)),
                "options": dict(options),
                "seed": seed,
                "seconds": seconds,
                "device": describe(device),
            },
        )
