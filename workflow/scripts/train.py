"""Train one cell (rule train).

Writes the final weights, the loss of every epoch, and a record of what was trained, where and how fast. If the loss
stops being finite, the cell has the status "diverged" and no codes, samples or scores; its rows stay in the tables.

An interrupted training resumes from its checkpoint, which lies beside its outputs. Rule encode deletes the checkpoint:
if Snakemake is killed before it has seen this job end, the job runs again and finds in the checkpoint that nothing is
left to do.
"""

import logging
from pathlib import Path

import pandas as pd
import torch

from autoencoders.config.seeds import seed_globals, stream_seed
from autoencoders.data.prepared_images import load_images
from autoencoders.jobs.checkpoints import Checkpoint, checkpoint_key, training_checkpoint
from autoencoders.jobs.device import describe, open_device, peak_memory, require_memory, software
from autoencoders.jobs.files import write_json
from autoencoders.jobs.gpu_slots import slots_per_gpu, training_slots
from autoencoders.jobs.job import job
from autoencoders.jobs.parquet_tables import write_parquet
from autoencoders.jobs.provenance import code_version, package_versions
from autoencoders.networks.network import Autoencoder, NetworkOptions, parameter_count, parse_depth
from autoencoders.networks.numerics import repeatable
from autoencoders.networks.objective import Objective
from autoencoders.networks.steps import FEW_STEPS, training_steps
from autoencoders.networks.training import TrainingOptions, train
from autoencoders.networks.weights import save_weights

if __name__ == "__main__":
    with job(snakemake.log[0]):
        params, output = snakemake.params, snakemake.output
        seed = params.cell["seed"]
        cells_per_gpu, filters = snakemake.config["cells_per_gpu"], params.network["filters"]
        repeatable(snakemake.threads, tf32=params.precision == "tf32")
        seed_globals(seed, "training of own kinds")
        device = open_device(snakemake.resources.gpu, snakemake.threads, cells_per_gpu, filters)
        network = Autoencoder(
            NetworkOptions(**{**params.network, "depth": parse_depth(params.network["depth"])}),
            seed=stream_seed(seed, "initial weights"),
        )
        options = TrainingOptions(
            params.training["epochs"],
            params.training["batch_size"],
            tuple((step["epoch"], step["rate"]) for step in params.training["learning_rate"]),
            params.frozen_latent,
            params.precision,
        )
        images = load_images(snakemake.input.train)
        require_memory(device, snakemake.resources.gpu_mb)
        steps = training_steps(len(images), options.epochs, options.batch_size)
        if steps < FEW_STEPS:
            logging.getLogger(__name__).warning(
                "only %d optimiser steps: below %d, batch normalisation lags behind the weights, and pictures and "
                "scores mean little. Raise training.epochs, lower training.batch_size, or use more images.",
                *(steps, FEW_STEPS),
            )
        # Other versions of PyTorch may round differently, and other kinds of device have other random generators.
        circumstances = {**dict(params.items()), "torch": torch.__version__, "device": device.type}
        key = checkpoint_key(circumstances, [*snakemake.input, Path(snakemake.scriptdir, "train.py")])
        checkpoint = Checkpoint(training_checkpoint(output.weights), key, snakemake.config["checkpoint_minutes"])
        result = train(network, images, options, Objective(**params.objective), seed, device, checkpoint)
        # The counter covers the whole GPU: for a cell that shares one, it would mostly count other cells.
        alone = training_slots(cells_per_gpu, filters) == slots_per_gpu(cells_per_gpu)
        save_weights(output.weights, network)
        write_parquet(output.history, pd.DataFrame(result.history))
        write_json(
            output.cell,
            {
                "cell": params.cell,
                "status": result.status,
                "network": params.network,
                "objective": {"penalties": {}} | params.objective,
                "frozen_latent": params.frozen_latent,
                "precision": result.precision,
                "training": params.training,
                # Not a param: everything in it that matters shows in the images, which are an input.
                "dataset": snakemake.config["datasets"][params.cell["dataset"]],
                "training_images": len(images),
                "encoder_parameters": parameter_count(network.encoder),
                "decoder_parameters": parameter_count(network.decoder),
                "device": describe(device),
                "trained_on": result.trained_on,
                "threads": snakemake.threads,
                "seconds": result.seconds,
                "earlier_seconds": result.earlier_seconds,
                "resumed": result.resumed,
                "images_per_second": result.images_per_second,
                "peak_memory_bytes": peak_memory(device),
                "energy_joules": result.energy_joules if alone else None,
                "versions": package_versions() | software(device),
                "code": code_version(),
            },
        )
