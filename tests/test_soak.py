"""A run whose jobs are killed again and again ends as an undisturbed one does."""

import contextlib
import json
import sys
import time

import comparing
import pandas as pd
import psutil
import pytest
import soak

CELL = "cells/digits/dae/f4-d1-z8-s0"


@pytest.fixture
def results(tmp_path):
    """Two folders of results that differ in what is measured alone."""
    folders = tmp_path / "one", tmp_path / "two"
    for number, folder in enumerate(folders, start=1):
        for name in (CELL, "tables", "extractors", "logs", "benchmarks"):
            (folder / name).mkdir(parents=True)
        (folder / CELL / "weights.safetensors").write_bytes(b"weights")
        (folder / CELL / "cell.json").write_text(json.dumps({"status": "ok", "seconds": number, "resumed": number}))
        (folder / "extractors/classifier-digits.json").write_text(json.dumps({"classes": 10, "seconds": number}))
        (folder / "tables/table2.md").write_text("| 1 |")
        (folder / "tables/costs.md").write_text(f"{number} s")
        identity = {"dataset": "digits", "model": "dae", "filters": 4, "depth": "1", "latent": 8, "seed": 0}
        costs = pd.DataFrame([{**identity, "device": "CPU", "precision": "bf16", "train_seconds": number}])
        costs.to_parquet(folder / "tables/costs.parquet")
        (folder / "logs/train.log").write_text(f"took {number} s")
        (folder / "benchmarks/train.tsv").write_text(f"s\n{number}\n")
    return folders


def test_measured_values_are_no_difference(results):
    assert comparing.differences(*results) == []


@pytest.mark.parametrize("name", [f"{CELL}/weights.safetensors", "tables/table2.md"])
def test_a_changed_byte_is_found(results, name):
    content = bytearray((results[1] / name).read_bytes())
    content[-1] ^= 1
    (results[1] / name).write_bytes(content)
    assert comparing.differences(*results) == [f"{name} differs"]


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [(f"{CELL}/cell.json", '"ok"', '"diverged"'), ("extractors/classifier-digits.json", "10", "9")],
)
def test_a_changed_value_in_a_record_is_found(results, name, old, new):
    file = results[1] / name
    file.write_text(file.read_text().replace(old, new))
    assert comparing.differences(*results) == [f"{name} differs"]


def test_another_cell_in_the_table_of_costs_is_found(results):
    file = results[1] / "tables/costs.parquet"
    pd.read_parquet(file).assign(latent=16).to_parquet(file)
    assert comparing.differences(*results) == ["tables/costs.parquet differs"]


@pytest.mark.parametrize("name", [f"{CELL}/codes.npy", "logs/score.log", "benchmarks/score.tsv", "tables/costs.tex"])
def test_a_file_too_many_or_missing_is_found(results, name):
    (results[1] / name).touch()
    assert comparing.differences(*results) == [f"{name} is left behind"]
    assert comparing.differences(*reversed(results)) == [f"{name} is missing"]


def test_what_unfinished_jobs_leave_is_known(results):
    assert comparing.leftovers(results[0]) == []
    names = [".writing-codes.npy.abc.npy", "checkpoint.safetensors", "gmm.checkpoint.safetensors"]
    names = [f"{CELL}/{name}" for name in names]
    for name in names:
        (results[0] / name).touch()
    assert comparing.leftovers(results[0]) == sorted(names)


def behaving(monkeypatch, script: str) -> None:
    """Let Python code stand in for Snakemake."""
    monkeypatch.setattr(soak, "SNAKEMAKE", [sys.executable, "-c", script])


def some_soak(folder, kills=1) -> soak.Soak:
    return soak.Soak(folder, {"train": [0.1]}, seed=0, kills=kills, until=0)


def test_a_run_that_fails_undisturbed_is_a_failure_with_its_log(monkeypatch, tmp_path):
    behaving(monkeypatch, "print('the reason'); raise SystemExit(1)")
    with pytest.raises(soak.Failure, match="the reason"):
        soak.undisturbed(tmp_path)
    with pytest.raises(soak.Failure, match=r"fails undisturbed(.|\n)*the reason"):
        some_soak(tmp_path).round(tmp_path)


# A run whose child says who it is, and outlives all patience.
HANGING = "echo so far; (sleep 600; touch survived) & echo $! > child; wait"


@pytest.mark.parametrize("disturbed", [False, True])
def test_a_run_that_hangs_is_a_failure_with_its_log_and_leaves_no_process(monkeypatch, tmp_path, disturbed):
    monkeypatch.setattr(soak, "SNAKEMAKE", ["bash", "-c", HANGING])
    monkeypatch.setattr(soak, "HANGS_SECONDS", 2)
    with pytest.raises(soak.Failure, match=r"hangs(.|\n)*so far"):
        some_soak(tmp_path).round(tmp_path) if disturbed else soak.undisturbed(tmp_path)
    child = int((tmp_path / "child").read_text())
    with contextlib.suppress(psutil.NoSuchProcess):
        while psutil.Process(child).status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.01)
    assert not (tmp_path / "survived").exists()


def test_results_that_differ_are_a_failure_that_names_them(monkeypatch, results):
    behaving(monkeypatch, "")
    (results[0] / "tables/table1.md").touch()
    folder = results[0].parent
    results[1].rename(folder / "found")
    monkeypatch.setattr(soak, "RESULTS", soak.Path("found"))
    with pytest.raises(soak.Failure, match=r"tables/table1\.md is missing"):
        some_soak(folder).round(results[0])


def test_a_run_that_would_go_on_though_it_is_finished_is_a_failure(monkeypatch, results):
    behaving(monkeypatch, "print('1 of 1 steps (100%) done')")
    monkeypatch.setattr(soak, "RESULTS", soak.Path("two"))
    with pytest.raises(soak.Failure, match="finds something to do"):
        some_soak(results[0].parent).round(results[0])


def test_stages_without_kills_get_theirs_in_the_end(tmp_path):
    some = some_soak(tmp_path, kills=10)
    for stage in ("encode", "fit_prior", "sample", "score", "table2"):
        some.tally.blows[stage, "job killed"] = soak.LEAST
    some.tally.blows["train", "job ended"] = soak.LEAST
    # As many as were asked for, none of them a training's.
    assert some.enough and not some.over
    hit = {rule: sum(some.doomed(rule) for _ in range(100)) for rule in ("encode", "claims", "train")}
    assert hit["encode"] == hit["claims"] == 0 and hit["train"] > 50
    some.tally.blows["train", "all killed"] = soak.LEAST
    assert some.over


def test_a_failure_is_the_commands_exit_status(monkeypatch, tmp_path):
    def fail(*_):
        raise soak.Failure("table2.md differs")

    monkeypatch.setattr(soak, "soak", fail)
    monkeypatch.setattr(sys, "argv", ["soak.py", "--kills", "1", "--folder", str(tmp_path)])
    # Else this test's process would end as the command does.
    monkeypatch.setattr(soak.signal, "signal", lambda *_: None)
    with pytest.raises(SystemExit, match=r"table2\.md differs"):
        soak.main()


def test_a_run_survives_50_kills_with_the_same_results(tmp_path):
    tally = soak.soak(tmp_path, seed=0, kills=50)
    print(tally)
    assert tally.kills >= 50 and tally.rounds >= 1
    assert all(tally.stages()[name] >= soak.LEAST for name in soak.STAGES)
    assert tally.writing and tally.resumed
    assert {"job killed", "all killed"} <= {blow for _, blow in tally.blows}
