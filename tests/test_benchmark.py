"""`make bench`: what it counts is right, what it compares is alike, and its page says what was measured."""

import itertools
import math
import os
import runpy
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from PIL import Image

from autoencoders.config import grid, settings
from autoencoders.jobs import gpu_slots
from autoencoders.networks import training as training_loop
from autoencoders.networks.network import Autoencoder
from autoencoders.networks.objective import Objective, reconstruction_loss
from autoencoders.networks.training import TrainingOptions, train
from autoencoders.scores.extractors import inception
from autoencoders.scores.features import extract

# The processes that a comparison starts inherit the path.
sys.path.insert(0, str(Path(__file__).parents[1] / "workflow"))

from benchmark import comparison, loops, machine, methods, plan, projection, report, scores, sharing, training
from benchmark.comparison import Comparison
from benchmark.loops import BATCH, Case
from benchmark.machine import Machine

CASE = Case("tiny", 32, 2, 8, 512)
HERE = Machine(gpu=0, threads=1)
CPU = torch.device("cpu")
LABELS = ("section", "case", "contender", "value", "unit", "ours")


def line(*values):
    return {"ours": False, "note": "", "failed": False} | dict(zip(LABELS, values, strict=False))


@pytest.fixture(scope="module")
def paper():
    return settings.resolve(yaml.safe_load(plan.CONFIG.read_text(encoding="utf-8")))


@pytest.mark.parametrize("start_up", [0, 3, 40])
def test_a_rate_is_that_of_steady_steps_in_a_run_that_is_long_enough(start_up):
    runs = []

    def loop(images, epochs):
        runs.append(len(images) * epochs)
        assert len(images) % BATCH == 0
        return start_up + len(images) * epochs / 1000

    assert loops.steady_rate(loop, np.zeros((11 * BATCH, 1)), seconds=10) == pytest.approx(1000)
    assert runs[0] == runs[1] == loops.FIRST
    assert 5_000 <= runs[-1] <= 15_000


@pytest.mark.parametrize("other", ["plain", "Pythae"])
def test_the_loops_that_are_compared_train_the_same_network_to_the_same_loss(other):
    if other == "Pythae":
        pytest.importorskip("pythae")
        from benchmark.pythae_loop import pythae_loop as other_loop
    else:
        other_loop = loops.plain_loop
    images = CASE.noise()[: 2 * BATCH]

    def loss(network):
        batch = loops.unit_images(images)
        return reconstruction_loss(network.decoder(network.encoder(batch)[0]), batch).item()

    ours, theirs = CASE.network(), CASE.network()
    before = loss(ours)
    torch.manual_seed(0)
    for loop in (loops.pipeline_loop(ours, CPU, "fp32"), other_loop(theirs, CPU)):
        assert loop(images, 3) > 0
    assert loss(theirs) == pytest.approx(loss(ours), abs=0.02 * (before - loss(ours)))


def test_a_comparison_that_fails_has_a_row_with_the_reason_and_fails_the_benchmark_unless_it_is_optional(
    tmp_path, monkeypatch, capsys
):
    steps = [Comparison("training", "tiny", "torch.compile", math.sqrt, (-1,), optional=True)]
    steps += [Comparison("training", "tiny", "other", math.sqrt, (-2,))]
    monkeypatch.setattr(plan, "plan", lambda *_: steps)
    monkeypatch.setattr(comparison, "isolated", lambda function, *arguments: function(*arguments))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match=r"^Failed:\ntraining, tiny, other: not measured: ValueError.*$"):
        runpy.run_module("benchmark", run_name="__main__")
    page = Path("results/benchmark/benchmark.md").read_text(encoding="utf-8")
    assert page in capsys.readouterr().out
    assert page.count("not measured: ValueError") == 2


def test_rates_of_cells_that_share_are_added_up(monkeypatch):
    monkeypatch.setattr(sharing, "train_together", lambda *_: [(10.0, 20.0, 5.0), (11.0, 19.0, 7.0), (10.0, 20.0, 9.0)])
    (found,) = sharing.measure_shared(HERE, CASE, "fp32", 3, 1)
    assert (found.value, found.ours) == (21, False)
    assert "80%" in found.note


def test_a_step_of_a_method_in_the_benchmark_is_that_of_training(paper, monkeypatch):
    """Both from the same weights, and with the same random numbers, to the same weights."""
    case, images = replace(CASE, latent=12), CASE.noise()[:BATCH]
    made, steps = [], []

    def network(options, seed):
        made.append(Autoencoder(options, seed))
        return made[-1]

    monkeypatch.setattr(methods, "Autoencoder", network)
    for model in (methods.PLAIN, *methods.METHODS):
        step = methods.training_step(paper, model, case, "fp32", CPU)
        objective = Objective(**grid.objective_options(paper, model, "cifar10"))
        trained = Autoencoder(made[-1].options, 0)
        assert made[-1].options.latent_norm == paper["models"][model]["latent_norm"]
        steps.append((objective.penalties, made[-1].options.latent_norm))
        # Training shuffles, which draws numbers; one that leaves images as they are draws none.
        monkeypatch.setattr(torch, "randperm", lambda count, **_: torch.arange(count))
        monkeypatch.setattr(training_loop, "stream_seed", lambda *_: 0)
        train(trained, images, TrainingOptions(2, BATCH, ((0, loops.RATE),)), objective, 0, CPU)
        for _ in range(2):
            step(torch.from_numpy(images))
        for name, value in made[-1].state_dict().items():
            assert torch.equal(value, trained.state_dict()[name]), (model, name)
    # No two of them are the same.
    assert all(one != other for one, other in itertools.combinations(steps, 2))


def test_methods_are_compared_turn_by_turn(paper, monkeypatch):
    """A machine that becomes three times as slow in some turns changes no ratio."""
    turns, slow = iter(range(10**6)), [1, 3, 1, 1, 3]
    models = (methods.PLAIN, *methods.METHODS)

    def timed(step, images):
        # The first one is the plain model's alone, and sets the number of turns.
        number = next(turns)
        turn, place = divmod(number - 1, len(models)) if number else (0, 0)
        return 0.1 * (1 + place / 10) * slow[turn % 5], None

    monkeypatch.setattr(methods, "timed", timed)
    monkeypatch.setattr(methods, "training_step", lambda *_: lambda images: None)
    rows = methods.measure_methods(HERE, CASE, "fp32", paper, 2)
    assert next(turns) == 1 + 20 * len(models)
    assert [row.contender for row in rows] == list(models)
    for place, row in enumerate(rows):
        assert (row.value, row.unit, row.ours) == (pytest.approx(100 + 10 * place), "ms a step", place == 0)
        ratio = f"{1 + place / 10:.2f}"
        assert row.note == (place > 0) * f"turn by turn {ratio} times dae (half of the turns {ratio} to {ratio})"


def test_those_that_share_a_gpu_take_one_slot_each_of_as_many(monkeypatch):
    def open_device(gpu, threads, cells_per_gpu, filters):
        assert gpu_slots.slots_per_gpu(cells_per_gpu) == 3 and gpu_slots.training_slots(cells_per_gpu, filters) == 1
        raise InterruptedError

    monkeypatch.setattr(machine, "open_device", open_device)
    monkeypatch.setattr(machine, "repeatable", lambda threads, tf32: None)
    with pytest.raises(InterruptedError):
        sharing.train_between(replace(HERE, gpu=1), CASE, "bf16", 3, 1, None)


def test_ratios_are_to_ours_of_the_same_case_and_unit():
    rows = [("a", "this pipeline", 10, "images/s", True), ("a", "other", 5, "images/s"), ("a", "other", 7, "s")]
    rows += [("b", "this pipeline", 4, "images/s", True), ("b", "other", math.nan, "")]
    table = report.with_ratios(
        [line("training", *row) for row in rows] + [line("mixture", "a", "other", 1, "images/s")]
    )
    np.testing.assert_array_equal(table["ratio"], [1, 0.5, np.nan, 1, np.nan, np.nan])


def test_a_cell_is_projected_from_the_nearest_width_and_there_from_its_image_size():
    cases = [Case(f"{size} {filters}", size, filters, 8, 128) for size, filters in [(32, 8), (32, 64), (64, 64)]]
    nearest = {(32, 16): "32 8", (32, 256): "32 64", (64, 8): "32 8", (64, 64): "64 64", (32, 64): "32 64"}
    for (size, filters), name in nearest.items():
        assert projection.nearest_case(size, filters, cases).name == name


def test_the_grids_hours_are_its_work_over_the_measured_rates():
    cases = plan.ON_A_GPU.cases
    # 10 TFLOP/s whatever the case: the README's first line of costs.
    rows = [line("training", case.name, "bf16", 1e13 / case.flops, "images/s", True) for case in cases]
    rows += [line("features", *"..", 1000, "images/s", True), line("Fréchet distance", *"..", 3.6, "s", True)]
    rows += [line("planning", *"..", 5, "s"), line("planning", *"..", 700, "jobs"), line("start-up", *"..", 3.6, "s")]
    found = {row.contender: row.value for row in projection.project(rows, cases, plan.CONFIG)}
    assert found["arithmetic of training"] == pytest.approx(21.2, abs=0.05)
    assert found["training, cifar10"] == pytest.approx(310, abs=5)
    assert found["training, cifar10"] + found["training, celeba"] == pytest.approx(21.2e18 / 1e13 / 3600, rel=0.01)
    assert found["start-up of all jobs"] == pytest.approx(700 * 3.6 / 3600)
    # The README's 21 million images.
    assert found["Inception features"] == pytest.approx(21e6 / 1000 / 3600, rel=0.02)
    hours = sum(value for part, value in found.items() if part not in ("all of these", "arithmetic of training"))
    assert found["all of these"] == pytest.approx(hours)


@pytest.mark.parametrize(("sizes", "gpu"), [(plan.ON_A_CPU, 0), (plan.ON_A_GPU, 1)])
def test_the_plan_has_every_contender_once_and_divides_threads_among_those_that_share(sizes, gpu):
    steps = plan.plan(sizes, Machine(gpu, threads=3))
    names = [(step.section, step.case, step.contender) for step in steps]
    assert len(names) == len(set(names))
    for case in sizes.cases:
        for contender in ("this pipeline, bf16", "this pipeline, fp32", "plain PyTorch loop", "Pythae"):
            assert ("training", case.name, contender) in names
    assert {step.contender for step in steps if step.optional} == {"this pipeline, torch.compile", "Pythae"}
    shared = [step.arguments for step in steps if step.section == "sharing"]
    expected = [(case, n, {1: 3, 2: 1, 4: 1}[n]) for case, counts in sizes.shared for n in counts]
    assert [(case, count, each.threads) for each, case, _, count, _ in shared] == expected


@pytest.mark.slow
def test_cells_that_share_a_device_train_at_the_same_time():
    (began, ended, rate), (other_began, other_ended, other_rate) = sharing.train_together(HERE, CASE, "fp32", 2, 1)
    assert max(began, other_began) < min(ended, other_ended)
    assert min(rate, other_rate) > 0

    # An error of one stops the others.
    with pytest.raises(KeyError, match="33"):
        sharing.train_together(HERE, replace(CASE, size=33), "fp32", 2, 1)


@pytest.mark.slow
def test_a_compiler_that_fails_is_told_in_the_row_and_stops_nothing(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    arguments = (HERE, CASE, "fp32", 0.1)
    (found,) = Comparison("training", "tiny", "", training.measure_compiled, arguments, optional=True).rows()
    assert math.isnan(found["value"])
    assert "no-such-compiler" in found["note"]
    assert not found["failed"]


@pytest.mark.slow
def test_both_passes_and_pytorch_fids_own_give_the_same_features(inception_weights, tmp_path):
    from pytorch_fid.fid_score import get_activations

    images = np.random.default_rng(0).integers(0, 256, (3, 3, 8, 8)).repeat(4, 2).repeat(4, 3).astype(np.uint8)
    files = [tmp_path / f"{index}.png" for index in range(len(images))]
    for file, image in zip(files, images, strict=True):
        Image.fromarray(image.transpose(1, 2, 0)).save(file)
    network = inception.inception_network(inception_weights, block=3).eval()
    own = get_activations(files, network, batch_size=2, num_workers=0)
    found = scores.pytorch_fid_pass(lambda batch: network(batch)[0].flatten(start_dim=1), images, 2, CPU)
    # The same computation, in the same order.
    np.testing.assert_array_equal(found, own)
    ours = extract(inception.load(inception_weights, CPU), images, 2, CPU).numpy()
    scale = np.abs(found).max()
    np.testing.assert_allclose(ours, found, atol=1e-4 * scale)
    # Features of other images, or in another order, would fail.
    assert min(np.abs(found[0] - found[1]).max(), np.abs(found[1] - found[2]).max()) > 0.01 * scale


@pytest.mark.slow
def test_the_whole_benchmark_of_tiny_sizes_has_a_value_in_every_row(tmp_path, monkeypatch):
    tiny = plan.Sizes([CASE], [(CASE, (1,))], 0.2, (3, 2, 2), (200, 32), 300, [(500, 4, 3)], replace(CASE, latent=12))
    monkeypatch.setattr(plan, "ON_A_CPU", tiny)
    monkeypatch.setattr(machine, "this_machine", lambda: HERE)
    monkeypatch.chdir(tmp_path)
    runpy.run_module("benchmark", run_name="__main__")
    folder = tmp_path / "results" / "benchmark"
    assert sorted(os.listdir(folder)) == ["benchmark.md", "benchmark.parquet"]
    table = pd.read_parquet(folder / "benchmark.parquet").set_index("contender")
    missing = table[table["value"].isna()]
    assert {*missing.index} <= {"this pipeline, bf16", "this pipeline, torch.compile", "Pythae"}
    assert missing["note"].str.startswith("not measured: ").all()
    assert (table["value"].dropna() > 0).all()
    assert (table.loc[table["ours"], "ratio"] == 1).all()
    assert len(table[table["ours"]]) == 6 + 5 + 1
    assert (table["section"] == "cited methods").sum() == 10
    # Our distance is pytorch-fid's, and our mixture is scikit-learn's: the norms in their notes are equal.
    assert float(table.loc["pytorch-fid", "note"].split()[-1]) < 1e-6
    assert table.loc[table["section"] == "mixture", "note"].nunique() == 1
    # At least a job a cell for each of training, encoding, sampling and scoring.
    assert table[table["unit"] == "jobs"]["value"].item() > 4 * 346
