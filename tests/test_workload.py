"""Floating point operations in closed form, against PyTorch's own counter on the real networks."""

import pytest
import torch
import yaml
from torch.utils.flop_counter import FlopCounterMode

from autoencoders.config import grid, settings
from autoencoders.jobs.resources import training_minutes
from autoencoders.networks.flop_count import training_flops
from autoencoders.networks.network import Autoencoder, NetworkOptions, parse_depth
from autoencoders.networks.objective import Objective, batch_losses

DEFAULTS = {"variational": False, "widening": "first", "decoder_channels": None, "decoder_repeats": False}


def counted(network: dict, frozen_latent: bool, images: int) -> int:
    """PyTorch's count for one step of training."""
    model = Autoencoder(NetworkOptions(**{**network, "depth": parse_depth(network["depth"])}), seed=0)
    for dense in model.encoder.dense_layers():
        dense.requires_grad_(not frozen_latent)
    batch = torch.rand(images, 3, network["size"], network["size"])
    with FlopCounterMode(display=False) as counter:
        terms = Objective(beta=0.01).terms(network["variational"])
        batch_losses(model, batch, 0.1, terms, torch.Generator())[0].backward()
    return counter.get_total_flops()


@pytest.mark.parametrize(
    "options",
    [
        {"size": 32, "depth": "1"},
        {"size": 64, "depth": "3"},
        {"size": 32, "depth": "3321", "widening": "last"},
        {"size": 64, "depth": "2", "decoder_channels": 1024},
        {"size": 32, "depth": "3", "decoder_repeats": True},
        {"size": 64, "depth": "3321", "decoder_repeats": True, "widening": "last", "decoder_channels": 40},
        {"size": 64, "depth": "3321", "variational": True},
    ],
    ids=str,
)
@pytest.mark.parametrize("frozen_latent", [False, True])
def test_operations_are_those_that_pytorch_counts(options, frozen_latent):
    network = {**DEFAULTS, "filters": 6, "latent": 17, **options}
    assert 2 * training_flops(network, frozen_latent) == counted(network, frozen_latent, images=2)


def test_one_layer_by_hand():
    network = {**DEFAULTS, "size": 32, "filters": 1, "depth": "1", "latent": 1}
    # Another latent unit adds weights from 8 channels of 2 x 2 and to 8 of 8 x 8: a product and a sum each, three
    # times; a frozen layer has no gradient of its weights.
    more = {**network, "latent": 2}
    assert training_flops(more, False) - training_flops(network, False) == 3 * 2 * (32 + 512)
    assert training_flops(more, True) - training_flops(network, True) == 2 * 2 * 32 + 3 * 2 * 512


def test_the_papers_run_takes_21_2_exaflop_and_its_trainings_half_an_hour_to_ten_hours(project):
    config = settings.resolve(yaml.safe_load((project / "config" / "config.yaml").read_text(encoding="utf-8")))
    images, epochs = {"cifar10": 50_000, "celeba": 162_770}, config["training"]["epochs"]
    operations, minutes = dict.fromkeys(images, 0), []
    for cell in grid.cells(config):
        network = grid.network_options(config, {key: str(value) for key, value in cell.items()})
        flops = training_flops(network, config["models"][cell["model"]]["frozen_latent"])
        operations[cell["dataset"]] += flops * images[cell["dataset"]] * epochs
        minutes.append(training_minutes(flops, images[cell["dataset"]], epochs))
    exaflop = {dataset: round(count / 1e18, 1) for dataset, count in operations.items()}
    assert exaflop == {"cifar10": 11.2, "celeba": 10.0} and round(sum(operations.values()) / 1e18, 1) == 21.2
    assert (min(minutes), max(minutes)) == (36, 597)
