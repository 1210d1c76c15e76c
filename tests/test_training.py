"""Objective, schedule and training loop against closed forms and plain PyTorch."""

import dataclasses
import math

import numpy as np
import own_penalties
import pytest
import torch
import yaml
from interrupting import Interrupted
from own_penalties import OWN

from autoencoders.config import settings
from autoencoders.config.seeds import seed_globals
from autoencoders.jobs import kinds
from autoencoders.jobs.errors import UserError
from autoencoders.latent.encode_decode import decode, encode
from autoencoders.networks import numerics, training
from autoencoders.networks.network import Autoencoder, NetworkOptions, parse_depth, sample_code, to_unit_interval
from autoencoders.networks.objective import Objective, batch_losses, reconstruction_loss
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


def losses_of(model, batch, objective, seed=0, number_format="fp32") -> tuple[torch.Tensor, torch.Tensor, dict]:
    """`batch_losses` with random numbers from a seed."""
    terms = objective.terms(model.options.variational)
    return batch_losses(
        model, batch, objective.noise, terms, torch.Generator().manual_seed(seed), precision=number_format
    )


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
    kl = {}
    for reduction in ("mean", "sum"):
        objective = Objective(beta=0.5, kl_reduction=reduction)
        loss, reconstruction, penalties = losses_of(model, batch, objective)
        kl[reduction] = penalties["kl"].item()
        assert loss.item() == pytest.approx(reconstruction.item() + 0.5 * kl[reduction], rel=1e-6)
    assert kl["sum"] == pytest.approx(4 * kl["mean"], rel=1e-5)


def test_noise_reaches_the_decoder_in_training_and_nowhere_else():
    model, batch = network(), to_unit_interval(torch.from_numpy(images(6)))
    seen = []
    hook = model.decoder.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0].detach()))
    losses_of(model, batch, Objective(noise=0.5), seed=3)
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
    losses_of(model.eval(), batch, Objective(noise=0.5))
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
    loss, reconstruction, penalties = losses_of(model, batch, VAE)
    assert penalties.keys() == {"kl"}
    assert loss.item() == pytest.approx(reconstruction.item() + 0.01 * penalties["kl"].item(), rel=1e-6)
    again = losses_of(model, batch, VAE, seed=1)
    assert penalties["kl"].item() == pytest.approx(again[2]["kl"].item(), rel=1e-6)
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
    if numerics.usable("bf16", CPU) != "bf16":
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
    loss, reconstruction, penalties = losses_of(model, batch, VAE, number_format="bf16")
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


def test_the_history_of_a_dae_without_penalties_has_a_kl_of_zero():
    for epoch in train(network(), images(), TrainingOptions(2, 8, SCHEDULE), DAE, 0, CPU).history:
        assert list(epoch) == ["epoch", "learning_rate", "loss", "reconstruction_loss", "kl"]
        assert epoch["kl"] == 0
        assert epoch["loss"] == epoch["reconstruction_loss"] > 0


def with_own(entry, name="mine", **others) -> Objective:
    return Objective(penalties={name: entry}, **others)


@pytest.mark.parametrize("variational", [False, True])
@pytest.mark.parametrize("own", OWN)
def test_the_loss_is_the_reconstructions_and_the_weighted_penalties(tmp_path, own, variational):
    entry = own_penalties.entry(tmp_path, own)
    beta = 0.01 if variational else 0
    objective = with_own(entry, beta=beta)
    result = train(network(variational), images(), TrainingOptions(3, 8, SCHEDULE), objective, 0, CPU)
    assert (result.status, len(result.history)) == ("ok", 3)
    for epoch in result.history:
        assert list(epoch) == ["epoch", "learning_rate", "loss", "reconstruction_loss", "kl", "mine_penalty"]
        assert (epoch["kl"] > 0) == variational
        mine = entry["weight"] * epoch["mine_penalty"]
        assert epoch["loss"] == pytest.approx(epoch["reconstruction_loss"] + beta * epoch["kl"] + mine, rel=1e-6)
        # Otherwise the sum above could do without it.
        assert mine > 1e-3 * epoch["loss"]


@pytest.mark.parametrize("name", ["loss", "reconstruction_loss", "reconstruction", "epoch"])
def test_a_penalty_of_any_name_has_a_column_of_its_own(tmp_path, name):
    entry = own_penalties.entry(tmp_path, "weights")
    (epoch,) = train(network(), images(), TrainingOptions(1, 8, SCHEDULE), with_own(entry, name), 0, CPU).history
    assert list(epoch) == ["epoch", "learning_rate", "loss", "reconstruction_loss", "kl", f"{name}_penalty"]
    (expected,) = train(network(), images(), TrainingOptions(1, 8, SCHEDULE), with_own(entry), 0, CPU).history
    assert list(epoch.values()) == list(expected.values())


def by_hand(own: str, model: Autoencoder, codes: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """What a file of ``own_penalties`` computes, by other means."""
    if own == "random":
        return ((codes - 2.0 * torch.randn(codes.shape, generator=generator)) ** 2).sum() / codes.numel()
    if own == "weights":
        return torch.cat([parameter.flatten() for parameter in model.decoder.parameters()]).norm() ** 2

    def squared(points: torch.Tensor) -> torch.Tensor:
        return (model.decoder(points) ** 2).sum()

    return (torch.autograd.functional.jacobian(squared, codes, create_graph=True) ** 2).sum() / codes.numel()


@pytest.mark.parametrize(
    ("own", "changed"), [("random", {"encoder"}), ("weights", {"decoder"}), ("gradient", {"encoder", "decoder"})]
)
def test_a_step_follows_the_gradient_of_the_reconstructions_loss_and_the_penalty(tmp_path, own, changed):
    entry = own_penalties.entry(tmp_path, own)
    trained = {}
    for name, objective in (("without", DAE), ("with", with_own(entry))):
        trained[name] = network()
        train(trained[name], images(8), TrainingOptions(1, 8, ((0, 1e-3),)), objective, 5, CPU)

    plain = network().to(memory_format=torch.channels_last)
    generator = torch.Generator().manual_seed(training.stream_seed(5, "training"))
    x = torch.from_numpy(images(8))[torch.randperm(8, generator=generator)].float() / 255
    codes = plain.encoder(x)[0]
    loss = torch.nn.functional.binary_cross_entropy_with_logits(plain.decoder(codes), x)
    penalty = by_hand(own, plain, codes, generator)
    for name, total in (("without", loss), ("with", loss + entry["weight"] * penalty)):
        gradients = torch.autograd.grad(total, list(plain.parameters()), retain_graph=True)
        largest = max(gradient.abs().max().item() for gradient in gradients)
        for parameter, gradient in zip(trained[name].parameters(), gradients, strict=True):
            torch.testing.assert_close(parameter.grad, gradient, rtol=1e-4, atol=1e-5 * largest)
        # Adam's first step hardly depends on how large a gradient is: it is computed of those that training has found.
        stepped = network().to(memory_format=torch.channels_last)
        for parameter, found in zip(stepped.parameters(), trained[name].parameters(), strict=True):
            parameter.grad = found.grad
        torch.optim.Adam(stepped.parameters(), lr=float(np.float32(1e-3)), **training.ADAM, fused=True).step()
        for parameter, found in zip(stepped.parameters(), trained[name].parameters(), strict=True):
            assert torch.equal(parameter, found)

    for part in ("encoder", "decoder"):
        pairs = zip(*(getattr(trained[name], part).parameters() for name in trained), strict=True)
        differences = [(there.grad - here.grad).abs().max().item() for here, there in pairs]
        assert (max(differences) > 1e-3 * largest) if part in changed else not any(differences)


@pytest.mark.parametrize("batches", [1, 2, 3])
@pytest.mark.parametrize("own", OWN)
def test_an_interrupted_training_with_a_penalty_ends_with_the_same_bits(tmp_path, own, batches):
    """After every batch; within and at the ends of epochs."""
    objective = with_own(own_penalties.entry(tmp_path, own), beta=0.01)
    options = TrainingOptions(3, 8, SCHEDULE)
    model = network(variational=True)
    result = train(model, images(), options, objective, 0, CPU)
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


SEEN = """
seen = []


def penalty(step, options):
    seen.append((step, options))
    return step.codes.square().mean()
"""


@pytest.mark.parametrize("number_format", ["fp32", "bf16"])
@pytest.mark.parametrize("variational", [False, True])
def test_a_penalty_sees_the_batch_on_its_way_through_the_network(tmp_path, variational, number_format):
    (tmp_path / "mine.py").write_text(SEEN)
    entry = {"kind": str(tmp_path / "mine.py"), "weight": 1.0, "size": 3}
    model, batch = network(variational), to_unit_interval(torch.from_numpy(images(6)))
    through = []
    model.decoder.register_forward_hook(lambda _, given, made: through.append((*given, made)))
    losses_of(model, batch, with_own(entry, noise=0.5), seed=3, number_format=number_format)
    ((step, options),) = kinds.load("penalties", entry["kind"]).seen
    assert options == entry
    assert step.network is model and step.images is batch
    ((decoded, logits),) = through
    assert step.decoded is decoded
    torch.testing.assert_close(step.logits, logits.float(), rtol=0, atol=0)
    with numerics.autocast(number_format, CPU):
        mean, log_variance = model.encoder(batch)
    torch.testing.assert_close(step.codes, mean, rtol=0, atol=0)
    assert (step.log_variance is not None) == variational
    generator = torch.Generator().manual_seed(3)
    code = mean
    if variational:
        torch.testing.assert_close(step.log_variance, log_variance, rtol=0, atol=0)
        code = sample_code(mean, log_variance, generator)
    torch.testing.assert_close(step.decoded, code + 0.5 * torch.randn(code.shape, generator=generator))
    # What it draws are the next numbers.
    assert torch.equal(torch.randn(2, generator=step.generator), torch.randn(2, generator=generator))
    assert {part.dtype for part in (step.codes, step.decoded, step.logits)} == {torch.float32}


def test_an_option_that_is_newer_than_a_job_is_as_before_it_existed(tmp_path):
    option = {"type": "integer", "default": 2, "before": 1, "description": "a whole number"}
    (tmp_path / "mine.py").write_text(f"OPTIONS = {{'power': {option}}}\n{SEEN}")
    kind = str(tmp_path / "mine.py")
    for written, power in (({}, 1), ({"power": 3}, 3)):
        terms = with_own({"kind": kind, "weight": 0.5, **written}).terms(variational=False)
        assert (terms["mine"].weight, terms["mine"].options["power"]) == (0.5, power)


def own_file(folder, text):
    path = folder / "mine.py"
    path.write_text(text)
    return {"kind": str(path), "weight": 1.0}


def test_a_penalty_that_is_not_finite_is_named(tmp_path, caplog):
    entry = own_file(tmp_path, "def penalty(step, options):\n    return step.codes.mean() * float('nan')\n")
    result = train(network(), images(), TrainingOptions(1, 8, SCHEDULE), with_own(entry), 0, CPU)
    assert result.status == "diverged"
    # The weights that it breaks break the reconstructions after it.
    assert "epoch 1: the loss is nan (reconstruction_loss, mine_penalty not finite); this cell ends as" in caplog.text


def test_a_penalty_without_a_gradient_is_told_of(tmp_path):
    entry = own_file(tmp_path, "def penalty(step, options):\n    return (step.codes > 0).sum().float()\n")
    with pytest.warns(UserWarning, match="the penalty mine has no gradient: it changes nothing"):
        train(network(), images(), TrainingOptions(1, 8, SCHEDULE), with_own(entry), 0, CPU)


@pytest.mark.parametrize("returned", ["None", "1.5", "step.codes", "step.codes.mean().item()"])
def test_a_penalty_that_is_no_single_number_is_refused_by_name(tmp_path, returned):
    entry = own_file(tmp_path, f"def penalty(step, options):\n    return {returned}\n")
    with pytest.raises(UserError, match="the penalty mine has to be a tensor of one number, and returned"):
        train(network(), images(), TrainingOptions(1, 8, SCHEDULE), with_own(entry), 0, CPU)


def test_shared_generators_are_seeded_for_kinds_that_draw_from_them():
    import random

    def drawn(seed, purpose):
        seed_globals(seed, purpose)
        return random.random(), float(np.random.rand()), float(torch.rand(()))  # noqa: NPY002

    assert drawn(0, "a") == drawn(0, "a")
    assert len({*drawn(0, "a"), *drawn(1, "a"), *drawn(0, "b")}) == 9
