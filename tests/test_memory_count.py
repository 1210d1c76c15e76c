"""Parameters and memory in closed form, against networks and PyTorch's own tracker; GPUs that are too small."""

import json
import math
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import yaml
from running import append, copy_project, snakemake
from torch.distributed._tools.mem_tracker import MemTracker

from autoencoders.jobs import gpu_memory
from autoencoders.jobs.device import require_memory
from autoencoders.jobs.errors import UserError
from autoencoders.jobs.resources import known_images, training_images
from autoencoders.networks.memory_count import halves, parameter_counts, shortage, training_bytes
from autoencoders.networks.network import Autoencoder, NetworkOptions, parameter_count, parse_depth
from autoencoders.networks.objective import Objective, batch_losses
from autoencoders.networks.training import adam

NETWORK = {
    **{"size": 32, "filters": 16, "depth": "1", "latent": 24, "variational": False, "latent_norm": "none"},
    **{"widening": "first", "decoder_channels": 64, "decoder_activation": "linear", "decoder_repeats": False},
}
VARIANTS = [
    {},
    {"size": 64, "depth": "3321"},
    {"depth": "3", "widening": "last", "decoder_repeats": True},
    {"size": 64, "depth": "2", "latent_norm": "batch", "decoder_activation": "bn_relu", "decoder_channels": None},
    {"variational": True, "latent_norm": "layer", "decoder_activation": "relu"},
    {"latent_norm": "batch_plain", "filters": 64},
]


def built(network: dict) -> Autoencoder:
    return Autoencoder(NetworkOptions(**{**network, "depth": parse_depth(network["depth"])}), seed=0)


def tracked(network: dict, precision: str, batch: int) -> int:
    """The peak that PyTorch's tracker sees in two steps of training, of tensors alone."""
    model, device = built(network).to(memory_format=torch.channels_last).train(), torch.device("cpu")
    optimizer = adam(list(model.parameters()), device)
    images = torch.rand(batch, 3, network["size"], network["size"]).contiguous(memory_format=torch.channels_last)
    terms, generator, tracker = Objective().terms(network["variational"]), torch.Generator(), MemTracker()
    tracker.track_external(model, optimizer, images)
    with tracker:
        for step in range(2):
            loss, _, _ = batch_losses(model, images, 0.0, terms, generator, precision)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if step == 0:
                tracker.reset_mod_stats()
    return tracker.get_tracker_snapshot("peak")[device]["Total"]


@pytest.mark.parametrize("options", [*VARIANTS, {"latent_norm": "spectral"}], ids=str)
def test_parameters_are_those_of_the_network(options):
    network = {**NETWORK, **options}
    model = built(network)
    assert parameter_counts(network) == (parameter_count(model.encoder), parameter_count(model.decoder))


@pytest.mark.parametrize(
    ("size", "filters", "depth", "latent", "encoder", "decoder"),
    # Counted on built networks, in millions.
    [
        *((32, 256, "1", 128, 45.1, 33.6), (32, 512, "2", 128, 535, 75.6), (32, 1024, "1", 128, 709, 210)),
        *((64, 128, "1", 64, 18.3, 21.5), (64, 512, "1", 64, 280, 122), (64, 2048, "1", 64, 4421, 1263)),
    ],
)
def test_parameters_of_the_largest_networks(size, filters, depth, latent, encoder, decoder):
    network = {**NETWORK, "size": size, "filters": filters, "depth": depth, "latent": latent, "decoder_channels": 1024}
    counts = [count / 1e6 for count in parameter_counts(network)]
    assert counts == [pytest.approx(encoder, rel=3e-3), pytest.approx(decoder, rel=3e-3)]


@pytest.mark.parametrize("batch", [2, 64])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("options", VARIANTS, ids=str)
def test_memory_is_what_pytorchs_tracker_sees(options, precision, batch):
    network = {**NETWORK, **options}
    counted = training_bytes(network, precision, batch, batch)
    assert counted == pytest.approx(tracked(network, precision, batch), rel=0.05)


def test_images_stay_in_memory_and_a_small_dataset_is_one_batch():
    assert training_bytes(NETWORK, "bf16", 128, 1128) - training_bytes(NETWORK, "bf16", 128, 128) == 1000 * 3 * 32**2
    assert training_bytes(NETWORK, "bf16", 128, 10) == training_bytes(NETWORK, "bf16", 10, 10)


def test_a_shortage_says_what_would_fit():
    wide = {**NETWORK, "filters": 1024, "latent": 128, "decoder_channels": 1024}
    fault = shortage(wide, "bf16", 128, 50_000, "A GPU", 16 * 10**9)
    assert fault == ("training takes about 18.6 GB of memory, and A GPU has 16.0 GB. What may fit: 512 filters")
    # Fewer images a step help only where activations are most of it.
    deep = {**NETWORK, "size": 64, "filters": 256, "depth": "3"}
    fault = shortage(deep, "bf16", 128, 1000, "A GPU", 9 * 10**9)
    found = re.search(r"What may fit: (\d+) filters or training\.batch_size: (\d+), for all models alike", fault)
    for network, batch in ({**deep, "filters": int(found[1])}, 128), (deep, int(found[2])):
        assert training_bytes(network, "bf16", batch, 1000) <= 9 * 10**9
    assert shortage(deep, "bf16", 128, 1000, "A GPU", 10**6).endswith("no width, and no batch size")
    assert halves(12) == [6, 3, 1] and halves(1) == []


# ---- before the first job


def says(folder: Path, monkeypatch, text: str) -> None:
    """A `nvidia-smi` that prints ``text``; none if it is empty."""
    folder.mkdir(exist_ok=True)
    if text:
        (folder / "nvidia-smi").write_text(f"#!/bin/sh\nprintf '{text}'\n", encoding="utf-8")
        (folder / "nvidia-smi").chmod(0o755)
    # Without one, a machine's own would be found in /usr/bin.
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin" if text else str(folder))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", None),
        ("15360, [N/A], Tesla T4\\n", ("Tesla T4", 15360 * 2**20)),
        ("15360, [N/A], Tesla T4\\n81559, Disabled, NVIDIA A, B\\n", ("NVIDIA A, B", 81559 * 2**20)),
        ("81559, Enabled, NVIDIA A100\\n15360, [N/A], Tesla T4\\n", None),
        ("No devices were found\\n", None),
        ("[Insufficient Permissions], [N/A], Tesla T4\\n", None),
    ],
)
def test_the_largest_gpu_is_the_one_that_nvidia_smi_names(tmp_path, monkeypatch, text, found):
    says(tmp_path / "bin", monkeypatch, text)
    assert gpu_memory.largest_gpu() == found


@pytest.fixture
def two_widths(project, tmp_path) -> Path:
    """A copy of the project with a config of narrow and wide networks."""
    grids = [
        {"dataset": "digits", "model": ["dae", "vae"], "filters": [2, 128], "latent": 16, "seeds": [0, 1]},
        {"dataset": "digits", "model": "dae", "filters": 256, "latent": 16},
    ]
    config = {"run": ["mine"], "pathvars": {"results": "results/small"}, "experiments": {"mine": grids}}
    config["training"] = {"epochs": 1, "learning_rate": [{"epoch": 0, "rate": 1e-3}]}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    return copy_project(project, tmp_path)


CONFIGS = ("config/demo.yaml", "mine.yaml")


def test_a_gpu_that_is_too_small_is_refused_before_the_first_job(two_widths, monkeypatch):
    # 0.4 GB: too little for 128 filters, and enough for 2.
    says(two_widths / "bin", monkeypatch, "400, [N/A], A small GPU\\n")
    done = snakemake(two_widths, "all_models", gpu=1, configs=CONFIGS, check=False)
    assert done.returncode != 0 and "Execute" not in done.stdout
    assert "the GPU is too small for 3 of the networks to train. The largest, digits/dae/f256-d1-z16: " in done.stdout
    assert "A small GPU has 0.4 GB. What may fit: no width, and no batch size. Change the config" in done.stdout


def test_nothing_is_refused_on_a_cpu_for_a_touch_or_on_a_larger_gpu(two_widths, monkeypatch):
    cell = "results/small/cells/digits/dae-rate0.5/f2-d1-z16-s0/weights.safetensors"
    says(two_widths / "bin", monkeypatch, "1, [N/A], A tiny GPU\\n")
    assert snakemake(two_widths, cell, gpu=0, configs=CONFIGS).returncode == 0
    # The training has its model's own rates.
    record = json.loads((two_widths / cell).with_name("cell.json").read_text(encoding="utf-8"))
    assert record["training"]["learning_rate"] == [{"epoch": 0, "rate": 5e-4}]
    # Touching needs the outputs of all jobs: this one's are there, and outdated.
    (two_widths / cell).with_name("cell.json").touch()
    assert snakemake(two_widths, cell, "--touch", "--forcerun", "train", gpu=1, configs=CONFIGS).returncode == 0
    says(two_widths / "bin", monkeypatch, "80000, [N/A], A GPU\\n")
    # This machine has none, as the training says.
    done = snakemake(two_widths, cell, "--forcerun", "train", gpu=1, configs=CONFIGS, check=False)
    assert "too small" not in done.stdout


def test_a_training_refuses_the_gpu_that_it_gets(monkeypatch):
    found = SimpleNamespace(total_memory=16e9)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: found)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "A slice")
    require_memory(torch.device("cuda"), 15_000)
    require_memory(torch.device("cpu"), 17_000)
    with pytest.raises(
        UserError, match=r"training takes about 17\.0 GB of memory, and A slice has 16\.0 GB\. Use a larger"
    ):
        require_memory(torch.device("cuda"), 17_000)


def test_each_training_asks_for_the_memory_that_is_counted(two_widths):
    asking = '\n\ndef require_memory(device, megabytes):\n    raise UserError(f"asked for {megabytes} MB")\n'
    append(two_widths / "workflow/scripts/autoencoders/jobs/device.py", asking)
    cell = "results/small/cells/digits/dae/f2-d1-z16-s0/weights.safetensors"
    done = snakemake(two_widths, cell, configs=CONFIGS, check=False)
    images = json.loads((two_widths / "results/small/datasets/digits/dataset.json").read_text(encoding="utf-8"))
    network = {**NETWORK, "filters": 2, "latent": 16, "decoder_channels": None}
    counted = training_bytes(network, "bf16", 16, images["images"]["train"])
    assert f"asked for {math.ceil(counted / 1e6)} MB" in done.stdout


def test_only_images_that_are_known_are_counted(tmp_path):
    dataset, info = {"limit": {"train": None}}, tmp_path / "dataset.json"
    assert known_images(dataset, None, info) is None and training_images(dataset, None, info) == 200_000
    assert known_images(dataset, 50_000, info) == training_images(dataset, 50_000, info) == 50_000
    limited = {"limit": {"train": 300}}
    # A folder may hold fewer than the limit.
    assert known_images(limited, None, info) is None and training_images(limited, None, info) == 300
    assert known_images(limited, 50_000, info) == 300
    info.write_text('{"images": {"train": 70}}', encoding="utf-8")
    assert known_images(limited, 50_000, info) == training_images(limited, None, info) == 70
