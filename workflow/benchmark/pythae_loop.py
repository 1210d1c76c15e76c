"""Pythae's trainer (Chadebec et al. 2022, github.com/clementchadebec/benchmark_VAE) on this pipeline's network."""

import contextlib
import importlib.metadata
import logging
import os
import tempfile
import time

import numpy as np
import torch
from benchmark.training import BATCH, RATE, Case, Loop
from pythae.data.datasets import BaseDataset
from pythae.models import AE, AEConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from pythae.trainers import BaseTrainer, BaseTrainerConfig
from torch import Tensor, nn

from autoencoders.networks.objective import reconstruction_loss
from autoencoders.networks.training import ADAM

VERSION = importlib.metadata.version("pythae")


class WrappedEncoder(BaseEncoder):
    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, images: Tensor) -> ModelOutput:
        return ModelOutput(embedding=self.encoder(images)[0])


class WrappedDecoder(BaseDecoder):
    def __init__(self, decoder: nn.Module) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, codes: Tensor) -> ModelOutput:
        return ModelOutput(reconstruction=self.decoder(codes))


class BernoulliAE(AE):
    """Pythae's AE, which has the squared error alone, with the paper's loss."""

    def loss_function(self, logits: Tensor, images: Tensor) -> Tensor:
        return reconstruction_loss(logits, images)


def pythae_model(case: Case) -> BernoulliAE:
    network = case.network()
    config = AEConfig(input_dim=(3, case.size, case.size), latent_dim=case.latent)
    return BernoulliAE(config, WrappedEncoder(network.encoder), WrappedDecoder(network.decoder))


def pythae_trainer(model: BernoulliAE, images: np.ndarray, epochs: int, device: torch.device, folder) -> BaseTrainer:
    """Pythae's trainer of uint8 images (N, 3, S, S), ready for its ``train_step``; ``folder`` stays empty."""
    options = BaseTrainerConfig(
        output_dir=str(folder),
        per_device_train_batch_size=BATCH,
        num_epochs=epochs,
        optimizer_params=ADAM,
        learning_rate=RATE,
        no_cuda=device.type == "cpu",
    )
    data = BaseDataset(torch.from_numpy(images).float() / 255, torch.zeros(len(images)))
    trainer = BaseTrainer(model, data, training_config=options)
    trainer.prepare_training()
    return trainer


def pythae_loop(case: Case, device: torch.device) -> Loop:
    """Pythae's training epochs (``BaseTrainer.train_step``): nothing is evaluated, and no model copied or saved."""
    # It logs every folder that it makes.
    logging.disable(logging.INFO)
    model = pythae_model(case)

    def loop(images: np.ndarray, epochs: int) -> float:
        # Its progress bar is drawn as always, but into nothing.
        with (
            tempfile.TemporaryDirectory() as folder,
            open(os.devnull, "w") as nothing,
            contextlib.redirect_stderr(nothing),
        ):
            trainer = pythae_trainer(model, images, epochs, device, folder)
            started = time.perf_counter()
            for epoch in range(1, epochs + 1):
                trainer.train_step(epoch)
            return time.perf_counter() - started

    return loop
