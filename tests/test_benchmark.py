"""`make bench`: what it counts is right, what it compares is alike, and its table says what was measured."""

import math
import os
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from torch.utils.data import DataLoader, TensorDataset

from autoencoders import settings
from autoencoders.objective import Objective
from autoencoders.seeds import stream_seed
from autoencoders.training import ADAM, TrainingOptions, train

# Where `python workflow/benchmark` finds it; the processes that it starts inherit the path.
sys.path.insert(0, str(Path(__file__).parents[1] / "workflow"))

from benchmark import distances, features, flops, jobs, mixtures, plan, projection, report, sharing, training
from benchmark.comparison import Comparison, isolated, row
from benchmark.run import run

CASE = training.Case("tiny", 32, 2, 8, 512)
EFFORT = training.Effort(gpu=0, threads=1, seconds=0.2, product=128)


def test_the_papers_grid_is_20_9_exaflop():
    config = settings.resolve(yaml.safe_load(plan.CONFIG.read_text()))
    work = flops.grid_flops(settings.cells(config), config)
    assert len(work) == 346
    assert sum(amount for _, amount in work) == pytest.approx(20.9e18, rel=0.005)


def test_a_products_rate_is_two_operations_a_term_over_the_best_time(monkeypatch):
    ticks = iter([0, 0, 0, 2, 2, 2, 6, 9])
    monkeypatch.setattr(flops.time, "perf_counter", lambda: next(ticks))
    # Products that take 2 and 4 seconds.
    assert flops.product_rate(10, torch.float32, torch.device("cpu"), seconds=5) == 2 * 10**3 / 2


def test_the_plain_loop_and_ours_reach_the_same_losses_from_the_same_batches():
    images, seed, epochs = CASE.noise(), 3, 2
    ours = train(
        CASE.network(),
        images,
        TrainingOptions(epochs, training.BATCH, ((0, training.RATE),), precision="fp32"),
        Objective(),
        seed,
        torch.device("cpu"),
    )
    model = training.Reconstructor(CASE.network()).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=training.RATE, **ADAM)
    data = TensorDataset(torch.from_numpy(images).float() / 255)
    generator = torch.Generator().manual_seed(stream_seed(seed, "training"))
    losses = []
    for _ in range(epochs):
        order = torch.randperm(len(images), generator=generator).tolist()
        loader = DataLoader(data, batch_size=training.BATCH, sampler=order)
        losses.append(training.plain_epoch(model, loader, optimizer, torch.device("cpu")))
    np.testing.assert_allclose(losses, [epoch["loss"] for epoch in ours.history], rtol=1e-5)
    assert losses[1] < losses[0] - 1e-4


def test_a_rate_is_that_of_a_run_which_is_long_enough():
    runs = []

    def loop(images, epochs):
        runs.append((len(images), epochs))
        # A second of overhead, then 1,000 images a second.
        return 1 + len(images) * epochs / 1000

    rate = training.images_per_second(loop, np.zeros((1408, 1)), seconds=10)
    assert runs[0] == (256, 1)
    images, epochs = runs[-1]
    assert images == 1408
    spent = 1 + images * epochs / 1000
    assert 5 <= spent <= 11
    assert rate == pytest.approx(images * epochs / spent)
    assert all(count % training.BATCH == 0 for count, _ in runs)


def test_a_contender_that_cannot_run_has_a_row_that_says_why():
    (found,) = Comparison("training", "tiny", "other", 1, math.sqrt, (-1,)).rows()
    assert math.isnan(found["value"])
    assert found["note"] == "not measured: ValueError: math domain error"
    assert (found["section"], found["case"], found["contender"]) == ("training", "tiny", "other")


def test_comparisons_run_in_processes_of_their_own():
    assert isolated(os.getpid) != os.getpid()


def test_without_pythae_its_row_is_empty():
    try:
        import pythae  # noqa: F401
    except ModuleNotFoundError:
        (found,) = Comparison("training", "tiny", "Pythae", 1, training.measure_pythae, (CASE, EFFORT)).rows()
        assert found["note"] == "not measured: ModuleNotFoundError: No module named 'pythae'"
    else:
        pytest.skip("Pythae is installed")


def test_pythae_trains_our_network():
    pytest.importorskip("pythae")
    (found,) = isolated(training.measure_pythae, CASE, EFFORT)
    assert found["value"] > 0


def test_cells_that_share_a_device_train_at_the_same_time_and_their_rates_are_added_up(monkeypatch):
    began = time.time()
    rate = isolated(sharing.train_between, CASE, "fp32", EFFORT, began + 8)
    # It has waited for the others.
    assert time.time() - began > 8
    assert rate > 0
    monkeypatch.setattr(sharing, "WARM_UP", 0.0)
    monkeypatch.setattr(sharing.ProcessPoolExecutor, "submit", lambda *_: SimpleNamespace(result=lambda: 7.0))
    (found,) = sharing.measure_shared(CASE, "fp32", 3, EFFORT)
    assert (found["contender"], found["value"], found["ours"]) == ("3 cells at once, 1 CPU thread(s) each", 21.0, False)


def test_ratios_are_to_ours_of_the_same_case_and_unit():
    table = report.with_ratios(
        [
            row("training", "a", "this pipeline", 10, "images/s", ours=True),
            row("training", "a", "other", 5, "images/s"),
            row("training", "a", "other, compilation", 7, "s"),
            row("training", "b", "this pipeline", 4, "images/s", ours=True),
            row("training", "b", "other", math.nan, "", note="not measured"),
            row("mixture", "a", "other", 1, "images/s"),
        ]
    )
    np.testing.assert_array_equal(table["ratio"], [1, 0.5, np.nan, 1, np.nan, np.nan])


def test_every_number_has_three_digits_or_all_before_the_point():
    numbers = [0.012345, 1.5, 20.912, 99.95, 12345.6, math.nan]
    assert [report.rounded(number) for number in numbers] == ["0.0123", "1.5", "20.9", "100", "12,346", ""]


def test_a_cell_is_projected_from_the_nearest_width_of_its_image_size():
    cases = [
        training.Case(f"{size} {filters}", size, filters, 8, 128) for size, filters in [(32, 8), (32, 64), (64, 32)]
    ]
    nearest = {(32, 16): "32 8", (32, 32): "32 64", (32, 256): "32 64", (64, 8): "64 32"}
    for (size, filters), name in nearest.items():
        assert projection.nearest_case(size, filters, cases).name == name


def test_training_time_is_work_over_rate_added_up_by_dataset():
    config = {"datasets": {"small": {"size": 32}, "large": {"size": 64}}}
    cases = [training.Case("s", 32, 8, 8, 128), training.Case("l", 64, 8, 8, 128)]
    work = [
        ({"dataset": "small", "filters": 8}, 100.0),
        ({"dataset": "small", "filters": 16}, 300.0),
        ({"dataset": "large", "filters": 8}, 60.0),
    ]
    found = projection.training_seconds(work, config, cases, {"s": 4.0, "l": 2.0})
    assert found == {"small": 100.0, "large": 30.0}


@pytest.fixture(scope="module")
def planning() -> dict[str, int]:
    """Jobs by rule of a grid of 30 cells."""
    _, found = jobs.dry_run("config/demo.yaml")
    return found


def test_the_rules_whose_start_up_is_measured_are_those_with_a_job_a_cell(planning):
    cells = planning["train"]
    assert {rule for rule, count in planning.items() if count >= cells and rule != "total"} == set(jobs.PER_CELL)
    assert planning["total"] == sum(planning.values()) / 2


def test_every_section_measures_and_its_table_is_saved_as_parquet_and_markdown(tmp_path, capsys, planning):
    options = (CASE, "fp32", "fp32", EFFORT)
    rows = run(
        [
            Comparison("training", "tiny", "this pipeline", 1, training.measure_pipeline, options),
            Comparison("training", "tiny", "tf32", 1, training.measure_pipeline, (CASE, "tf32", "fp32", EFFORT)),
            Comparison("training", "tiny", "plain", 1, training.measure_plain, (CASE, EFFORT)),
            Comparison("features", "tiny", "", 1, features.measure_features, (3, 2, 0, 1)),
            Comparison("Fréchet distance", "tiny", "", 1, distances.measure_distances, (200, 32, 0, 1)),
            Comparison("mixture", "tiny", "", 1, mixtures.measure_pipeline, (500, 4, 3, 0, 1)),
            Comparison("mixture", "tiny", "", 1, mixtures.measure_scikit_learn, (500, 4, 3)),
            Comparison("start-up", "a job", "", 1, jobs.measure_snakemakes_part),
            Comparison("start-up", "a job", "", 1, jobs.measure_start_up, ("fit_prior",)),
        ]
    )
    assert "[9/9] start-up, a job" in capsys.readouterr().out
    rows += [row("planning", "", rule, planning[rule], "jobs") for rule in jobs.PER_CELL]
    rows += projection.project(rows, [CASE], plan.CONFIG)
    table = report.with_ratios(rows)
    page = report.save(tmp_path, table, {"torch": "9.9", "date": "today"})
    assert page == (tmp_path / "benchmark.md").read_text()
    saved = pd.read_parquet(tmp_path / "benchmark.parquet")
    assert set(saved["torch"]) == {"9.9"}
    pd.testing.assert_frame_equal(saved.drop(columns=["torch", "date"]), table)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["benchmark.md", "benchmark.parquet"]
    unmeasured = table[table["value"].isna()]
    assert unmeasured["contender"].tolist() == ["this pipeline, tf32"]
    assert "no fast tf32 products" in unmeasured["note"].item()
    assert (table["value"].dropna() > 0).all()
    assert (table.loc[table["ours"], "ratio"] == 1).all()
    for section in ("Training", "Arithmetic", "Features", "Fréchet distance", "Mixture", "Start-up", "Projection"):
        assert f"## {section}" in page
    # The same layers twice.
    apart = table.loc[table["contender"] == "pytorch-fid's way", "note"].item()
    assert float(apart.split()[4]) < 1e-4
    # The same fit twice: its note tells what EM came to.
    assert table.loc[table["section"] == "mixture", "note"].nunique() == 1
    values = table.set_index(["contender", "unit"])["value"]
    hours = values["fit_prior", "s"] * planning["fit_prior"] / 3600
    assert values["start-up of the cells' jobs", "h"] == pytest.approx(hours)


def test_the_plan_has_every_contender_and_every_script_once():
    on_a_cpu, on_a_gpu = (
        [f"{step.section}, {step.case}, {step.contender}" for step in plan.plan(sizes, gpu, threads=2)]
        for sizes, gpu in ((plan.ON_A_CPU, 0), (plan.ON_A_GPU, 1))
    )
    for steps, sizes in ((on_a_cpu, plan.ON_A_CPU), (on_a_gpu, plan.ON_A_GPU)):
        assert len(steps) == len(set(steps))
        for case in sizes.cases:
            for contender in ("bf16", "tf32", "fp32"):
                assert f"training, {case.name}, this pipeline, {contender}" in steps
            for contender in ("plain PyTorch loop", "Pythae"):
                assert f"training, {case.name}, {contender}" in steps
        for script in jobs.PER_CELL:
            assert f"start-up, a job, {script}" in steps
    assert [step for step in on_a_gpu if "torch.compile" in step]
    assert not [step for step in on_a_cpu if "torch.compile" in step]
    assert sum(step.seconds for step in plan.plan(plan.ON_A_CPU, 0, threads=2)) < 600


def test_the_progress_estimate_is_what_is_left_at_the_pace_so_far(capsys, monkeypatch):
    clock = iter([0.0, 20.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    steps = [Comparison("s", "c", str(seconds), seconds, list) for seconds in (10, 30)]
    monkeypatch.setattr(Comparison, "rows", lambda self: [])
    assert run(steps) == []
    assert capsys.readouterr().out.splitlines() == [
        "[1/2] s, c, 10 (about 0:00:40 left)",
        "[2/2] s, c, 30 (about 0:01:00 left)",
    ]
