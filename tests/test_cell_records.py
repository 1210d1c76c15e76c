"""Parameter counts, costs and latent statistics, on made-up records with known answers."""

import math

import numpy as np
import pandas as pd
import pytest

from autoencoders.evidence.cell_tables import (
    LATENT_COLUMNS,
    cell_records,
    costs_sections,
    costs_table,
    job_seconds,
    latent_sections,
    parameters_sections,
    parameters_table,
)

# Whether the priors are fitted on a GPU.
MVG, GMM = {"mvg": False}, {"gmm": True}
KEYS = ["dataset", "model", "filters", "depth", "latent", "seed"]


def record(
    dataset="cifar10", model="dae", depth="1", latent=128, seed=0, filters=128, size=32, parameters=(1, 2), **more
):
    """A cell.json as rule train writes it, shortened."""
    return {
        "cell": dict(zip(KEYS, (dataset, model, filters, depth, latent, seed), strict=True)),
        "dataset": {"size": size, "source": "torchvision"},
        "network": {
            **{"size": size, "filters": filters, "depth": depth, "latent": latent, "variational": model == "vae"},
            **{"widening": "first", "decoder_channels": None, "decoder_repeats": False},
        },
        "objective": {"beta": 0, "penalties": {}},
        **{"status": "ok", "frozen_latent": False, "precision": "bf16", "training_images": 50_000},
        **{"encoder_parameters": parameters[0], "decoder_parameters": parameters[1], "device": "NVIDIA H200"},
        **{"seconds": 500.0, "images_per_second": 10_000.0, "peak_memory_bytes": 2 * 2**30, "energy_joules": 1.8e6},
        **more,
    }


def seconds(cell, **other):
    rules = {"train": 600.0, "encode": 10.0, "fit_prior": 1000.0, "sample": 20.0, "score": 30.0, **other}
    rules["gpu"] = rules["train"] + rules["encode"] + rules["sample"] + rules["score"]
    return {**cell["cell"], **{f"{rule}_seconds": value for rule, value in rules.items()}}


def test_a_rate_counts_what_a_penalty_costs():
    gradient = {"g": {"kind": "decoder_gradient", "weight": 1e-6}, "m": {"kind": "mmd", "weight": 1}}
    cells = [record(objective=objective) for objective in ({"penalties": gradient}, {"penalties": {}}, {})]
    costly, plain, old = cell_records(cells)["tflop_per_second"]
    assert costly == 2 * plain == 2 * old > 0


def test_parameters_for_people_are_those_nearest_to_the_comparison_latent():
    large, small = (11_500_000, 19_000_000), (820_000, 2_770_000)
    table = parameters_table(
        cell_records(
            [
                # 96 and 160 are as near: the smaller one. Its two seeds are one row.
                *(record(latent=96, seed=seed, parameters=large) for seed in (0, 1)),
                *(record(latent=latent, parameters=(1, 1)) for latent in (16, 160, 1024)),
                # Equal counts share a row; VAE has two Dense heads.
                record(model="dae-noise0.1", latent=96, parameters=large),
                record(model="vae", latent=96, parameters=(12_300_000, 19_000_000)),
                # The same counts at another depth or width are another row.
                record(filters=32, parameters=small),
                record("mine", size=64, training_images=1258, parameters=(12_156, 20_939)),
            ]
        )
    )
    cifar10, mine = parameters_sections(table.iloc[::-1], {"cifar10": 128, "mine": 16})
    assert cifar10.rows.to_numpy().tolist() == [
        ["32", "1", "DAE", "128", "0.8", "2.8", "3.6", "2.3"],
        ["128", "1", "DAE, DAE-noise0.1", "96", "11.5", "19.0", "30.5", "19.9"],
        ["128", "1", "VAE", "96", "12.3", "19.0", "31.3", "20.4"],
    ]
    # 50,000 × 32·32·3
    assert "n·d = 153.6 M" in cifar10.text and "the paper estimates 10 to 100 million for CIFAR-10" in cifar10.text
    # 33,095 of 1258 × 64·64·3
    assert mine.rows.iloc[0].tolist()[3:] == ["128", "0.0122", "0.0209", "0.0331", "0.214"]
    assert "paper estimates" not in mine.text


def test_seconds_are_read_from_benchmark_files_and_those_of_jobs_on_a_gpu_added(tmp_path):
    files = ("train/a/b", "encode/a/b", "sample/a/b", "score/a/b/inception", "fit_prior/a/b/mvg", "fit_prior/a/b/gmm")
    for index, name in enumerate(files):
        path = tmp_path / f"{name}.tsv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"s\th:m:s\tmax_rss\n{10**index}.5\t0:00:12\t129.66\n", encoding="utf-8")
    taken = {"train": 1.5, "encode": 10.5, "fit_prior": 110_001, "sample": 100.5, "score": 1000.5, "gpu": 101_113.5}
    found = job_seconds(tmp_path, "a/b", MVG | GMM, ["inception"], 0)
    assert found == {f"{rule}_seconds": value for rule, value in taken.items()}
    # What is no longer in the config costs nothing. An interrupted training: 5000 s before the last checkpoint.
    interrupted = job_seconds(tmp_path, "a/b", MVG, ["inception"], 5000)
    assert [interrupted[f"{rule}_seconds"] for rule in ("train", "fit_prior", "gpu")] == [5001.5, 10_000.5, 6113]
    # Without the file of one of them, a sum is unknown.
    partly = job_seconds(tmp_path, "a/b", MVG | {"gmm20": True}, ["inception", "classifier"], 0)
    assert all(math.isnan(partly[f"{rule}_seconds"]) for rule in ("fit_prior", "score", "gpu"))


@pytest.mark.parametrize(
    "text", ["", "s\th:m:s\n", "h:m:s\n0:00:01\n", "s\nNA\n", "s\n1\t2\n3\t4\t5\n", "s\th:m:s\n1\n", "\xff"]
)
def test_an_unreadable_benchmark_is_no_error(tmp_path, text):
    path = tmp_path / "train" / "a" / "b.tsv"
    path.parent.mkdir(parents=True)
    path.write_bytes(text.encode("latin-1"))
    assert math.isnan(job_seconds(tmp_path, "a/b", MVG, [], 0)["train_seconds"])


def test_costs_are_unknown_where_a_part_is_and_gpu_seconds_on_a_cpu():
    gpu, cpu, partly, none = record(), record(latent=256, device="x86_64 CPU"), record(latent=512), record(latent=1024)
    # In another order than the cells, and none for the last cell.
    spent = [seconds(partly, encode=math.nan), seconds(gpu), seconds(cpu)]
    table = costs_table(cell_records([none, partly, cpu, gpu]), spent)
    assert table["latent"].tolist() == [128, 256, 512, 1024]
    assert table["gpu_seconds"].tolist() == pytest.approx([660, np.nan, np.nan, np.nan], nan_ok=True)
    assert table["job_seconds"].tolist() == pytest.approx([1660, 1660, np.nan, np.nan], nan_ok=True)
    assert table["encode_seconds"].tolist() == pytest.approx([10, 10, np.nan, np.nan], nan_ok=True)
    assert table["peak_memory_bytes"].tolist() == [2 * 2**30] * 4


def test_costs_for_people_are_sums_and_means_over_the_cells_of_a_recipe():
    records = [
        record(latent=16, images_per_second=9_000.0, peak_memory_bytes=2**30),
        record(latent=1024, images_per_second=11_000.0, peak_memory_bytes=3 * 2**30),
        record(model="vae", precision="tf32"),
    ]
    times = [
        seconds(records[0], train=500.0),  # 1560 s in all, 560 s of them with a GPU
        seconds(records[1], train=1500.0),  # 2560 and 1560
        seconds(records[2]),  # 1660 and 660
    ]
    (section,) = costs_sections(costs_table(cell_records(records), times))
    assert section.rows.drop(columns=["Filters", "Depth"]).to_numpy().tolist() == [
        # 4120 s / 3600; 2120 s / 3600; 3.6e6 J = 1 kWh
        # PyTorch counts 7.154958336 GFLOP an image at 64 latent units, 6 · (4096 + 65536) more for each further one,
        # and 6 · 4096 · 128 for a VAE's other head.
        ["DAE", "2", "bf16", "1000", "1.14", "0.589", "10000", "73.7", "3.00", "1.00"],
        ["VAE", "1", "tf32", "600", "0.46", "0.183", "10000", "71.8", "2.00", "0.50"],
        ["all", "3", "bf16, tf32", "867", "1.61", "0.772", "10000", "73.1", "3.00", "1.50"],
    ]


def test_costs_on_a_cpu_without_benchmarks_leave_columns_out():
    (section,) = costs_sections(costs_table(cell_records([record(device="x86_64 CPU", energy_joules=None)]), []))
    columns = ["Model", "Filters", "Depth", "Cells", "Precision", "Images/s", "TFLOP/s", "Peak memory, GiB"]
    assert list(section.rows) == columns


def test_a_sum_with_an_unknown_part_is_unknown_and_a_cpu_does_not_hide_the_gpu_hours_of_others():
    vae = [record(model="vae"), record(model="vae", seed=1, device="arm64 CPU")]
    cells = [record(), record(seed=1, energy_joules=None), *vae]
    times = [seconds(cells[0]), seconds(cells[1], sample=math.nan), *map(seconds, vae)]
    (section,) = costs_sections(costs_table(cell_records(cells), times))
    rows = section.rows.set_index("Model")[["Training, s", "Hours", "GPU hours", "Energy, kWh"]]
    # Training is known of all.
    assert rows.loc["DAE"].tolist() == rows.loc["all"].tolist() == ["600", "–", "–", "–"]
    assert rows.loc["VAE"].tolist() == ["600", "0.922", "0.183", "1.00"]
    assert "Computed on NVIDIA H200, arm64 CPU." in section.text


def statistics(**changes):
    values = {
        **dict(zip(KEYS, ("cifar10", "dae", 128, "1", 128, 0), strict=True)),
        "status": "ok",
        **{"codes": 50_000, "rank": 127, "mean_abs_mean": 0.54321, "mean_deviation": 3.0, "deviation_spread": 0.25},
        **{"mardia_skewness_ratio": 1.23456, "mardia_kurtosis_ratio": 0.98765},
        **{"mean_abs_skewness": 0.0321, "mean_excess_kurtosis": -0.1234567, "mvg_log_likelihood": -412.3456},
        **{"gmm_log_likelihood": -409.0, "log_likelihood_gap": 3.3456},
    }
    return {**values, **changes}


def test_latent_statistics_for_people():
    diverged = dict.fromkeys(LATENT_COLUMNS, math.nan) | {"status": "diverged", "codes": 0, "rank": 0}
    rows = [
        statistics(model="vae", latent=1024, **diverged),
        statistics(log_likelihood_gap=math.nan),
    ]
    (section,) = latent_sections(pd.DataFrame(rows))
    measured = ["50000", "127", "0.5432", "3.000", "0.2500", "1.235", "0.9877", "0.0321", "-0.1235", "-412.3"]
    assert section.rows.to_numpy().tolist() == [
        ["DAE", "128", "1", "128", "0", *measured, "-409.0", "–"],
        ["VAE", "128", "1", "1024", "0", *["diverged"] * 12],
    ]
    # One line explains each column.
    assert [line.split(":")[0] for line in section.text.splitlines()] == list(section.rows)[5:]
