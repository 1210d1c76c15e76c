"""Methods beside a plain autoencoder: their native priors, the numbers of the figure, and a run with one of them."""

import math

import numpy as np
import pandas as pd
import pytest
import yaml
from matplotlib.figure import Figure
from running import PROJECT, copy_project, laid_over, planned, snakemake
from scipy import stats

from autoencoders.config import grid, settings
from autoencoders.evidence.display_names import model_label
from autoencoders.evidence.paper_values import read_published
from autoencoders.figures.methods import method_points, methods_figure
from autoencoders.jobs.errors import UserError
from autoencoders.jobs.files import read_npz

PUBLISHED = read_published(PROJECT / "config" / "published_fid.csv")
NATIVE = {"wae": "standard_normal", "gmm-dae": "target_gmm", "rae": "gmm", "dae": None}
CELLS = "experiments: {mine: [{dataset: DATASET, model: MODEL, filters: 8, latent: 64}]}\nrun: [mine]\n"
CELLS += "datasets: {cifar10: {comparison_latent: 64}, celeba: {comparison_latent: 64}}"


@pytest.fixture
def resolved(project):
    """The config of the project with cells of one model on one dataset, and a change."""
    paper = yaml.safe_load((project / "config" / "config.yaml").read_text(encoding="utf-8"))

    def resolve(model: str = "gmm-dae", dataset: str = "cifar10", change: str = "{}") -> dict:
        cells = yaml.safe_load(CELLS.replace("MODEL", model).replace("DATASET", dataset))
        return settings.resolve(laid_over(paper, cells, yaml.safe_load(change)))

    return resolve


# ---- native priors


def test_a_native_prior_runs_for_its_model_beside_those_of_all(resolved):
    config = resolved()
    everyone = ["standard_normal", "mvg", "gmm"]
    assert list(grid.model_priors(config, "gmm-dae")) == [*everyone, "target_gmm"]
    for model in ("dae", "wae", "rae"):
        assert list(grid.model_priors(config, model)) == everyone == list(grid.running(config, "priors"))
        assert grid.comparisons(config, model) == grid.comparisons(config)
        assert grid.image_sets(config, model) == grid.image_sets(config)
    assert grid.image_sets(config, "gmm-dae") == [*grid.image_sets(config), "native"]
    assert grid.comparisons(config, "gmm-dae") == grid.comparisons(config) | {"target_gmm": ["native", "test"]}


def test_a_prior_that_run_priors_leaves_out_runs_for_the_model_that_is_made_for_it(resolved):
    config = resolved(change="run_priors: [gmm]")
    assert list(grid.model_priors(config, "wae")) == ["gmm", "standard_normal"]
    assert list(grid.model_priors(config, "dae")) == list(grid.model_priors(config, "rae")) == ["gmm"]


def test_a_mixture_that_is_fixed_runs_for_all_models_if_it_is_asked_for(resolved):
    config = resolved(change="run_priors: [target_gmm, mvg]")
    assert grid.extra_prior(config, "gmm-dae") is None
    assert "target_gmm" in grid.image_sets(config, "dae") and "native" not in grid.image_sets(config, "gmm-dae")


@pytest.mark.parametrize(("dataset", "components"), [("cifar10", 10), ("celeba", 20)])
def test_the_mixture_of_a_dataset_is_the_one_that_the_penalty_aims_at(resolved, dataset, components):
    config = resolved(dataset=dataset)
    assert grid.prior_options(config, "target_gmm", dataset) == {"kind": "target_gmm", "components": components}
    penalty = grid.objective_options(config, "gmm-dae", dataset)["penalties"]["target"]
    assert penalty["components"] == components


def test_removing_a_prior_removes_it_from_the_models_that_are_made_for_it(resolved):
    config = resolved(change="priors: {target_gmm: null, gmm: null}")
    assert list(grid.model_priors(config, "gmm-dae")) == list(grid.model_priors(config, "rae"))
    assert config["models"]["gmm-dae"]["native_prior"] is None
    change = "{model_defaults: {native_prior: gmm}, priors: {gmm: null}}"
    assert list(grid.model_priors(resolved("dae", change=change), "dae")) == ["standard_normal", "mvg"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            "models: {wae: {native_prior: normal}}",
            "models.wae.native_prior: there is no prior 'normal'. Known: standard",
        ),
        ("models: {wae: {native_prior: [gmm]}}", "Write the name of the prior that the model is made for, or null"),
        ("models: {wae: {tuned_on: [cifar]}}", "models.wae.tuned_on[0]: there is no dataset 'cifar'. Known: cifar10"),
        (
            "models: {wae: {tuned_on: [cifar10-validation]}}",
            "models.wae.tuned_on[0]: cifar10-validation is held out of cifar10. Write cifar10.",
        ),
        ("models: {wae: {tuned_on: cifar10}}", "Write the datasets on which the penalties' weights were chosen"),
        (
            "priors: {target_gmm: {components: 20}}",
            "components: 20 on cifar10, but the penalty target of gmm-dae draws",
        ),
        ("priors: {target_gmm: {components: {cifar10: null}}}", "components"),
        ("priors: {native: {kind: mvg}}", "priors.native: a cell already has images of this name"),
        ("experiments: {baselines-x: [{dataset: cifar10, model: dae, filters: 8}]}", "the name of another experiment"),
    ],
)
def test_what_can_not_be_is_refused_with_what_to_write(resolved, change, words):
    with pytest.raises(UserError) as refused:
        resolved(change=change)
    assert words in str(refused.value)
    # Not once more for each of the models that tuning makes.
    assert "-x0.1" not in str(refused.value)


def test_a_prior_needs_a_value_for_each_dataset_that_its_model_runs_on(resolved):
    change = "{run_priors: [mvg], models: {dae: {native_prior: target_gmm}}, datasets: {mine: {source: sklearn, "
    change += "sklearn: {name: digits}, latent: 64, extractors: [random]}}}"
    with pytest.raises(UserError, match=r"priors.target_gmm.components: it has a value for cifar10, celeba, but none"):
        resolved("dae", "mine", change)
    assert resolved("rae", "cifar10", change)["models"]["dae"]["native_prior"] == "target_gmm"


def test_weights_count_as_untuned_until_the_config_says_where_they_were_chosen(resolved):
    config = resolved(change="models: {wae: {tuned_on: [celeba]}}")
    assert grid.untuned_datasets(config, "wae") == ["cifar10"]
    assert grid.untuned_datasets(config, "rae") == ["cifar10", "celeba"]
    assert grid.untuned_datasets(config, "vae") == grid.untuned_datasets(config, "dae-bn0") == []


# ---- the figure


def drawn(table: pd.DataFrame) -> Figure:
    methods = {model: {"native_prior": prior, "untuned": []} for model, prior in NATIVE.items()}
    methods["wae"]["untuned"] = ["digits"]
    figure = methods_figure(table, next(iter(table["extractor"]), "classifier"), PUBLISHED, list(NATIVE), methods)
    figure.draw_without_rendering()
    return figure


def scores(*rows) -> pd.DataFrame:
    """A table of scores: (model, comparison, value for each seed), of which None diverged."""
    found = []
    for model, comparison, *values in rows:
        for seed, value in enumerate(values):
            cell = {"dataset": "digits", "model": model, "filters": 8, "depth": "1", "latent": 16, "seed": seed}
            cell |= {
                "setting": "own",
                "steps": 900,
                "extractor": "classifier",
                "comparison": comparison,
                "measure": "frechet",
            }
            status = "diverged" if value is None else "ok"
            found.append(cell | {"value": math.nan if value is None else float(value), "status": status})
    return pd.DataFrame(found)


TABLE = scores(
    ("dae", "test_recon", 10, 12, 14),
    ("dae", "gmm", 20, 25, 22),
    ("dae", "standard_normal", 90, 95, 99),
    ("wae", "test_recon", 11, 13, None),
    ("wae", "gmm", 18, 30, None),
    ("wae", "standard_normal", 40, 50, None),
    ("rae", "test_recon", 9, 9, 9),
    ("rae", "gmm", 10, 12.5, 11),
)


def test_the_points_are_means_over_seeds_and_ratios_of_common_seeds_with_their_interval():
    points = method_points(TABLE, NATIVE).set_index(["model", "prior"])
    # A native prior that is the fitted one is one point, and only the method's own priors are shown.
    assert list(points.index) == [("dae", "gmm"), ("rae", "gmm"), ("wae", "gmm"), ("wae", "standard_normal")]
    of_dae, of_rae, of_wae = points.loc["dae", "gmm"], points.loc["rae", "gmm"], points.loc["wae", "standard_normal"]
    assert (of_dae["reconstruction"], of_dae["sample"]) == (12, pytest.approx(67 / 3))
    assert of_dae["reconstruction_sd"] == 2 and of_dae["ratio"] == 1
    # Half of the DAE's, in each seed.
    assert of_rae[["ratio", "low", "high"]].tolist() == pytest.approx([0.5, 0.5, 0.5])
    # The native prior against the DAE's fitted one, in the two seeds that did not diverge.
    assert (of_wae["reconstruction"], of_wae["sample"]) == (12, 45)
    effects = np.log([40 / 20, 50 / 25])
    assert of_wae["ratio"] == pytest.approx(np.exp(effects.mean()))
    with_gmm = np.log([18 / 20, 30 / 25])
    low, high = stats.t.interval(0.95, 1, with_gmm.mean(), stats.sem(with_gmm))
    assert np.log(points.loc["wae", "gmm"][["low", "high"]].tolist()) == pytest.approx([low, high])


def test_a_single_seed_has_no_interval_and_without_a_plain_autoencoder_there_are_no_ratios():
    one = method_points(TABLE[TABLE["seed"] == 0], NATIVE)
    assert one["low"].isna().all() and one["sample_sd"].isna().all() and one["ratio"].notna().all()
    none = method_points(TABLE[TABLE["model"] != "dae"], NATIVE)
    assert none["ratio"].isna().all() and none["sample"].notna().all()
    for table in (TABLE[TABLE["seed"] == 0], TABLE[TABLE["model"] != "dae"], TABLE[TABLE["model"] == "nothing"]):
        drawn(table)


def test_the_figure_shows_each_method_by_name_left_of_the_line_if_it_beats_the_plain_autoencoder():
    figure = drawn(TABLE)
    left, right = figure.axes
    assert [text.get_text() for text in right.get_yticklabels()] == ["DAE", "RAE", "WAE*"]
    points = {
        container.get_label(): container.lines[0].get_xydata()[0]
        for axes in (left, right)
        for container in axes.containers
    }
    assert set(points) == {"DAE; GMM", "RAE; GMM", "WAE; GMM", "WAE; N(0,I)"}
    assert points["RAE; GMM"].tolist() == pytest.approx([0.5, 1]) and points["WAE; N(0,I)"][0] == pytest.approx(2)
    on_the_left = {container.get_label(): container.lines[0].get_xydata()[0] for container in left.containers}
    assert on_the_left["WAE; N(0,I)"].tolist() == [12, 45]
    # The dashed lines: the DAE's score, and the ratio 1.
    assert any(line.get_ydata()[0] == pytest.approx(67 / 3) for line in left.lines)
    assert any(list(line.get_xdata()) == [1, 1] for line in right.lines)


def test_crosses_are_the_papers_values_and_those_that_it_cites_in_its_setting_alone():
    paper = TABLE.assign(dataset="cifar10", filters=128, latent=128, setting="paper", extractor="inception")
    crosses = {line.get_label(): line.get_xydata()[0].tolist() for line in drawn(paper).axes[0].lines}
    crosses = {label: point for label, point in crosses.items() if label.endswith("; paper")}
    # Table 2. It cites no score of a plain RAE.
    assert crosses == {
        "DAE; GMM; paper": [45.21, 73.78],
        "WAE; GMM; paper": [57.94, 93.53],
        "WAE; N(0,I); paper": [57.94, 117.4],
    }
    # Nor of another latent size.
    for other in ({"setting": "own"}, {"extractor": "classifier"}, {"latent": 64}):
        assert not any(line.get_label().endswith("; paper") for line in drawn(paper.assign(**other)).axes[0].lines)


def test_every_model_of_the_config_looks_different(project):
    from autoencoders.figures.model_looks import model_look

    models = list(yaml.safe_load((project / "config" / "config.yaml").read_text(encoding="utf-8"))["models"])
    looks = [model_look(model, models) for model in models]
    assert len(set(looks)) == len(looks) == len({colour for colour, _ in looks})


# ---- a run


BASELINES = """
run: [baselines]
priors: { target_gmm: { components: 3 } }
models:
  gmm-dae: { penalties: { target: { components: 3 } } }
  wae: { penalties: { mmd: { weight: 0.02 } } }
experiments:
  baselines:
    - { dataset: digits, model: [dae, wae], filters: 2 }
"""


@pytest.mark.slow
def test_a_run_with_a_native_prior_scores_it_for_its_model_alone(project, tmp_path):
    folder = copy_project(project, tmp_path)
    run = folder / "mine.yaml"
    configs = ("config/demo.yaml", "tiny.yaml", "mine.yaml")
    run.write_text(BASELINES, encoding="utf-8")
    snakemake(folder, "all_scores", configs=configs)
    run.write_text(BASELINES.replace("[dae, wae]", "[dae, wae, gmm-dae]"), encoding="utf-8")
    # Another model's native prior changes nothing for the others.
    jobs = planned(snakemake(folder, "-n", "all_scores", configs=configs).stdout)
    once = dict.fromkeys(["train", "encode", "sample_native", "score", "all_scores"], 1)
    assert jobs == once | {"fit_prior": 4}
    snakemake(folder, "all", configs=configs)
    results = folder / "results" / "demo"
    of_model = {path.parent.parent.name: path.parent for path in (results / "cells" / "digits").glob("*/*/gallery.npz")}
    assert set(of_model) == {"dae", "wae", "gmm-dae"}
    for model, cell in of_model.items():
        expected = {"standard_normal", "mvg", "gmm"} | ({"target_gmm"} if model == "gmm-dae" else set())
        assert {path.stem for path in (cell / "priors").iterdir()} == expected
        assert expected <= set(read_npz(cell / "gallery.npz")) and not list((cell / "images").glob("*"))
        found = pd.read_parquet(cell / "scores" / "classifier.parquet")
        assert expected <= set(found["comparison"]) and ("target_gmm" in set(found["comparison"])) == (
            model == "gmm-dae"
        )
        assert "native" not in set(found["comparison"])
    # Drawn from the very mixture: unit variances, and means of a third in three of the four units.
    prior = read_npz(of_model["gmm-dae"] / "priors" / "target_gmm.npz")
    assert prior["means"].tolist() == np.eye(3, 4).tolist()
    table = pd.read_parquet(results / "tables" / "table2.parquet").set_index("model")
    assert table["native_prior"].to_dict() == {"dae": None, "wae": "standard_normal", "gmm-dae": "target_gmm"}
    assert table["untuned"].to_dict() == {"dae": False, "wae": True, "gmm-dae": True}
    # The other models never had that prior, so Table 3 has no row of it for them, and its only value is not the best.
    best_sizes = pd.read_parquet(results / "tables" / "table3.parquet")
    assert set(best_sizes["status"]) == {"ok"}
    assert best_sizes.loc[best_sizes["prior"] == "target_gmm", "model"].tolist() == ["gmm-dae"]
    page = (results / "tables" / "table2.md").read_text(encoding="utf-8")
    assert f"**{table.loc['gmm-dae', 'target_gmm']:.2f}**" not in page
    assert table["target_gmm"].notna().to_dict() == {"dae": False, "wae": False, "gmm-dae": True}
    assert (results / "figures" / "baselines-classifier.png").exists()
    assert not (results / "figures" / "own-classifier.png").exists()
    claims = pd.read_parquet(results / "tables" / "claims.parquet").set_index("claim")
    assert claims.loc[["wae_below_dae_gmm", "gmm-dae_as_made_below_dae_gmm"], "verdict"].tolist() == ["one run"] * 2
    assert model_label("gmm-dae") in claims.loc["gmm-dae_as_made_below_dae_gmm", "statement"]
    assert "Nothing to be done" in snakemake(folder, "-n", "all", configs=configs).stdout
