"""Tables of cells: experiments (Table 1), parameter counts, costs, and how Gaussian the codes are."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import pandas as pd

from autoencoders.config.grid import CELL_KEYS
from autoencoders.evidence.display_names import dataset_label, model_label, model_order
from autoencoders.evidence.table_files import DIVERGED, NO_VALUE, Section, decimals, rounded
from autoencoders.jobs import kinds
from autoencoders.jobs.files import read_seconds
from autoencoders.networks.flop_count import training_flops

CELL = list(CELL_KEYS)
TABLE1_COLUMNS = ["experiment", "dataset", "filters", "depth", "models", "latent", "seeds", "cells", "first"]
RECIPE = ["model", "filters", "depth"]
MEASURED = [
    "training_images",
    "encoder_parameters",
    "decoder_parameters",
    "seconds",
    "images_per_second",
    "precision",
    "peak_memory_bytes",
    "energy_joules",
]
# The columns of the costs about training itself.
IN_TRAINING = ["precision", "images_per_second", "tflop_per_second", "peak_memory_bytes", "energy_joules"]
# The rules that compute a cell.
JOBS = ("train", "encode", "fit_prior", "sample", "score")
# Those that use a GPU. Some priors are fitted on one too.
GPU_JOBS = ("train", "encode", "sample", "score")
# The parameters that the paper's section 5 estimates, for data of a lower effective dimension.
PAPERS_ESTIMATE = {"cifar10": "10 to 100 million", "celeba": "10 million to 1 billion"}
# The latent statistics: a column, its header and its meaning.
LATENT_COLUMNS = {
    "codes": ("Codes", "their number, one for each training image"),
    "rank": (
        "Rank",
        "the number of directions in which the codes vary: fewer than the latent units if some are unused, with layer "
        "normalisation (one fewer), or with too few images",
    ),
    "mean_abs_mean": (
        "Mean abs. mean",
        "mean over the latent units of the distance of a unit's mean from 0, which is 0 for N(0, I)",
    ),
    "mean_deviation": (
        "Mean deviation",
        "mean over the latent units of the standard deviation over codes, 1 for N(0, I)",
    ),
    "deviation_spread": (
        "Spread of deviations",
        "standard deviation of these deviations over the latent units, divided by their mean: 0 if all units are "
        "equally wide",
    ),
    "mardia_skewness_ratio": (
        "Skewness ratio",
        "Mardia's multivariate skewness of at most 5,000 codes, divided by its expectation for as many Gaussian codes: "
        "1 for a Gaussian",
    ),
    "mardia_kurtosis_ratio": ("Kurtosis ratio", "the same for kurtosis; above 1 for heavier tails"),
    "mean_abs_skewness": ("Mean abs. skewness", "mean over the latent units, 0 for a Gaussian"),
    "mean_excess_kurtosis": ("Mean excess kurtosis", "mean over the latent units, 0 for a Gaussian"),
    "mvg_log_likelihood": (
        "MVG log-likelihood",
        "mean log density of the test images' codes under one Gaussian, in nats",
    ),
    "gmm_log_likelihood": ("GMM log-likelihood", "the same under the mixture"),
    "log_likelihood_gap": (
        "Gap",
        "GMM minus MVG, in nats per code: what one Gaussian misses; below 0 if the mixture fits test codes worse",
    ),
}


def table1(experiments: Mapping[str, Sequence[Mapping]]) -> pd.DataFrame:
    """One row for each experiment, dataset, filters and depth. ``experiments``: lists of cells by name, whose order is
    kept.

    Columns: models and latent (sizes) as comma-separated text, seeds, cells (how many) and first: how many of these are
    in no earlier row, since a cell that several experiments share is trained once. Models with other latent sizes or
    another number of seeds get a separate row.
    """
    named = [{"experiment": experiment, **cell} for experiment, cells in experiments.items() for cell in cells]
    cells = pd.DataFrame(named, columns=["experiment", *CELL]).drop_duplicates()
    cells["first"] = ~cells.duplicated(CELL)
    place = ["experiment", "dataset", "filters", "depth"]
    of_model = cells.groupby([*place, "model"], sort=False).agg(
        latent=("latent", join_sorted), seeds=("seed", "nunique"), cells=("seed", "size"), first=("first", "sum")
    )
    rows = of_model.reset_index().groupby([*place, "latent", "seeds"], sort=False)
    table = rows.agg(models=("model", join_models), cells=("cells", "sum"), first=("first", "sum"))
    return table.reset_index()[TABLE1_COLUMNS]


def join_sorted(latents: pd.Series) -> str:
    return ", ".join(map(str, sorted(latents.unique())))


def join_models(models: pd.Series) -> str:
    return ", ".join(sorted(models, key=model_order))


def table1_sections(table: pd.DataFrame) -> Iterator[Section]:
    """``table`` of ``table1``."""
    text = (
        f"{table['cells'].sum()} cells, {table['first'].sum()} distinct networks: a cell that several experiments "
        "share is trained once, and counts as new in its first row."
    )
    rows = {
        "Experiment": table["experiment"],
        "Dataset": table["dataset"].map(dataset_label),
        "Filters": table["filters"].astype(str),
        "Depth": table["depth"],
        "Models": [", ".join(map(model_label, models.split(", "))) for models in table["models"]],
        "Latent units": table["latent"],
        "Seeds": table["seeds"].astype(str),
        "Cells": table["cells"].astype(str),
        "New cells": table["first"].astype(str),
    }
    yield Section("Experiments", text, pd.DataFrame(rows))


def cell_records(records: Iterable[Mapping]) -> pd.DataFrame:
    """The contents of cell.json files (rule train) as a sorted table, one row per cell.

    Columns: the cell's keys, status, device, size (pixels), training_images, encoder_parameters, decoder_parameters,
    seconds (of the training loop), images_per_second, precision (of training: "bf16", "tf32" or "fp32"),
    peak_memory_bytes, energy_joules (NaN if not measured) and tflop_per_second (10¹² floating point operations of
    training per second, counted by `networks.flop_count`).
    """
    rows = []
    for record in records:
        flops = training_flops(record["network"], record["frozen_latent"])
        # Older records have no penalties.
        flops *= kinds.cost(entry["kind"] for entry in record["objective"].get("penalties", {}).values())
        rows.append(
            {
                **record["cell"],
                "status": record["status"],
                "device": record["device"],
                "size": record["dataset"]["size"],
                **{name: record[name] for name in MEASURED},
                "tflop_per_second": record["images_per_second"] * flops / 1e12,
            }
        )
    return pd.DataFrame(rows).astype({"energy_joules": "float64"}).sort_values(CELL, ignore_index=True)


def parameters_table(cells: pd.DataFrame) -> pd.DataFrame:
    """Every cell's size and the bound of Bubeck and Sellke (2021) for smooth interpolation (section 5).

    ``cells`` is a table of ``cell_records``. Columns: the cell's keys, encoder_parameters, decoder_parameters,
    parameters (both), training_images (n), dimensions (d, the values of an image), bound (n·d parameters) and
    parameters_over_bound.
    """
    table = cells[[*CELL, "encoder_parameters", "decoder_parameters"]]
    parameters = cells["encoder_parameters"] + cells["decoder_parameters"]
    dimensions = 3 * cells["size"] ** 2
    bound = cells["training_images"] * dimensions
    return table.assign(
        parameters=parameters,
        training_images=cells["training_images"],
        dimensions=dimensions,
        bound=bound,
        parameters_over_bound=parameters / bound,
    )


def parameters_sections(table: pd.DataFrame, comparison_latent: Mapping[str, int]) -> Iterator[Section]:
    """``table`` of ``parameters_table``: every recipe at its latent size nearest to the comparison latent size.

    Models with equal counts share a row.
    """
    counts = ["encoder_parameters", "decoder_parameters", "parameters", "parameters_over_bound"]
    for (dataset, images, dimensions), cells in table.groupby(["dataset", "training_images", "dimensions"]):
        nearest = cells[at_nearest_latent(cells, comparison_latent[dataset])].drop_duplicates(RECIPE)
        rows = [
            {
                "Filters": str(filters),
                "Depth": depth,
                "Models": ", ".join(model_label(model) for model in sorted(same["model"], key=model_order)),
                "Latent units": str(latent),
                "Encoder, M": encoder / 1e6,
                "Decoder, M": decoder / 1e6,
                "Total, M": total / 1e6,
                "Total, % of n·d": 100 * share,
            }
            for (filters, depth, latent, encoder, decoder, total, share), same in nearest.groupby(
                ["filters", "depth", "latent", *counts]
            )
        ]
        yield Section(dataset_label(dataset), bound_text(dataset, images, dimensions), number_texts(pd.DataFrame(rows)))


def at_nearest_latent(cells: pd.DataFrame, comparison_latent: int) -> pd.Series:
    """Which rows of a dataset have their recipe's latent size nearest to this one; the smaller of two equally near."""
    # Adding half a unit to larger sizes breaks ties.
    distance = (cells["latent"] - comparison_latent).abs() + 0.5 * (cells["latent"] > comparison_latent)
    return distance == distance.groupby([cells[name] for name in RECIPE]).transform("min")


def bound_text(dataset: str, images: int, dimensions: int) -> str:
    text = (
        f"Parameters, in millions (M), at the latent size nearest to the comparison latent size. With n = {images} "
        f"training images of d = {dimensions} values, n·d = {count_text(images * dimensions)} is, up to a constant, "
        "the number of parameters that a network needs to interpolate its training images smoothly (Lipschitz; Bubeck "
        "and Sellke 2021; section 5 of the paper)."
    )
    if dataset in PAPERS_ESTIMATE:
        text += (
            f" For the lower effective dimension of real images, the paper estimates {PAPERS_ESTIMATE[dataset]} for "
            f"{dataset_label(dataset)}."
        )
    return text


def count_text(count: float) -> str:
    """In millions: 3.0 M; two significant digits below one million."""
    millions = count / 1e6
    return f"{millions:.1f} M" if millions >= 1 else f"{millions:.2g} M"


def job_seconds(
    benchmarks: Path, cell: str, priors: Mapping[str, bool], extractors: Collection[str], earlier: float
) -> dict[str, float]:
    """Wall seconds of every rule's jobs for one cell, from Snakemake's benchmark files: train_seconds and so on, and
    gpu_seconds, the sum over jobs that hold a GPU.

    ``cell`` is the cell's folder below <results>/cells; ``priors`` says which are fitted on a GPU; ``extractors`` are
    the dataset's; ``earlier`` is the training time in seconds up to the checkpoint from which the last job resumed,
    since only that job has a benchmark. NaN if a file is missing or unreadable: benchmarks may be deleted.
    """

    def taken(rule: str, name: str = "") -> float:
        return read_seconds(benchmarks / rule / f"{cell}{name}.tsv")

    fits = {name: taken("fit_prior", f"/{name}") for name in priors}
    seconds = {
        "train_seconds": taken("train") + earlier,
        "encode_seconds": taken("encode"),
        "fit_prior_seconds": sum(fits.values()),
        "sample_seconds": taken("sample"),
        "score_seconds": sum(taken("score", f"/{name}") for name in extractors),
    }
    on_gpu = [fits[name] for name, takes_gpu in priors.items() if takes_gpu]
    seconds["gpu_seconds"] = sum(on_gpu, start=sum(seconds[f"{rule}_seconds"] for rule in GPU_JOBS))
    return seconds


def known_sum(values: pd.Series) -> float:
    """NaN if any value is missing or there is none: a partial sum would look like a low cost."""
    return values.sum(min_count=max(len(values), 1))


def costs_table(cells: pd.DataFrame, seconds: Iterable[Mapping]) -> pd.DataFrame:
    """The cost of every cell. ``cells`` is a table of ``cell_records``; ``seconds`` has one dict per cell: its keys and
    its ``job_seconds``.

    Columns: the cell's keys; device, precision, images_per_second, tflop_per_second, peak_memory_bytes and
    energy_joules of training; <rule>_seconds; gpu_seconds (of jobs that hold a GPU; NaN on a CPU) and job_seconds (of
    all jobs; NaN if one is missing).
    """
    columns = [f"{rule}_seconds" for rule in JOBS]
    measured = [*columns, "gpu_seconds"]
    of_jobs = pd.DataFrame(seconds, columns=[*CELL, *measured]).astype({"depth": str, **dict.fromkeys(measured, float)})
    of_cells = cells[[*CELL, "device", *IN_TRAINING]]
    table = of_cells.merge(of_jobs, on=CELL, how="left", validate="one_to_one")
    job_seconds = table[columns].sum(axis=1, skipna=False)
    return table.assign(gpu_seconds=table["gpu_seconds"].mask(on_cpu(table)), job_seconds=job_seconds)


def on_cpu(table: pd.DataFrame) -> pd.Series:
    """Judged by the device name of ``jobs.device.describe``."""
    return table["device"].str.contains(r"CPU\)?$")


def costs_sections(table: pd.DataFrame) -> Iterator[Section]:
    """``table`` of ``costs_table``: one row per recipe, and one for all of a dataset's cells."""
    for dataset, cells in table.groupby("dataset"):
        groups = sorted(cells.groupby(RECIPE), key=lambda group: (model_order(group[0][0]), group[0][1:]))
        rows = [
            {"Model": model_label(model), "Filters": str(filters), "Depth": depth, **costs_of(group)}
            for (model, filters, depth), group in groups
        ]
        rows.append({"Model": "all", "Filters": NO_VALUE, "Depth": NO_VALUE, **costs_of(cells)})
        shown = number_texts(pd.DataFrame(rows))
        text = (
            f"Computed on {', '.join(sorted(cells['device'].unique()))}. Training: wall time of the job including its "
            "start, possibly beside other jobs. Images/s and TFLOP/s: of the training loop only (10¹² floating point "
            "operations per second, forward and backward, of convolutions and dense layers). These three are means "
            "over cells. Hours: total wall time of the jobs train, encode, fit_prior, sample and score. GPU hours: of "
            "the jobs that hold a GPU or a slot of one. Peak memory: the maximum during training, of the GPU or else "
            "of the process. Energy: of the device during training. A sum with an unknown part is left out."
        )
        yield Section(dataset_label(dataset), text, shown.loc[:, (shown != NO_VALUE).any()])


def costs_of(cells: pd.DataFrame) -> dict[str, object]:
    """The total cost of some cells, under the headers to show."""
    return {
        "Cells": str(len(cells)),
        "Precision": ", ".join(sorted(cells["precision"].unique())),
        "Training, s": cells["train_seconds"].mean(skipna=False),
        "Hours": known_sum(cells["job_seconds"]) / 3600,
        "GPU hours": known_sum(cells.loc[~on_cpu(cells), "gpu_seconds"]) / 3600,
        "Images/s": cells["images_per_second"].mean(),
        "TFLOP/s": cells["tflop_per_second"].mean(),
        "Peak memory, GiB": cells["peak_memory_bytes"].max() / 2**30,
        "Energy, kWh": known_sum(cells["energy_joules"]) / 3.6e6,
    }


def number_texts(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with float columns as text: three significant digits of their medians and one of their smallest numbers,
    which would look like nothing otherwise; the same decimals in a column.
    """
    floats = rows.select_dtypes("float")
    return rows.assign(**{name: fixed_texts(floats[name], digits=3) for name in floats})


def fixed_texts(values: pd.Series, digits: int) -> list[str]:
    places = max(decimals(values, digits), decimals([values.abs().where(values != 0).min()], digits=1))
    return [NO_VALUE if pd.isna(value) else rounded(value, places) for value in values]


def latent_sections(statistics: pd.DataFrame) -> Iterator[Section]:
    """The latent statistics for people: a section per dataset and a row per cell.

    ``statistics`` has the cell's keys, status ("ok" or "diverged") and the columns ``LATENT_COLUMNS`` (NaN if the cell
    diverged).
    """
    explained = [f"{header}: {meaning}." for header, meaning in LATENT_COLUMNS.values()]
    for dataset, cells in statistics.groupby("dataset"):
        cells = cells.sort_values(CELL, key=lambda keys: keys.map(model_order) if keys.name == "model" else keys)
        rows = {
            "Model": cells["model"].map(model_label),
            "Filters": cells["filters"].astype(str),
            "Depth": cells["depth"],
            "Latent units": cells["latent"].astype(str),
            "Seed": cells["seed"].astype(str),
        }
        for name, (header, _) in LATENT_COLUMNS.items():
            texts = fixed_texts(cells[name], digits=1 if name in ("codes", "rank") else 4)
            rows[header] = [
                DIVERGED if status == DIVERGED else text for text, status in zip(texts, cells["status"], strict=True)
            ]
        yield Section(dataset_label(dataset), "\n".join(explained), pd.DataFrame(rows))
