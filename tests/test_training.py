"""Objective, schedule and training loop against closed forms and plain PyTorch."""

import dataclasses
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from autoencoders.config import settings
from autoencoders.latent.coding import decode, encode
from autoencoders.networks import precision, training
from autoencoders.networks.network import Autoencoder, NetworkOptions, parse_depth, to_unit_interval
from autoencoders.networks.objective import Objective, reconstruction_loss, sample_code
from autoencoders.networks.penalties.kl import kl_divergence
from autoencoders.networks.training import TrainingOptions, batch_bounds, learning_rate, train

CPU = torch.device("cpu")
SCHEDULE = ((0, 1e-4), (1, 1e-3))


DAE = Objective()
VAE = Objective(beta=0.01)


def network(variational=False, seed=0, latent_norm="none") -> Autoencoder:
    return Autoencoder(NetworkOptions(32, 2, parse_depth("1"), 4, variational, latent_norm), seed)


def images(count=20, seed=0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 3, 32, 32), dtype=np.uint8)


def state_bytes(model: torch.nn.Module) -> bytes:
    return b"".join(tensor.numpy().tobytes() for tensor in model.state_dict().values())


def test_reconstruction_loss_is_the_cross_entropy_per_pixel():
    random = np.random.default_rng(0)
    logits, target = random.normal(size=(2, 3, 4, 4)), random.random((2, 3, 4, 4))
    p = 1 / (1 + np.exp(-logits))
    expected = -(target * np.log(p) + (1 - target) * np.log(1 - p)).mean()
    assert reconstruction_loss(torch.tensor(logits), torch.tensor(target)).item() == pytest.approx(expected, rel=1e-12)


def test_kl_is_pytorchs_mean_over_batch_and_units():
    mean, log_variance = torch.randn(5, 7, dtype=torch.float64), torch.randn(5, 7, dtype=torch.float64)
    posterior = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
    expected = torch.distributions.kl_divergence(posterior, torch.distributions.Normal(0.0, 1.0)).mean()
    assert kl_divergence(mean, log_variance).item() == pytest.approx(expected.item(), rel=1e-12)


def test_the_sum_over_units_is_kingma_and_wellings():
    """Appendix B of "Auto-Encoding Variational Bayes" has the negative divergence of one image."""
    mean, log_variance = torch.randn(5, 7, dtype=torch.float64), torch.randn(5, 7, dtype=torch.float64)
    m, v = mean.numpy(), np.exp(log_variance.numpy())
    expected = np.mean([-0.5 * np.sum(1 + np.log(v[i]) - m[i] ** 2 - v[i]) for i in range(5)])
    assert kl_divergence(mean, log_variance, "sum").item() == pytest.approx(expected, rel=1e-12)
    assert kl_divergence(mean, log_variance).item() == pytest.approx(expected / 7, rel=1e-12)


def test_the_objective_says_how_the_kl_is_reduced():
    model, batch = network(variational=True), to_unit_interval(torch.from_numpy(images(4)))
    terms = {}
    for reduction in ("mean", "sum"):
        objective = Objective(beta=0.5, kl_reduction=reduction)
        terms[reduction] = training.batch_losses(model, batch, objective, torch.Generator().manual_seed(0))
    assert terms["sum"][2].item() == pytest.approx(4 * terms["mean"][2].item(), rel=1e-5)
    assert terms["sum"][0].item() == pytest.approx(terms["sum"][1].item() + 0.5 * terms["sum"][2].item(), rel=1e-6)


def test_noise_reaches_the_decoder_in_training_and_nowhere_else():
    model, batch = network(), to_unit_interval(torch.from_numpy(images(6)))
    seen = []
    hook = model.decoder.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0].detach()))
    training.batch_losses(model, batch, Objective(noise=0.5), torch.Generator().manual_seed(3))
    hook.remove()
    with torch.no_grad():
        code = model.encoder(batch)[0]
    noise = torch.randn(code.shape, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(seen[0], code + 0.5 * noise)
    # A trained network has no noise: encoding and decoding twice gives the same bytes.
    trained = network()
    train(trained, images(), TrainingOptions(1, 8, SCHEDULE), Objective(noise=0.5), 0, CPU)
    trained.eval()
    codes = [encode(trained, images(), 8, CPU) for _ in range(2)]
    assert codes[0].tobytes() == codes[1].tobytes()
    assert decode(trained, codes[0], 8, CPU).tobytes() == decode(trained, codes[0], 8, CPU).tobytes()


def test_noise_has_the_standard_deviation_that_is_asked_for():
    model, batch = network(), torch.zeros(2000, 3, 32, 32)
    seen = []
    model.decoder.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0].detach()))
    training.batch_losses(model.eval(), batch, Objective(noise=0.5), torch.Generator().manual_seed(0))
    assert seen[0].std().item() == pytest.approx(0.5, rel=0.03)


@pytest.mark.parametrize(("variational", "latent_norm"), [(False, "none"), (True, "none"), (False, "spectral")])
def test_a_frozen_latent_layer_keeps_its_initial_weights(variational, latent_norm):
    model, initial = network(variational, latent_norm=latent_norm), network(variational, latent_norm=latent_norm)
    train(model, images(), TrainingOptions(2, 8, SCHEDULE, frozen_latent=True), VAE, 0, CPU)
    for layer, before in zip(model.encoder.dense_layers(), initial.encoder.dense_layers(), strict=True):
        for value, start in zip(layer.parameters(), before.parameters(), strict=True):
            assert torch.equal(value, start)
    unfrozen = [model.decoder.layers[0].weight, model.encoder.convolutions[0].conv.weight]
    starts = [initial.decoder.layers[0].weight, initial.encoder.convolutions[0].conv.weight]
    assert not any(torch.equal(value, start) for value, start in zip(unfrozen, starts, strict=True))
    # The layer learns where nothing freezes it.
    train(model, images(), TrainingOptions(1, 8, SCHEDULE), VAE, 0, CPU)
    assert not torch.equal(model.encoder.mean.bias, initial.encoder.mean.bias)


def test_a_single_image_that_is_left_over_joins_the_batch_before_it():
    assert batch_bounds(20, 8) == [(0, 8), (8, 16), (16, 20)]
    assert batch_bounds(17, 8) == [(0, 8), (8, 17)]
    assert batch_bounds(16, 8) == [(0, 8), (8, 16)]
    assert batch_bounds(1, 8) == [(0, 1)]
    result = train(network(latent_norm="batch"), images(17), TrainingOptions(2, 8, SCHEDULE), DAE, 0, CPU)
    assert result.status == "ok"


def test_code_samples_have_the_posteriors_moments():
    generator = torch.Generator().manual_seed(0)
    mean, log_variance = torch.full((200_000, 1), 1.5), torch.full((200_000, 1), math.log(0.25))
    code = sample_code(mean, log_variance, generator)
    assert code.mean().item() == pytest.approx(1.5, abs=0.01)
    assert code.std().item() == pytest.approx(0.5, rel=0.01)


def test_a_vae_trains_on_sampled_codes_and_beta_weighs_its_kl():
    model, batch = network(variational=True), to_unit_interval(torch.from_numpy(images(4)))
    loss, reconstruction, kl = training.batch_losses(model, batch, VAE, torch.Generator().manual_seed(0))
    assert loss.item() == pytest.approx(reconstruction.item() + 0.01 * kl.item(), rel=1e-6)
    again = training.batch_losses(model, batch, VAE, torch.Generator().manual_seed(1))
    assert kl.item() == pytest.approx(again[2].item(), rel=1e-6)
    assert reconstruction.item() != again[1].item()


def test_the_default_schedule_is_the_papers(project):
    config = settings.resolve(yaml.safe_load((project / "config" / "config.yaml").read_text()))
    schedule = tuple((step["epoch"], step["rate"]) for step in config["training"]["learning_rate"])
    rates = [learning_rate(schedule, epoch) for epoch in range(config["training"]["epochs"])]
    assert rates == [1e-4] + [1e-3] * 32 + [1e-4] * 33 + [1e-5] * 34
    assert config["training"]["batch_size"] == 128
    assert config["models"]["vae"]["beta"] == 0.01


def test_training_equals_a_plain_loop_over_shuffled_batches():
    """Adam as the specification has it, the last partial batch kept, a fresh order every epoch."""
    data, options = images(20), TrainingOptions(3, 8, SCHEDULE)
    model = network()
    result = train(model, data, options, DAE, seed=5, device=CPU)

    plain = network().to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(plain.parameters(), betas=(0.9, 0.999), eps=1e-7, fused=True)
    generator = torch.Generator().manual_seed(training.stream_seed(5, "training"))
    for epoch in range(3):
        # The loop's rates are float32.
        optimizer.param_groups[0]["lr"] = float(np.float32(1e-4 if epoch == 0 else 1e-3))
        order, losses = torch.randperm(20, generator=generator), []
        for batch in order.split(8):
            x = torch.from_numpy(data)[batch].float().contiguous(memory_format=torch.channels_last) / 255
            loss = torch.nn.functional.binary_cross_entropy_with_logits(plain.decoder(plain.encoder(x)[0]), x)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append((len(batch), loss.item()))
        assert [count for count, _ in losses] == [8, 8, 4]
        mean_loss = sum(count * loss for count, loss in losses) / 20
        assert result.history[epoch]["loss"] == pytest.approx(mean_loss, rel=1e-5)
    for name, value in plain.state_dict().items():
        assert torch.equal(model.state_dict()[name], value), name


@pytest.mark.parametrize("variational", [False, True])
def test_bfloat16_stays_within_its_rounding_of_float32(variational):
    """After as many steps as an epoch of 20 batches has; the weights are float32 in both."""
    options = TrainingOptions(3, 16, SCHEDULE, precision="bf16")
    if precision.usable("bf16", CPU) != "bf16":
        pytest.skip("this processor has no bfloat16 products")
    losses, models = {}, {}
    for number_format in ("fp32", "bf16"):
        models[number_format] = network(variational)
        chosen = dataclasses.replace(options, precision=number_format)
        result = train(models[number_format], images(320), chosen, VAE, 0, CPU)
        assert result.precision == number_format
        losses[number_format] = [epoch["loss"] for epoch in result.history]
    np.testing.assert_allclose(losses["bf16"], losses["fp32"], rtol=2**-8)
    assert not np.array_equal(losses["bf16"], losses["fp32"])
    assert {tensor.dtype for tensor in models["bf16"].parameters()} == {torch.float32}


@pytest.mark.parametrize("latent_norm", ["none", "batch", "layer", "spectral"])
def test_codes_and_losses_are_float32_whatever_the_convolutions_are_in(latent_norm):
    model, batch = network(True, latent_norm=latent_norm), to_unit_interval(torch.from_numpy(images(4)))
    seen = []
    model.decoder.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0].dtype))
    model.decoder.register_forward_hook(lambda _, __, logits: seen.append(logits.dtype))
    losses = training.batch_losses(model, batch, VAE, torch.Generator().manual_seed(0), "bf16")
    assert seen == [torch.float32, torch.bfloat16]
    assert {loss.dtype for loss in losses} == {torch.float32}


@pytest.mark.parametrize(
    ("asked", "capabilities", "used"),
    [
        ("bf16", {"avx512_bf16": True}, "bf16"),
        ("bf16", {"amx_bf16": True}, "bf16"),
        ("bf16", {"avx512_f": True, "avx512_bf16": False}, "fp32"),
        ("tf32", {"avx512_bf16": True}, "fp32"),
        ("fp32", {"avx512_bf16": True}, "fp32"),
    ],
)
def test_a_processor_without_fast_products_in_a_format_trains_in_float32(monkeypatch, asked, capabilities, used):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert precision.usable(asked, CPU) == used


def test_training_imports_no_compiler():
    """PyTorch's own optimiser classes do on their first use, which takes over a second in each job."""
    code = (
        "import sys, numpy, torch; from autoencoders.networks.network import *; from autoencoders.networks.training import *; "
        "from autoencoders.networks.objective import Objective; "
        "options = TrainingOptions(1, 2, ((0, 1e-3),), precision='bf16'); "
        "network = Autoencoder(NetworkOptions(32, 2, parse_depth('1'), 4), 0); "
        "train(network, numpy.zeros((4, 3, 32, 32), numpy.uint8), options, Objective(), 0, torch.device('cpu')); "
        "print([name for name in sys.modules if name in ('torch._dynamo', 'torch._inductor', 'sympy')])"
    )
    folder = Path(training.__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_training_lowers_the_loss():
    from sklearn.datasets import load_digits

    digits = (load_digits().images[:256] * 255 / 16).round().astype(np.uint8)
    data = np.kron(digits, np.ones((1, 4, 4), np.uint8))[:, None].repeat(3, 1)
    history = train(network(), data, TrainingOptions(6, 32, SCHEDULE), DAE, 0, CPU).history
    # The entropy of the pixels is the floor; a constant image is what an untrained decoder can do.
    constant = torch.from_numpy(data).float().div(255).mean().item()
    baseline = -(constant * math.log(constant) + (1 - constant) * math.log(1 - constant))
    assert history[-1]["loss"] < min(baseline, history[0]["loss"])


@pytest.mark.parametrize("variational", [False, True])
def test_the_same_seed_gives_the_same_bytes(variational):
    trained = []
    for seed in (1, 1, 2):
        model = network(variational)
        train(model, images(), TrainingOptions(2, 8, SCHEDULE), VAE, seed, CPU)
        trained.append(state_bytes(model))
    assert trained[0] == trained[1] != trained[2]


def test_a_loss_that_is_not_finite_ends_the_cell_as_diverged():
    result = train(network(True), images(), TrainingOptions(5, 8, SCHEDULE), Objective(beta=float("inf")), 0, CPU)
    assert result.status == "diverged"
    assert len(result.history) == 1
    assert not math.isfinite(result.history[0]["loss"])


def test_weights_that_the_last_step_broke_are_noticed():
    """The last step's damage shows in no loss: a huge rate in the last epoch's only batch."""
    model = network()
    result = train(model, images(8), TrainingOptions(1, 8, ((0, float("inf")),)), DAE, 0, CPU)
    assert math.isfinite(result.history[0]["loss"])
    assert result.status == "diverged"
