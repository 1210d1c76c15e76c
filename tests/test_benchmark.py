"""`make bench`: what it counts is right, what it compares is alike, and its table says what was measured."""

import math
import os
import runpy
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from pytorch_fid.fid_score import get_activations
from torch.utils.data import DataLoader, TensorDataset

from autoencoders.config.seeds import stream_seed
from autoencoders.jobs import gpu_slots
from autoencoders.networks.objective import Objective
from autoencoders.networks.training import ADAM, TrainingOptions, train
from autoencoders.scores.extractors import inception
from autoencoders.scores.features import extract

# Where `python workflow/benchmark` finds it; the processes that it starts inherit the path.
sys.path.insert(0, str(Path(__file__).parents[1] / "workflow"))

from benchmark import (
    comparison,
    distances,
    features,
    flops,
    jobs,
    machine,
    mixtures,
    plan,
    projection,
    report,
    sharing,
    training,
)
from benchmark.comparison import Comparison, failures, isolated, row
from benchmark.run import run

CASE = training.Case("tiny", 32, 2, 8, 512)
EFFORT = training.Effort(gpu=0, threads=1, seconds=0.2, product=128)


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


def test_pythaes_loop_reaches_the_losses_of_the_plain_one_from_the_same_batches(tmp_path):
    pytest.importorskip("pythae")
    from benchmark.pythae_loop import pythae_model, pythae_trainer

    images, epochs = CASE.noise(), 2
    trainer = pythae_trainer(pythae_model(CASE), images, epochs, torch.device("cpu"), tmp_path)
    model = training.Reconstructor(CASE.network()).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=training.RATE, **ADAM)
    data = TensorDataset(torch.from_numpy(images).float() / 255)
    loader = DataLoader(data, batch_size=training.BATCH, shuffle=True)
    theirs, plain = [], []
    for epoch in range(1, epochs + 1):
        # Both loaders draw the order of an epoch from here.
        torch.manual_seed(epoch)
        theirs.append(trainer.train_step(epoch))
        torch.manual_seed(epoch)
        plain.append(training.plain_epoch(model, loader, optimizer, torch.device("cpu")))
    np.testing.assert_allclose(theirs, plain, rtol=1e-6)
    assert plain[1] < plain[0] - 1e-4


def test_what_is_compiled_in_our_loop_are_the_encoder_and_the_decoder(monkeypatch):
    compiled = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self: compiled.append(type(self).__name__))
    training.pipeline_loop(CASE, torch.device("cpu"), "fp32")
    assert compiled == []
    training.pipeline_loop(CASE, torch.device("cpu"), "fp32", compiled=True)
    assert compiled == ["Encoder", "Decoder"]


def test_without_a_compiler_the_row_says_so_and_is_no_failure(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    (found,) = isolated(training.measure_compiled, CASE, "fp32", EFFORT)
    assert math.isnan(found["value"])
    assert "torch.compile needs a C++ compiler" in found["note"]
    assert failures([found]) == []


def test_cells_that_share_a_device_train_at_the_same_time():
    spans = sharing.train_together(CASE, "fp32", 2, replace(EFFORT, seconds=1))
    (first_began, first_ended, rate), (second_began, second_ended, other_rate) = spans
    assert max(first_began, second_began) < min(first_ended, second_ended)
    assert min(rate, other_rate) > 0


def test_an_error_of_one_that_shares_is_raised():
    with pytest.raises(KeyError, match="33"):
        sharing.train_together(replace(CASE, size=33), "fp32", 2, EFFORT)


def test_rates_of_cells_that_share_are_added_up(monkeypatch):
    monkeypatch.setattr(sharing, "train_together", lambda *_: [(10.0, 20.0, 5.0), (11.0, 19.0, 7.0), (10.0, 20.0, 9.0)])
    (found,) = sharing.measure_shared(CASE, "fp32", 3, EFFORT)
    assert (found["contender"], found["value"], found["ours"]) == ("3 at once, 1 CPU thread(s) each", 21.0, False)
    assert found["note"] == "all together, 80% of the time at once"


def test_those_that_share_a_gpu_take_one_slot_each_of_as_many(monkeypatch):
    class Asked(Exception):
        pass

    def open_device(gpu, threads, cells_per_gpu, filters):
        raise Asked(gpu, gpu_slots.slots_per_gpu(cells_per_gpu), gpu_slots.training_slots(cells_per_gpu, filters))

    monkeypatch.setattr(machine, "open_device", open_device)
    monkeypatch.setattr(machine, "repeatable", lambda threads, tf32: None)
    with pytest.raises(Asked) as asked:
        sharing.train_between(CASE, "bf16", 3, replace(EFFORT, gpu=1), None)
    assert asked.value.args == (1, 3, 1)


def test_both_passes_and_pytorch_fids_own_give_the_same_features(inception_weights, tmp_path):
    generator = np.random.default_rng(0)
    images = (generator.integers(0, 256, (3, 3, 8, 8)).repeat(4, 2).repeat(4, 3)).astype(np.uint8)
    files = [tmp_path / f"{index}.png" for index in range(len(images))]
    for file, image in zip(files, images, strict=True):
        Image.fromarray(image.transpose(1, 2, 0)).save(file)
    cpu, network = torch.device("cpu"), inception.inception_network(inception_weights, block=3).eval()
    own = get_activations(files, network, batch_size=2, num_workers=0)
    found = features.pytorch_fids_pass(lambda batch: network(batch)[0].flatten(start_dim=1), images, 2, cpu)
    assert (found.shape, found.dtype) == ((3, 2048), np.float32)
    # The same computation, in the same order.
    np.testing.assert_array_equal(found, own)
    ours = extract(inception.load(inception_weights, cpu), images, 2, cpu).numpy()
    scale = np.abs(found).max()
    np.testing.assert_allclose(ours, found, atol=1e-4 * scale)
    # Images of other features, or in another order, would not pass.
    assert min(np.abs(found[0] - found[1]).max(), np.abs(found[1] - found[2]).max()) > 0.01 * scale


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


def test_a_cell_is_projected_from_the_nearest_width_and_there_from_its_image_size():
    cases = [
        training.Case(f"{size} {filters}", size, filters, 8, 128) for size, filters in [(32, 8), (32, 64), (64, 64)]
    ]
    nearest = {(32, 16): "32 8", (32, 256): "32 64", (64, 8): "32 8", (64, 64): "64 64", (32, 64): "32 64"}
    for (size, filters), name in nearest.items():
        assert projection.nearest_case(size, filters, cases).name == name


def test_training_time_is_work_over_rate_added_up_by_dataset():
    config = {"datasets": {"small": {"size": 32}, "large": {"size": 64}}}
    cases = [training.Case("s", 32, 8, 8, 128), training.Case("w", 32, 64, 8, 128)]
    work = [
        ({"dataset": "small", "filters": 8}, 100.0),
        ({"dataset": "small", "filters": 64}, 300.0),
        ({"dataset": "large", "filters": 8}, 60.0),
    ]
    found = projection.training_seconds(work, config, cases, {"s": 4.0, "w": 2.0})
    assert found == {"small": (175.0, {"s", "w"}), "large": (15.0, {"s"})}


@pytest.mark.parametrize("context", [None, 0.5])
def test_start_up_is_each_kinds_times_its_jobs_and_on_a_gpu_their_contexts(context):
    counts = dict.fromkeys(jobs.PER_CELL, 10) | {"fit_prior": 30}
    rows = [row("planning", "c", rule, count, "jobs") for rule, count in counts.items()]
    rows += [row("start-up", "a job", label, 2 if label == "fit_prior (mixture)" else 1, "s") for label in jobs.KINDS]
    rows += [] if context is None else [row("start-up", "a job", jobs.CUDA_CONTEXT, context, "s")]
    # 10 jobs of each of six rules, 20 quick fits and 10 of mixtures; of all these, five kinds of ten use a GPU.
    assert projection.start_up_seconds(rows, mixtures=10) == 60 + 20 + 10 * 2 + 50 * (context or 0)


@pytest.fixture(scope="module")
def planning() -> dict[str, int]:
    """Jobs by rule of a grid of 30 cells."""
    _, found = jobs.dry_run("config/demo.yaml")
    return found


def test_the_rules_whose_start_up_is_measured_are_those_with_a_job_a_cell(planning):
    cells = planning["train"]
    assert {rule for rule, count in planning.items() if count >= cells and rule != "total"} == set(jobs.PER_CELL)
    assert planning["total"] == sum(planning.values()) / 2


def test_every_section_measures_and_its_table_is_saved_as_parquet_and_markdown(tmp_path, capsys):
    options = (CASE, "fp32", "fp32", EFFORT)
    rows = run(
        [
            Comparison("training", "tiny", "this pipeline", 1, training.measure_pipeline, options),
            Comparison("training", "tiny", "tf32", 1, training.measure_pipeline, (CASE, "tf32", "fp32", EFFORT)),
            Comparison("training", "tiny", "plain", 1, training.measure_plain, (CASE, EFFORT)),
            Comparison("features", "tiny", "", 1, features.measure_pipeline, (3, 2, 0, 1)),
            Comparison("features", "tiny", "", 1, features.measure_pytorch_fid, (3, 2, 0, 1)),
            Comparison("Fréchet distance", "tiny", "", 1, distances.measure_distances, (200, 32, 0, 1)),
            Comparison("mixture", "tiny", "", 1, mixtures.measure_pipeline, (500, 4, 3, 0, 1)),
            Comparison("mixture", "tiny", "", 1, mixtures.measure_scikit_learn, (500, 4, 3)),
            Comparison("start-up", "a job", "", 1, jobs.measure_snakemakes_part),
            Comparison("start-up", "a job", "", 1, jobs.measure_start_up, ("fit_prior", 0)),
        ]
    )
    assert "[10/10] start-up, a job" in capsys.readouterr().out
    assert failures(rows) == []
    rows += [row("start-up", "a job", label, 1, "s") for label in jobs.KINDS if label != "fit_prior"]
    rows += [row("planning", "", rule, 1000, "jobs") for rule in jobs.PER_CELL]
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
    # pytorch-fid's distance and scipy's trace, and ours.
    differences = table.loc[table["note"].str.startswith("relative difference to ours"), "note"]
    assert [float(note.split()[-1]) < 1e-6 for note in differences] == [True, True]
    # The same fit twice: its note tells what EM came to.
    assert table.loc[table["section"] == "mixture", "note"].nunique() == 1
    values = table.set_index(["contender", "unit"])["value"]
    # A mixture is fitted for each of 346 cells.
    start_up = (6 * 1000 + 346 + (1000 - 346) * values["fit_prior", "s"]) / 3600
    assert values["start-up of the cells' jobs", "h"] == pytest.approx(start_up)
    hours = table[(table["section"] == "projection") & (table["unit"] == "h")].set_index("contender")["value"]
    parts = [
        "training, cifar10",
        "training, celeba",
        "start-up of the cells' jobs",
        "Inception features",
        "Fréchet distances",
    ]
    assert hours.index.tolist() == [*parts, "all of these"]
    assert hours["all of these"] == pytest.approx(hours[parts].sum())
    assert values["arithmetic of training", "EFLOP"] == pytest.approx(20.9, abs=0.05)


def test_the_plan_has_every_contender_and_every_kind_of_job_once():
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
        for label in jobs.KINDS:
            assert f"start-up, a job, {label}" in steps
    for contender in ("torch.compile", "this pipeline, not deterministic"):
        for steps, cases in ((on_a_gpu, plan.ON_A_GPU.cases), (on_a_cpu, plan.ON_A_CPU.cases[:1])):
            found = [step for step in steps if step.endswith(f", {contender}")]
            assert found == [f"training, {case.name}, {contender}" for case in cases]
    assert sum(step.seconds for step in plan.plan(plan.ON_A_CPU, 0, threads=2)) < 600


def test_every_number_of_cells_that_share_is_measured_with_the_threads_divided_among_them():
    for sizes, gpu in ((plan.ON_A_CPU, 0), (plan.ON_A_GPU, 1)):
        steps = [step for step in plan.plan(sizes, gpu, threads=3) if step.section == "sharing"]
        wanted = [(case, count) for case, counts in sizes.shared for count in counts]
        assert [(step.case, step.contender) for step in steps] == [(c.name, f"{n} at once") for c, n in wanted]
        for step, (case, count) in zip(steps, wanted, strict=True):
            assert step.measure is sharing.measure_shared
            assert (step.arguments[0], *step.arguments[2:3]) == (case, count)
            assert step.arguments[3].threads == {1: 3, 2: 1, 4: 1}[count]


def test_the_page_is_written_and_the_command_fails_where_a_comparison_but_pythaes_has_failed(
    tmp_path, monkeypatch, capsys
):
    steps = [Comparison("training", "tiny", contender, 1, math.sqrt, (-1,)) for contender in ("Pythae", "other")]
    monkeypatch.setattr(plan, "plan", lambda *_: steps)
    monkeypatch.setattr(comparison, "isolated", lambda function, *arguments: function(*arguments))
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(Path(plan.__file__).with_name("__main__.py")), run_name="__main__")
    assert ended.value.code == "Failed:\ntraining, tiny, other: not measured: ValueError: math domain error"
    page = Path("results/benchmark/benchmark.md").read_text()
    assert page in capsys.readouterr().out
    assert page.count("not measured: ValueError") == 2


MIXTURE = """
import numpy
from autoencoders.latent.priors import gmm
options = {"components": 2, "tol": 1e-3, "reg_covar": 1e-6, "max_iter": 50}
gmm.fit(numpy.random.default_rng(0).normal(size=(60, 2)), options, seed=0)
"""
STATISTICS = """
import pandas
from autoencoders.jobs.parquet_tables import write_parquet
write_parquet("{folder}/rows.parquet", pandas.DataFrame({{"a": [1]}}))
"""
SCORE = """
import pandas
import torch
from autoencoders.scores.extractors import inception
from autoencoders.scores.measures import frechet
from autoencoders.jobs.parquet_tables import write_parquet
inception.load("{weights}", torch.device("cpu"))
write_parquet("{folder}/rows.parquet", pandas.DataFrame({{"a": [1]}}))
"""


@pytest.mark.parametrize(
    ("label", "work"),
    [("fit_prior (mixture)", MIXTURE), ("latent_statistics", STATISTICS), ("score (Inception)", SCORE)],
)
def test_the_libraries_whose_import_is_measured_are_those_that_a_job_comes_to_use(
    label, work, inception_weights, tmp_path
):
    if work is not MIXTURE:
        work = work.format(folder=tmp_path, weights=inception_weights)
    kind = jobs.KINDS[label]
    told = "\nprint(sorted({name.partition('.')[0] for name in sys.modules}))"
    measured = jobs.python(jobs.imports(kind, gpu=0) + told, jobs.SCRIPTS)
    used = jobs.python(jobs.imports(replace(kind, later=()), gpu=0) + work + told, jobs.SCRIPTS)
    assert measured == used


def test_a_mixture_imports_pytorch_on_a_gpu_alone():
    kind = jobs.KINDS["fit_prior (mixture)"]
    for gpu in (0, 1):
        found = jobs.python(f"{jobs.imports(kind, gpu)}\nprint('torch' in sys.modules)", jobs.SCRIPTS)
        assert found == f"{bool(gpu)}\n"


def test_measured_processes_end_as_jobs_do_with_nothing_taken_apart():
    kept = "class Kept:\n    def __del__(self):\n        print('taken apart')\nkept = Kept()\n"
    assert jobs.python(kept, jobs.SCRIPTS) == "taken apart\n"
    assert jobs.python(kept + jobs.END, jobs.SCRIPTS) == ""


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
