"""The numbers on the pages of kept results are those of the kept scores, and the scores those of the config's cells."""

import re

import numpy as np
import pandas as pd
import pytest
import yaml
from running import PROJECT, laid_over
from scipy import stats

from autoencoders.config import settings
from autoencoders.config.grid import CELL_KEYS, cells
from autoencoders.evidence.display_names import model_label

PICTURES = PROJECT / "workflow" / "pictures"
COMPARISONS = {"Test R": "test_recon", "N(0, I)": "standard_normal", "MVG": "mvg", "GMM": "gmm"}
RESULTS = "workflow/pictures/README.md"
VALUE = re.compile(r"(\d[\d.]*) ± (\d[\d.]*)")
INTERVAL = re.compile(r"([+−]\d+) % \[([+−]\d+), ([+−]\d+)\]")


def kept(name: str) -> pd.DataFrame:
    return pd.read_csv(PICTURES / f"{name}.csv", dtype={"depth": str})


def table(page: str, first_header: str) -> pd.DataFrame:
    """The table of a page whose head begins with the cells ``first_header``, as text, with bold removed."""
    lines = (PROJECT / page).read_text(encoding="utf-8").splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(f"| {first_header}"))
    rows = []
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip(" *") for cell in line.strip().strip("|").split("|")])
    return pd.DataFrame(rows[2:], columns=rows[0]).set_index(rows[0][0])


def of(scores: pd.DataFrame, **where) -> pd.Series:
    """The values of one comparison by seed, in order."""
    found = scores[np.logical_and.reduce([scores[column] == value for column, value in where.items()])]
    assert not found.empty and not found["seed"].duplicated().any(), where
    return found.set_index("seed")["value"].sort_index()


def digits(text: str) -> int:
    return len(text.partition(".")[2])


def check_value(text: str, values: pd.Series) -> None:
    """``text`` has the only one of ``values`` or their mean and sample deviation, as rounded as it is."""
    if len(values) == 1:
        assert text == f"{values.iloc[0]:.{digits(text)}f}", (text, values.iloc[0])
        return
    mean, deviation = VALUE.search(text).groups()
    assert mean == f"{values.mean():.{digits(mean)}f}", (text, values.mean())
    assert deviation == f"{values.std(ddof=1):.{digits(deviation)}f}", (text, values.std(ddof=1))


def check_interval(text: str, values: pd.Series, reference: pd.Series) -> None:
    """``text`` has the mean ratio to ``reference`` in per cent and its 95 % interval, by SciPy's t test of pairs."""
    logs = np.log(values.loc[reference.index] / reference)
    low, high = stats.ttest_1samp(logs, 0).confidence_interval(0.95)
    shown = [int(number.replace("−", "-")) for number in INTERVAL.fullmatch(text).groups()]
    assert shown == [round(100 * np.expm1(value)) for value in (logs.mean(), low, high)], text


def planned_cells(name: str, run: list[str]) -> set[tuple]:
    configs = [
        yaml.safe_load((PROJECT / "config" / f"{file}.yaml").read_text(encoding="utf-8")) for file in ("config", name)
    ]
    return {tuple(cell.values()) for cell in cells(settings.resolve(laid_over(*configs, {"run": run})))}


@pytest.mark.parametrize(
    ("name", "run"), [("cifar10-baselines", ["baselines", "tuning"]), ("cifar10-narrow", ["narrow"])]
)
def test_the_kept_scores_are_those_of_every_cell_of_the_config(name, run):
    scores = kept(name)
    assert set(scores[list(CELL_KEYS)].itertuples(index=False, name=None)) == planned_cells(name, run)
    assert (scores["status"] == "ok").all() and np.isfinite(scores["value"]).all()
    keys = [*CELL_KEYS, "extractor", "comparison", "measure"]
    assert not scores.duplicated(keys).any()
    # Every cell of a model has as many rows.
    assert scores.groupby(list(CELL_KEYS)).size().groupby(["dataset", "model"]).nunique().eq(1).all()
    # In full precision: the shortest text that gives the same number again.
    assert scores.loc[scores["measure"] == "frechet", "value"].astype(str).str.len().median() > 15


def test_the_table_of_the_cited_methods_is_that_of_their_scores():
    scores = kept("cifar10-baselines")
    scores = scores[scores["dataset"] == "cifar10"]  # not those of tuning
    shown = table(RESULTS, "| Test R | own prior")
    assert set(shown.index) == {model_label(model) for model in scores["model"].unique()}
    for model in scores["model"].unique():
        row = shown.loc[model_label(model)].tolist()
        columns = (
            ("random", "test_recon"),
            None,
            ("random", "mvg"),
            ("random", "gmm"),
            None,
            ("classifier", "gmm"),
            None,
        )
        for text, column in zip(row, columns, strict=True):
            if column:
                check_value(text, of(scores, model=model, extractor=column[0], comparison=column[1]))
        if own := row[1]:
            comparison = "standard_normal" if own.startswith("N(0, I)") else "target_gmm"
            check_value(row[1], of(scores, model=model, extractor="random", comparison=comparison))
        if model != "dae":
            for text, extractor in ((row[4], "random"), (row[6], "classifier")):
                both = [of(scores, model=name, extractor=extractor, comparison="gmm") for name in (model, "dae")]
                check_interval(text, *both)


def test_the_table_of_tuning_is_that_of_its_scores():
    scores = kept("cifar10-baselines")
    scores = scores[scores["dataset"] == "cifar10-validation"]
    shown = table(RESULTS, "all weights times")
    for model, row, comparison in (("rae", "RAE, GMM", "gmm"), ("wae", "WAE, N(0, I)", "standard_normal")):
        for factor, text in shown.loc[row].items():
            name = model if factor == "1" else f"{model}-x{factor}"
            check_value(text, of(scores, model=name, comparison=comparison))


def narrow(**where) -> pd.Series:
    return of(kept("cifar10-narrow"), **{"measure": "frechet", "extractor": "random", **where})


def test_the_first_pages_table_is_that_of_the_kept_scores():
    shown = table("README.md", "Fréchet distance, 64 latent units")
    for model in kept("cifar10-narrow")["model"].unique():
        *of_random, of_classifier = shown.loc[model_label(model)]
        for text, comparison in zip(of_random, COMPARISONS.values(), strict=True):
            check_value(text, narrow(model=model, latent=64, comparison=comparison))
        check_value(of_classifier, narrow(model=model, latent=64, comparison="gmm", extractor="classifier"))
    assert len(shown) == kept("cifar10-narrow")["model"].nunique()


def test_the_studys_tables_are_those_of_the_kept_scores():
    models = {model_label(model): model for model in kept("cifar10-narrow")["model"].unique()}
    sizes = table(RESULTS, "latent units")
    assert len(sizes) == 2 * 2 * len(COMPARISONS)
    for row, texts in sizes.iterrows():
        extractor, comparison, model = re.fullmatch(r"(\w+), (.+): (\w+)", row).groups()
        for latent, text in texts.items():
            where = {"model": models[model], "latent": int(latent), "comparison": COMPARISONS[comparison]}
            check_value(text, narrow(extractor=extractor, **where).loc[[0]])
    compared = table(RESULTS, "64 units")
    assert len(compared) == 2 * len(COMPARISONS) and set(compared.columns) == set(models)
    for row, texts in compared.iterrows():
        extractor, _, comparison = row.partition(", ")
        for model, text in texts.items():
            where = {"model": models[model], "latent": 64, "comparison": COMPARISONS[comparison]}
            check_value(text, narrow(extractor=extractor, **where))
    beside = table(RESULTS, "beside the DAE")
    assert len(beside) == 2 * len(COMPARISONS) and set(beside.columns) == set(models) - {"DAE"}
    for row, texts in beside.iterrows():
        extractor, _, comparison = row.partition(", ")
        comparison, _, of_dae = comparison.partition(", and the DAE from ")
        where = {"latent": 64, "extractor": extractor}
        reference = narrow(model="dae", comparison=COMPARISONS[of_dae or comparison], **where)
        assert len(reference) == 5
        for model, text in texts.items():
            check_interval(text, narrow(model=models[model], comparison=COMPARISONS[comparison], **where), reference)
    measured = table(RESULTS, "GMM, random features")
    scores = kept("cifar10-narrow")
    of_random = scores.loc[scores["extractor"] == "random", "measure"]
    assert {measure.strip("`") for measure in measured.index} == {*of_random} - {"frechet"}
    for measure, texts in measured.iterrows():
        for model, text in texts.items():
            check_value(text, narrow(model=models[model], latent=64, comparison="gmm", measure=measure.strip("`")))
