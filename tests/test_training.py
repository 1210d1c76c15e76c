"""Objective, schedule and training loop against closed forms and plain PyTorch."""

import dataclasses
import math
import random

import numpy as np
import own_penalties
import pytest
import torch
import yaml
from interrupting import Interrupted
from own_penalties import OWN

from autoencoders.config import grid, settings
from autoencoders.config.seeds import seed_globals
from autoencoders.evidence import paper_values
from autoencoders.jobs import kinds
from autoencoders.jobs.errors import UserError
from autoencoders.latent.encode_decode import encode
from autoencoders.networks import numerics, training
from autoencoders.networks.network import Autoencoder, NetworkOptions, parse_depth, sample_code, to_unit_interval
from autoencoders.networks.objective import Objective, batch_losses, reconstruction_loss
from autoencoders.networks.penalties.kl import kl_divergence
from autoencoders.networks.steps import batch_bounds, training_steps
from autoencoders.networks.training import TrainingOptions, learning_rate, train

CPU = torch.device("cpu")
SCHEDULE = ((0, 1e-4), (1, 1e-3))
OPTIONS = TrainingOptions(2, 8, SCHEDULE)
DAE = Objective()
VAE = Objective(beta=0.01)
HISTORY = ["epoch", "learning_rate", "loss", "reconstruction_loss", "kl"]


def network(variational=False, seed=0, latent_norm="none") -> Autoencoder:
    return Autoencoder(NetworkOptions(32, 2, parse_depth("1"), 4, variational, latent_norm), seed)


def images(count=20, seed=0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 3, 32, 32), dtype=np.uint8)


def some_batch(count=4) -> torch.Tensor:
    return to_unit_interval(torch.from_numpy(images(count)))


def losses_of(model, batch, objective, seed=0, precision="fp32") -> tuple[torch.Tensor, torch.Tensor, dict]:
    """`batch_losses` with random numbers from a seed."""
    terms = objective.terms(model.options.variational)
    return batch_losses(model, batch, objective.noise, terms, torch.Generator().manual_seed(seed), precision)


def state_bytes(model: torch.nn.Module) -> bytes:
    return b"".join(tensor.numpy().tobytes() for tensor in model.state_dict().values())


def test_reconstruction_loss_is_the_cross_entropy_per_pixel():
    generator = np.random.default_rng(0)
    logits, target = generator.normal(size=(2, 3, 4, 4)), generator.random((2, 3, 4, 4))
    p = 1 / (1 + np.exp(-logits))
    expected = -(target * np.log(p) + (1 - target) * np.log(1 - p)).mean()
    assert reconstruction_loss(torch.tensor(logits), torch.tensor(target)).item() == pytest.approx(expected, rel=1e-12)


def test_kl_is_pytorchs_mean_over_units_and_kingma_and_wellings_sum():
    mean, log_variance = torch.randn(5, 7, dtype=torch.float64), torch.randn(5, 7, dtype=torch.float64)
    posterior = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
    expected = torch.distributions.kl_divergence(posterior, torch.distributions.Normal(0.0, 1.0)).mean()
    assert kl_divergence(mean, log_variance).item() == pytest.approx(expected.item(), rel=1e-12)
    # "Auto-Encoding Variational Bayes", appendix B, has the negative divergence of one image.
    m, v = mean.numpy(), np.exp(log_variance.numpy())
    total = np.mean([-0.5 * np.sum(1 + np.log(v[i]) - m[i] ** 2 - v[i]) for i in range(5)])
    assert kl_divergence(mean, log_variance, "sum").item() == pytest.approx(total, rel=1e-12)


def test_a_vae_trains_on_sampled_codes_and_beta_weighs_its_kl():
    model, kl = network(variational=True), {}
    for reduction in ("mean", "sum"):
        objective = Objective(beta=0.5, kl_reduction=reduction)
        loss, reconstruction, penalties = losses_of(model, some_batch(), objective)
        kl[reduction] = penalties["kl"].item()
        assert loss.item() == pytest.approx(reconstruction.item() + 0.5 * kl[reduction], rel=1e-6)
        _, other_draw, of_other_draw = losses_of(model, some_batch(), objective, seed=1)
        assert of_other_draw["kl"].item() == pytest.approx(kl[reduction], rel=1e-6)
        assert other_draw.item() != reconstruction.item()
    assert kl["sum"] == pytest.approx(4 * kl["mean"], rel=1e-5)


def test_code_samples_have_the_posteriors_moments():
    mean, log_variance = torch.full((200_000, 1), 1.5), torch.full((200_000, 1), math.log(0.25))
    code = sample_code(mean, log_variance, torch.Generator().manual_seed(0))
    assert code.mean().item() == pytest.approx(1.5, abs=0.01)
    assert code.std().item() == pytest.approx(0.5, rel=0.01)


def test_noise_reaches_the_decoder_in_training_and_nowhere_else():
    model, batch, seen = network(), some_batch(500), []
    hook = model.decoder.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0].detach()))
    losses_of(model, batch, Objective(noise=0.5), seed=3)
    hook.remove()
    with torch.no_grad():
        code = model.encoder(batch)[0]
    noise = torch.randn(code.shape, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(seen[0], code + 0.5 * noise)
    # A trained network has no noise: encoding twice gives the same bytes.
    train(model, images(), OPTIONS, Objective(noise=0.5), 0, CPU)
    first, again = (encode(model.eval(), images(), 8, CPU) for _ in range(2))
    assert first.tobytes() == again.tobytes()


@pytest.mark.parametrize(("variational", "latent_norm"), [(False, "none"), (True, "none"), (False, "spectral")])
def test_a_frozen_latent_layer_keeps_its_initial_weights(variational, latent_norm):
    model, initial = network(variational, latent_norm=latent_norm), network(variational, latent_norm=latent_norm)
    train(model, images(), dataclasses.replace(OPTIONS, frozen_latent=True), VAE, 0, CPU)
    for layer, before in zip(model.encoder.dense_layers(), initial.encoder.dense_layers(), strict=True):
        for value, start in zip(layer.parameters(), before.parameters(), strict=True):
            assert torch.equal(value, start)
    assert not torch.equal(model.decoder.layers[0].weight, initial.decoder.layers[0].weight)
    assert not torch.equal(model.encoder.convolutions[0].conv.weight, initial.encoder.convolutions[0].conv.weight)
    train(model, images(), OPTIONS, VAE, 0, CPU)
    assert not torch.equal(model.encoder.mean.bias, initial.encoder.mean.bias)


@pytest.mark.parametrize(
    ("count", "bounds"),
    [
        (20, [(0, 8), (8, 16), (16, 20)]),
        (16, [(0, 8), (8, 16)]),
        # A single image that is left over joins the batch before it.
        (17, [(0, 8), (8, 17)]),
        (1, [(0, 1)]),
    ],
)
def test_batches_have_two_images_or_more(count, bounds):
    assert batch_bounds(count, 8) == bounds
    if count > 1:
        model = network(latent_norm="batch")
        assert train(model, images(count), OPTIONS, DAE, 0, CPU).status == "ok"
        # PyTorch counts the batches that batch normalisation has seen.
        steps = model.encoder.normalisation.num_batches_tracked.item()
        assert training_steps(count, OPTIONS.epochs, OPTIONS.batch_size) == steps > 0


def test_a_models_factor_multiplies_all_rates(project):
    config = settings.resolve(yaml.safe_load((project / "config" / "config.yaml").read_text(encoding="utf-8")))
    assert grid.training_options(config, "dae") == config["training"]
    slower = grid.training_options(config, "vae-rate0.25")
    assert [step["rate"] for step in slower["learning_rate"]] == [2.5e-5, 2.5e-4, 2.5e-5, 2.5e-6]
    assert slower | {"learning_rate": None} == config["training"] | {"learning_rate": None}
    # Such a model is none of the paper's, whatever its name.
    for factor, papers in ((1, True), (0.5, False)):
        options = config["models"]["dae"] | {"learning_rate_factor": factor}
        assert paper_values.papers_model("dae", options) == papers


def test_the_default_schedule_is_the_papers(project):
    config = settings.resolve(yaml.safe_load((project / "config" / "config.yaml").read_text(encoding="utf-8")))
    schedule = tuple((step["epoch"], step["rate"]) for step in config["training"]["learning_rate"])
    rates = [learning_rate(schedule, epoch) for epoch in range(config["training"]["epochs"])]
    assert rates == [1e-4] + [1e-3] * 32 + [1e-4] * 33 + [1e-5] * 34
    assert config["training"]["batch_size"] == 128
    assert config["models"]["vae"]["beta"] == 0.01


def test_training_equals_a_plain_loop_over_shuffled_batches():
    """Adam as the specification has it, the last partial batch kept, a fresh order every epoch."""
    data, model = images(20), network()
    result = train(model, data, TrainingOptions(3, 8, SCHEDULE), DAE, seed=5, device=CPU)

    plain = network().to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(plain.parameters(), betas=(0.9, 0.999), eps=1e-7, fused=True)
    generator = torch.Generator().manual_seed(training.stream_seed(5, "training"))
    for epoch in range(3):
        # The loop's rates are float32.
        optimizer.param_groups[0]["lr"] = float(np.float32(1e-4 if epoch == 0 else 1e-3))
        order, total = torch.randperm(20, generator=generator), 0
        for batch in order.split(8):
            x = torch.from_numpy(data)[batch].float().contiguous(memory_format=torch.channels_last) / 255
            loss = torch.nn.functional.binary_cross_entropy_with_logits(plain.decoder(plain.encoder(x)[0]), x)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += len(batch) * loss.item()
        assert result.history[epoch]["loss"] == pytest.approx(total / 20, rel=1e-5)
    for name, value in plain.state_dict().items():
        assert torch.equal(model.state_dict()[name], value), name


@pytest.mark.parametrize("variational", [False, True])
def test_bfloat16_stays_within_its_rounding_of_float32(variational):
    if numerics.usable("bf16", CPU) != "bf16":
        pytest.skip("this processor has no bfloat16 products")
    losses = {}
    for precision in ("fp32", "bf16"):
        model = network(variational)
        options = TrainingOptions(3, 16, SCHEDULE, precision=precision)
        result = train(model, images(320), options, VAE, 0, CPU)
        assert result.precision == precision
        assert {tensor.dtype for tensor in model.parameters()} == {torch.float32}
        losses[precision] = [epoch["loss"] for epoch in result.history]
    np.testing.assert_allclose(losses["bf16"], losses["fp32"], rtol=2**-8)
    assert losses["bf16"] != losses["fp32"]


@pytest.mark.parametrize("latent_norm", ["none", "batch", "layer", "spectral"])
def test_codes_and_losses_are_float32_whatever_the_convolutions_are_in(latent_norm):
    model, seen = network(True, latent_norm=latent_norm), []
    model.decoder.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0].dtype))
    model.decoder.register_forward_hook(lambda _, __, logits: seen.append(logits.dtype))
    loss, reconstruction, penalties = losses_of(model, some_batch(), VAE, precision="bf16")
    assert seen == [torch.float32, torch.bfloat16]
    assert {part.dtype for part in (loss, reconstruction, *penalties.values())} == {torch.float32}


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
    assert numerics.usable(asked, CPU) == used


def test_training_lowers_the_loss():
    from sklearn.datasets import load_digits

    digits = (load_digits().images[:256] * 255 / 16).round().astype(np.uint8)
    data = np.kron(digits, np.ones((1, 4, 4), np.uint8))[:, None].repeat(3, 1)
    history = train(network(), data, TrainingOptions(6, 32, SCHEDULE), DAE, 0, CPU).history
    # A constant image is the best that a decoder without codes can do.
    constant = torch.from_numpy(data).float().div(255).mean().item()
    baseline = -(constant * math.log(constant) + (1 - constant) * math.log(1 - constant))
    assert history[-1]["loss"] < min(baseline, history[0]["loss"])
    assert list(history[0]) == HISTORY
    assert all(epoch["kl"] == 0 and epoch["loss"] == epoch["reconstruction_loss"] for epoch in history)


@pytest.mark.parametrize("variational", [False, True])
def test_the_same_seed_gives_the_same_bytes(variational):
    trained = []
    for seed in (1, 1, 2):
        model = network(variational)
        train(model, images(), OPTIONS, VAE, seed, CPU)
        trained.append(state_bytes(model))
    assert trained[0] == trained[1] != trained[2]


def test_a_loss_that_is_not_finite_ends_the_cell_as_diverged():
    result = train(network(True), images(), TrainingOptions(5, 8, SCHEDULE), Objective(beta=float("inf")), 0, CPU)
    assert (result.status, len(result.history)) == ("diverged", 1)
    assert not math.isfinite(result.history[0]["loss"])


def test_weights_that_the_last_step_broke_are_noticed():
    """No loss shows the last step's damage: a huge rate in the last epoch's only batch."""
    result = train(network(), images(8), TrainingOptions(1, 8, ((0, float("inf")),)), DAE, 0, CPU)
    assert math.isfinite(result.history[0]["loss"])
    assert result.status == "diverged"


def with_own(entry, name="mine", **others) -> Objective:
    return Objective(penalties={name: entry}, **others)


def by_hand(own: str, model: Autoencoder, codes: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """What a file of ``own_penalties`` computes, by other means."""
    if own == "random":
        return ((codes - 2.0 * torch.randn(codes.shape, generator=generator)) ** 2).sum() / codes.numel()
    if own == "weights":
        return torch.cat([parameter.flatten() for parameter in model.decoder.parameters()]).norm() ** 2

    def squared(points: torch.Tensor) -> torch.Tensor:
        return (model.decoder(points) ** 2).sum()

    return (torch.autograd.functional.jacobian(squared, codes, create_graph=True) ** 2).sum() / codes.numel()


@pytest.mark.parametrize("own", OWN)
def test_a_step_follows_the_gradient_of_the_reconstruction_loss_and_the_penalty(tmp_path, own):
    entry, model = own_penalties.entry(tmp_path, own), network()
    train(model, images(8), TrainingOptions(1, 8, ((0, 1e-3),)), with_own(entry), 5, CPU)

    plain = network().to(memory_format=torch.channels_last)
    generator = torch.Generator().manual_seed(training.stream_seed(5, "training"))
    x = torch.from_numpy(images(8))[torch.randperm(8, generator=generator)].float() / 255
    codes = plain.encoder(x)[0]
    loss = torch.nn.functional.binary_cross_entropy_with_logits(plain.decoder(codes), x)
    penalty = entry["weight"] * by_hand(own, plain, codes, generator)
    gradients = torch.autograd.grad(loss + penalty, list(plain.parameters()), retain_graph=True)
    largest = max(gradient.abs().max().item() for gradient in gradients)
    for parameter, gradient in zip(model.parameters(), gradients, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-4, atol=1e-5 * largest)
    # The penalty's share is more than that tolerance.
    alone = torch.autograd.grad(penalty, list(plain.parameters()), allow_unused=True)
    assert max(gradient.abs().max() for gradient in alone if gradient is not None) > 1e-3 * largest


@pytest.mark.parametrize("batches", [1, 2, 3])
@pytest.mark.parametrize("own", OWN)
def test_an_interrupted_training_with_a_penalty_ends_with_the_same_bits(tmp_path, own, batches):
    """After every batch; within and at the ends of epochs."""
    entry = own_penalties.entry(tmp_path, own)
    objective, options = with_own(entry, beta=0.01), TrainingOptions(3, 8, SCHEDULE)
    model = network(variational=True)
    result = train(model, images(), options, objective, 0, CPU)
    for epoch in result.history:
        parts = epoch["reconstruction_loss"] + 0.01 * epoch["kl"] + entry["weight"] * epoch["mine_penalty"]
        assert epoch["loss"] == pytest.approx(parts, rel=1e-6)
    interruptions = 0
    while True:
        again = network(variational=True)
        try:
            resumed = train(again, images(), options, objective, 0, CPU, Interrupted(tmp_path / "checkpoint", batches))
            break
        except KeyboardInterrupt:
            interruptions += 1
            assert interruptions <= 9
    # Of nine batches, and the one that is interrupted counts.
    assert interruptions == resumed.resumed == 9 // batches
    assert state_bytes(again) == state_bytes(model)
    assert resumed.history == result.history


@pytest.mark.parametrize("name", ["loss", "reconstruction_loss", "reconstruction", "epoch"])
def test_a_penalty_of_any_name_has_a_column_of_its_own(tmp_path, name):
    entry = own_penalties.entry(tmp_path, "weights")
    (epoch,), (expected,) = (
        train(network(), images(), TrainingOptions(1, 8, SCHEDULE), with_own(entry, called), 0, CPU).history
        for called in (name, "mine")
    )
    assert list(epoch) == [*HISTORY, f"{name}_penalty"]
    assert list(epoch.values()) == list(expected.values())


SEEN = """
seen = []


def penalty(step, options):
    seen.append((step, options))
    return step.codes.square().mean()
"""


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("variational", [False, True])
def test_a_penalty_sees_the_batch_on_its_way_through_the_network(tmp_path, variational, precision):
    (tmp_path / "mine.py").write_text(SEEN, encoding="utf-8")
    entry = {"kind": str(tmp_path / "mine.py"), "weight": 1.0, "size": 3}
    model, batch, through = network(variational), some_batch(6), []
    model.decoder.register_forward_hook(lambda _, given, made: through.append((*given, made)))
    losses_of(model, batch, with_own(entry, noise=0.5), seed=3, precision=precision)
    ((step, options),) = kinds.load("penalties", entry["kind"]).seen
    assert options == entry
    assert step.network is model and step.images is batch
    ((decoded, logits),) = through
    assert step.decoded is decoded
    torch.testing.assert_close(step.logits, logits.float(), rtol=0, atol=0)
    with numerics.autocast(precision, CPU):
        mean, log_variance = model.encoder(batch)
    torch.testing.assert_close(step.codes, mean, rtol=0, atol=0)
    torch.testing.assert_close(step.log_variance, log_variance, rtol=0, atol=0)
    generator = torch.Generator().manual_seed(3)
    code = sample_code(mean, log_variance, generator) if variational else mean
    torch.testing.assert_close(step.decoded, code + 0.5 * torch.randn(code.shape, generator=generator))
    # A penalty's random numbers are the generator's next ones.
    assert torch.equal(torch.randn(2, generator=step.generator), torch.randn(2, generator=generator))
    assert {part.dtype for part in (step.codes, step.decoded, step.logits)} == {torch.float32}


def test_a_job_older_than_an_option_takes_the_options_earlier_value(tmp_path):
    option = {"type": "integer", "default": 2, "before": 1, "description": "a whole number"}
    (tmp_path / "mine.py").write_text(f"OPTIONS = {{'power': {option}}}\n{SEEN}", encoding="utf-8")
    entry = {"kind": str(tmp_path / "mine.py"), "weight": 0.5}
    for written, power in (({}, 1), ({"power": 3}, 3)):
        assert with_own(entry | written).terms(variational=False)["mine"].options["power"] == power


def trained_with(folder, returned: str):
    (folder / "mine.py").write_text(f"def penalty(step, options):\n    return {returned}\n", encoding="utf-8")
    objective = with_own({"kind": str(folder / "mine.py"), "weight": 1.0})
    return train(network(), images(), TrainingOptions(1, 8, SCHEDULE), objective, 0, CPU)


def test_a_penalty_that_is_not_finite_is_named(tmp_path, caplog):
    assert trained_with(tmp_path, "step.codes.mean() * float('nan')").status == "diverged"
    # The weights that it breaks break the later reconstructions too.
    assert "epoch 1: the loss is nan (reconstruction_loss, mine_penalty not finite)" in caplog.text


def test_a_penalty_without_a_gradient_is_reported(tmp_path):
    with pytest.warns(UserWarning, match="the penalty mine has no gradient"):
        trained_with(tmp_path, "(step.codes > 0).sum().float()")


@pytest.mark.parametrize("returned", ["None", "1.5", "step.codes", "step.codes.mean().item()"])
def test_a_penalty_that_is_no_single_number_is_refused_by_name(tmp_path, returned):
    with pytest.raises(UserError, match="the penalty mine"):
        trained_with(tmp_path, returned)


def test_shared_generators_are_seeded_for_kinds_that_draw_from_them():
    def drawn(seed, purpose):
        seed_globals(seed, purpose)
        return random.random(), float(np.random.rand()), float(torch.rand(()))  # noqa: NPY002

    assert drawn(0, "a") == drawn(0, "a")
    assert len({*drawn(0, "a"), *drawn(1, "a"), *drawn(0, "b")}) == 9
