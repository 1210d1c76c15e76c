"""`make gpu-check`: its limits, what an interrupted check leaves, and what is estimated from its rates.

No GPU is needed: a dry run runs all sections with tiny sizes on the CPU.
"""

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import psutil
import pytest

from autoencoders.jobs import resources
from autoencoders.jobs.errors import UserError

# The processes that a check starts have a path of their own.
sys.path.insert(0, str(Path(__file__).parents[1] / "workflow"))

from benchmark import projection
from benchmark.comparison import Row
from gpu_check import __main__ as command
from gpu_check import estimates, gpu_tests, page, rows, running
from gpu_check.sections import SECTIONS, TOTAL
from gpu_check.sizes import CASES
from running import copy_project
from test_profiles import submissions

WORKFLOW = Path(__file__).parents[1] / "workflow"
ENVIRONMENT = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (WORKFLOW, WORKFLOW / "scripts")))}
BY_NAME = {section.name: section for section in SECTIONS}


@pytest.fixture
def log(tmp_path):
    with open(tmp_path / "log.txt", "w", encoding="utf-8") as file:
        yield running.Log(file)


def rates(training=1e13, float64=5e11):
    """Rows of a check that reached these operations a second at every width."""
    found = [
        rows.measured("training", case.name, "", [Row(training / case.flops, "images/s", ours=True)])[0]
        for case in CASES
    ]
    found += rows.measured("features", "", "this pipeline", [Row(1000, "images/s", ours=True)])
    found += rows.measured("Fréchet distance", "", "this pipeline", [Row(3.6, "s", ours=True)])
    found += [rows.value("start-up", "", "", 3.6, "s"), rows.value("planning", "", "", 700, "jobs")]
    found += [rows.value("mixture", "", "", float64 / 1e12, "TFLOP/s")]
    return [*found, rows.value("machine", "gpu", "", math.nan, "", "a GPU")]


def alive(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return "State:\tZ" not in Path(f"/proc/{process}/status").read_text(encoding="utf-8")


def test_a_section_is_ended_at_its_limit_with_all_that_it_started_and_its_rows_and_lines_stay(log, tmp_path):
    row = rows.value("training", "f=2", "", 7.5, "images/s")
    code = f"import subprocess; print({rows.written(row)!r}, flush=True); "
    code += "print(subprocess.Popen(['sleep', '300']).pid, flush=True); import time; time.sleep(300)"
    kept, started = [], time.monotonic()
    why = running.run([sys.executable, "-c", code], 10, log, kept)
    assert why == "stopped at its limit of 10 s" and time.monotonic() - started < 60
    assert kept == [pytest.approx(row, nan_ok=True)]
    first, second = (tmp_path / "log.txt").read_text(encoding="utf-8").splitlines()
    assert first.endswith("training: f=2: 7.5 images/s")
    deadline = time.monotonic() + 10
    while alive(int(second.split()[-1])):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_section_whose_process_fails_says_so(log):
    assert running.run([sys.executable, "-c", "raise SystemExit(3)"], 60, log, []) == (
        "its process ended with 3; see log.txt"
    )
    assert running.run([sys.executable, "-c", ""], 60, log, []) == ""


def test_the_limits_are_eight_minutes_and_the_last_section_has_what_the_others_left():
    assert sum(section.limit for section in SECTIONS) <= TOTAL == 480
    assert command.limit(SECTIONS[0], False, 0) == SECTIONS[0].limit
    assert command.limit(SECTIONS[-1], False, 100) == 380
    assert command.limit(SECTIONS[-1], False, 470) == SECTIONS[-1].limit


def test_outcomes_of_sections_that_ended_failed_were_stopped_or_not_reached():
    found = [rows.outcome("scores", BY_NAME["scores"].checks[0], True)]
    why = {"scores": "stopped at its limit of 35 s", "mixtures": f"{running.ENDED} 1; see log.txt", "machine": ""}
    checks = {(row["section"], row["case"]): (row["outcome"], row["note"]) for row in command.outcomes(found, why)}
    first, second = BY_NAME["scores"].checks
    assert checks["scores", first][0] == rows.PASS
    assert checks["scores", second] == (rows.NOT_RUN, why["scores"])
    assert checks["mixtures", BY_NAME["mixtures"].checks[0]] == (rows.FAIL, why["mixtures"])
    assert checks["machine", BY_NAME["machine"].checks[0]] == (rows.NOT_RUN, "left out")
    assert checks["profile", "section profile"] == (rows.NOT_RUN, "not reached")
    assert len(checks) == sum(len(section.checks) or 1 for section in SECTIONS)


@pytest.mark.parametrize(
    ("counts", "passed"),
    [((9, 0, 0, 9), None), ((0, 0, 0, 0), None), ((9, 0, 0, 8), True), ((9, 1, 0, 2), False), ((9, 0, 1, 2), False)],
)
def test_tests_of_which_none_ran_are_not_passed(tmp_path, counts, passed):
    values = " ".join(f'{key}="{n}"' for key, n in zip(("tests", "failures", "errors", "skipped"), counts, strict=True))
    report = tmp_path / "report.xml"
    report.write_text(f"<testsuites><testsuite {values}/></testsuites>", encoding="utf-8")
    assert gpu_tests.outcome_of(report)[0] is passed


def test_an_interrupted_check_leaves_a_page_of_what_was_done(log, tmp_path, monkeypatch):
    (tmp_path / "gpu-check.md").write_text("an earlier check: pass", encoding="utf-8")
    ended = []

    def run(arguments, seconds, log, keep):
        name = arguments[3]
        if name == "rates":
            raise KeyboardInterrupt
        keep.append(rows.outcome(name, BY_NAME[name].checks[0], True, f"this was {name}"))
        ended.append(name)
        return ""

    monkeypatch.setattr(running, "run", run)
    with pytest.raises(KeyboardInterrupt):
        command.check(tmp_path, False, log)
    text = (tmp_path / "gpu-check.md").read_text(encoding="utf-8")
    assert ended == ["machine", "tests"] and "an earlier check" not in text
    assert all(f"| pass | this was {name} |" in text for name in ended)
    assert "| every width trains | not run | not reached |" in text
    assert len(pd.read_parquet(tmp_path / "gpu-check.parquet").query("outcome == 'pass'")) == 4


def test_a_check_that_is_asked_to_end_ends_its_section_and_leaves_its_page(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-m", "gpu_check", "--dry-run"],
        **{"cwd": tmp_path, "env": ENVIRONMENT, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True},
    )
    for line in process.stdout:
        if "[2/" in line:
            process.send_signal(signal.SIGTERM)
            break
    rest = process.communicate(timeout=60)[0]
    assert process.returncode == 1 and "ended by SIGTERM" in rest
    text = (tmp_path / "results/gpu-check/dry-run/gpu-check.md").read_text(encoding="utf-8")
    assert "- torch: " in text and "| tests that need a GPU | not run | not reached |" in text
    running = [
        each.info["cmdline"] or []
        for each in psutil.process_iter(["cmdline", "cwd"])
        if each.info["cwd"] == str(tmp_path)
    ]
    assert not [command for command in running if "gpu_check.running" in command]


def test_without_a_gpu_one_line_says_what_to_look_at(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "gpu_check"],
        **{"cwd": tmp_path, "env": ENVIRONMENT | {"CUDA_VISIBLE_DEVICES": ""}, "capture_output": True, "text": True},
    )
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and done.stdout == ""
    assert "nvidia-smi" in done.stderr and "CUDA_VISIBLE_DEVICES (now '')" in done.stderr
    assert not (tmp_path / "results").exists()


def test_a_dry_run_is_never_taken_for_a_gpu(tmp_path):
    checks = [rows.outcome("scores", "distance", True), rows.outcome("scores", "features", None, "no GPU")]
    page.save(tmp_path, rates(), checks, dry=True)
    text = (tmp_path / "gpu-check.md").read_text(encoding="utf-8")
    assert "without a GPU" in text and "| distance | ran |" in text and "pass" not in text and "Hours" not in text
    assert not (tmp_path / "rates.json").exists()
    assert estimates.rates(tmp_path / "gpu-check.parquet")[1].startswith("Nothing was measured here")


def test_the_hours_of_a_check_are_those_of_the_benchmarks_projection_and_mixtures(tmp_path):
    page.save(tmp_path, rates(), [rows.outcome("scores", "distance", False, "far")], dry=False)
    text = (tmp_path / "gpu-check.md").read_text(encoding="utf-8")
    assert "**0 pass, 1 FAIL, 0 not run**" in text
    hours = {part: value for part, value, _ in page.hours(rates(), projection.resolved([]))}
    # The README's first line of costs.
    assert hours["training, cifar10"] == pytest.approx(310, abs=5)
    # 500 iterations of 4 N K z² operations: 50,000 images and 280 cells, 162,770 and 66.
    per_cifar10 = 4 * 50_000 * 10 * 500
    assert hours["mixtures"] > 280 * per_cifar10 * 16**2 / 5e11 / 3600
    assert hours["mixtures"] < 346 * 4 * 162_770 * 10 * 500 * 1024**2 / 5e11 / 3600
    assert hours["all of these"] == pytest.approx(sum(hours.values()) - hours["all of these"])
    # A width that was not measured takes the rate of its neighbour; without any, no hours are shown.
    few = [row for row in rates() if row["case"] != CASES[0].name]
    assert page.hours(few, projection.resolved([]))[0][1] == pytest.approx(hours["training, cifar10"])
    nothing = [row for row in rates() if row["section"] != "training"]
    assert math.isnan(page.hours(nothing, projection.resolved([]))[0][1]) and not page.rates_of(nothing)


def test_estimates_of_the_run_and_its_experiments_say_where_they_come_from(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(estimates, "ROWS", tmp_path / "gpu-check.parquet")
    monkeypatch.setattr(sys, "argv", ["estimates"])
    estimates.main()
    # Five times README's hours at 50 TFLOP/s: 118 in all and 28 of depth.
    printed = capsys.readouterr().out
    assert "Nothing was measured here" in printed and "10 TFLOP/s" in printed
    lines = {line[:26].strip(): line[26:].split() for line in printed.splitlines()}
    assert lines["the whole run"] == ["346", "21.2", "588", "h", "unknown", "4.7", "GB", "94", "GB"]
    assert lines["depth"][:3] == ["112", "5.01", "139"]
    # config/README.md says these: experiments that do not run by default. A validation dataset has 40,000 images.
    assert lines["not in it: baselines"][:2] == ["24", "4.53"] and lines["not in it: tuning"][:2] == ["90", "2.87"]
    assert lines["not in it: seeds"][:2] == ["188", "21.5"]
    assert lines["not in it: scale"] == ["28", "30.7", "854", "h", "unknown", "18.7", "GB", "39.8", "GB"]
    # Files that are no config.
    for content in (b"- a", b"a: [", b"caf\xe9: 1", None):
        mine = tmp_path / "mine.yaml"
        mine.write_bytes(content) if content else mine.unlink()
        with pytest.raises(UserError, match=r"mine\.yaml (can't be read as a config|is no config)"):
            projection.resolved([mine])
    # An experiment without a cell on the datasets that run has no line.
    mine = tmp_path / "mine.yaml"
    mine.write_text("{run_on: [celeba], run: [scatter]}", encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["estimates", str(mine)])
    estimates.main()
    printed = capsys.readouterr().out
    assert "not in it: width" in printed and "depth" not in printed
    monkeypatch.setattr(sys, "argv", ["estimates"])
    page.save(tmp_path, rates(training=5e13), [], dry=False)
    estimates.main()
    printed = capsys.readouterr().out
    assert "measured on a GPU" in printed and "118 h" in printed.split("the whole run")[1].splitlines()[0]
    assert "unknown" not in printed


def test_requests_to_a_scheduler_take_half_the_measured_rates(tmp_path):
    page.save(tmp_path, rates(training=1e14, float64=4e12), [], dry=False)
    found = resources.measured(tmp_path / "rates.json")
    assert found["precision"] == "bf16" and found["gpu"] == "a GPU"
    case = CASES[2]
    # 100 epochs of 50,000 images at half of 1e14 operations a second.
    seconds = 100 * 50_000 * case.flops / 5e13
    minutes = resources.training_minutes(case.flops, 50_000, 100, found["training"])
    assert minutes == 10 + math.ceil(seconds / 60)
    # A cell that needs next to nothing takes as long as the smallest that was measured; larger cells never less.
    uneven = [(1e10, 10_000.0), (1e9, 20_000.0), (1e11, 5_000.0)]
    seconds = [resources.image_seconds(10**power, uneven) for power in (0, 9, 9.4, 9.7, 10, 10.5, 11, 12)]
    assert seconds == sorted(seconds)
    assert [seconds[place] for place in (0, 1, 4, 6, 7)] == pytest.approx([1e-4, 1e-4, 2e-4, 4e-4, 4e-3])
    assert resources.prior_minutes(6e13, found["float64"]) == 10 + 1


BROKEN = ["", "[]", "{}", "null", '{"training": 3}', '{"training": []}', "[" * 100_000, "\0"]


@pytest.mark.parametrize("text", BROKEN, ids=range(len(BROKEN)))
def test_a_missing_or_broken_file_of_rates_counts_as_none(tmp_path, text):
    file = tmp_path / "rates.json"
    assert resources.measured(tmp_path / "missing.json") == {}
    file.write_text(text, encoding="utf-8")
    assert resources.measured(file) == {}


@pytest.mark.parametrize("number", [0, -1, math.nan, math.inf, "x", None])
@pytest.mark.parametrize("key", ["flops", "images_per_second", "float64"])
def test_a_rate_that_is_no_positive_number_is_not_used(tmp_path, key, number):
    found = page.rates_of(rates())
    if key == "float64":
        found[key] = number
    else:
        found["training"][1][key] = number
    file = tmp_path / "rates.json"
    file.write_text(json.dumps(found), encoding="utf-8")
    # The rate of mixtures may be missing.
    assert bool(resources.measured(file)) is (key == "float64" and number is None)


@pytest.mark.slow
def test_a_dry_run_runs_every_section(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "gpu_check", "--dry-run"],
        **{"cwd": tmp_path, "env": ENVIRONMENT, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True},
    )
    assert done.returncode == 0, done.stdout[-5000:]
    folder = tmp_path / "results/gpu-check/dry-run"
    table = pd.read_parquet(folder / "gpu-check.parquet")
    checks = table[table["outcome"] != ""].drop_duplicates(["section", "case"]).set_index("case")["outcome"]
    needs_gpu = {gpu_tests.NAME, BY_NAME["machine"].checks[0]}
    assert set(checks[checks != rows.RAN].index) == needs_gpu
    assert len(checks) == sum(len(section.checks) or 1 for section in SECTIONS)
    # Only tests that need a GPU are selected.
    (note,) = set(table.loc[table["case"] == gpu_tests.NAME, "note"])
    assert note.startswith("0 passed, 0 failed, ") and int(note.split()[-2]) > 50
    assert {"training", "features", "Fréchet distance", "mixture", "variants", "profile", "cell"} <= {*table["section"]}
    assert "resuming from the checkpoint" in (folder / "log.txt").read_text(encoding="utf-8")
    assert not (folder / "cell").exists()


@pytest.mark.slow
def test_a_training_requests_time_at_the_measured_rate_of_its_precision(tmp_path):
    (tmp_path / "project").mkdir()
    folder = copy_project(WORKFLOW.parent, tmp_path / "project")
    config = "training: { epochs: 2000 }\nmodels: { dae: { precision: bf16 }, vae: { precision: fp32 } }\n"
    (folder / "mine.yaml").write_text(config, encoding="utf-8")
    files = [folder / "results/demo/datasets/digits" / name for name in ("dataset.json", "train.npz", "test.npz")]
    rates = {"gpu": "", "date": "", "precision": "bf16", "training": [{"flops": 1e10, "images_per_second": 100}]}
    measured = folder / "results/gpu-check/rates.json"
    for file in (*files, measured):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    measured.write_text(json.dumps(rates), encoding="utf-8")
    targets = [f"results/demo/cells/digits/{model}/f2-d1-z4-s0/weights.safetensors" for model in ("dae", "vae")]
    calls = submissions(folder, *targets)
    minutes = [int(calls[f"rule_train_wildcards_digits_{model}_2_1_4_0"][0]["-t"]) for model in ("dae", "vae")]
    # 2,000 epochs of 800 images at half of 100 a second; and, as without a check, at 5,000 a second.
    assert minutes == [10 + 534, 10 + 6]
