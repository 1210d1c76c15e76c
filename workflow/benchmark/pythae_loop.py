"""Pythae's trainer (Chadebec et al. 2022, github.com/clementchadebec/benchmark_VAE) on this pipeline's network."""

import logging
import os
import time
from contextlib import redirect_stderr
from tempfile import TemporaryDirectory

import numpy as np
import torch
from benchmark.loops import BATCH, RATE, Loop, unit_images
from pythae.data.datasets import BaseDataset
from pythae.models import BaseAE, BaseAEConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.trainers import BaseTrainer, BaseTrainerConfig

from autoencoders.networks.network import Autoencoder
from autoencoders.networks.objective import reconstruction_loss
from autoencoders.networks.training import ADAM


class PythaeModel(BaseAE):
    """Our network and loss as a model of Pythae."""

    def __init__(self, network: Autoencoder) -> None:
        size, latent = network.options.size, network.options.latent
        super().__init__(BaseAEConfig(input_dim=(3, size, size), latent_dim=latent))
        self.encoder, self.decoder = network.encoder, network.decoder

    def forward(self, inputs: BaseDataset, **_) -> ModelOutput:
        images = inputs["data"]
        return ModelOutput(loss=reconstruction_loss(self.decoder(self.encoder(images)[0]), images))


def pythae_loop(network: Autoencoder, device: torch.device) -> Loop:
    """Pythae's training epochs (``BaseTrainer.train_step``), without evaluation and without saving models."""
    # Pythae logs every folder that it creates.
    logging.disable(logging.INFO)
    model = PythaeModel(network)

    def loop(images: np.ndarray, epochs: int) -> float:
        data = BaseDataset(unit_images(images), torch.zeros(len(images)))
        options = {"per_device_train_batch_size": BATCH, "num_epochs": epochs, "optimizer_params": ADAM}
        # The progress bar goes to /dev/null.
        with (
            TemporaryDirectory() as folder,
            open(os.devnull, "w", encoding="utf-8") as nothing,
            redirect_stderr(nothing),
        ):
            config = BaseTrainerConfig(folder, learning_rate=RATE, no_cuda=device.type == "cpu", **options)
            trainer = BaseTrainer(model, data, training_config=config)
            trainer.prepare_training()
            started = time.perf_counter()
            for epoch in range(1, epochs + 1):
                trainer.train_step(epoch)
            return time.perf_counter() - started

    return loop
