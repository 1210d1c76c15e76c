"""The config: the paper's cells, defaults, and refusals that say what to write instead."""

import copy
import itertools
import json
import math
import re
import subprocess
import sys
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image
from running import copy_project, laid_over, planned, snakemake
from snakemake.cli import parse_config

from autoencoders.config import checks, grid, settings
from autoencoders.data import first_look
from autoencoders.data.sources import folder as folder_source
from autoencoders.jobs import kinds
from autoencoders.jobs.errors import UserError
from autoencoders.jobs.fingerprints import Contents


@pytest.fixture
def paper(project) -> dict:
    return yaml.safe_load((project / "config" / "config.yaml").read_text(encoding="utf-8"))


def fault_of(config: dict) -> str:
    """The only line of the refusal of a config."""
    with pytest.raises(UserError) as refusal:
        settings.resolve(config)
    heading, *lines = str(refusal.value).splitlines()
    assert heading == "the config can't be used:" and len(lines) == 1, lines
    return lines[0].strip()


def test_the_default_config_is_the_papers_346_cells(paper):
    before = copy.deepcopy(paper)
    cells = grid.cells(settings.resolve(paper))
    assert paper == before and len(cells) == 346
    networks = [(cell["dataset"], cell["model"], cell["filters"], cell["depth"]) for cell in cells]
    widths, sigmas = {"cifar10": (32, 64, 128, 256), "celeba": (32, 64, 128)}, ("0.1", "0.5", "1")
    sizes = {"cifar10": 14, "celeba": 11}
    assert {network: networks.count(network) for network in networks} == {
        **{(name, model, n, "1"): sizes[name] for name in sizes for model in ("dae", "vae") for n in widths[name]},
        **dict.fromkeys(
            [("cifar10", "dae", *network) for network in ((64, "2"), (64, "3"), (128, "2"), (128, "3321"))], 14
        ),
        **dict.fromkeys([("cifar10", f"dae-{norm}", 128, "1") for norm in ("bn", "sn", "ln")], 14),
        **dict.fromkeys([("cifar10", "dae-frozen", 128, depth) for depth in ("1", "2")], 14),
        **dict.fromkeys([("cifar10", f"dae-noise{sigma}", 128, "1") for sigma in sigmas], 14),
    }


MINE = "run: [mine]\nexperiments: {mine: [{dataset: cifar10, model: dae, filters: 8, latent: 4}]}\n"


@pytest.mark.parametrize(
    ("change", "count"),
    [
        ("run_on: [celeba]", 66),
        ("seeds: [0, 1, 2]", 3 * 346),
        ("{run: [noise], datasets: {cifar10: {latent: [64], comparison_latent: 64}}}", 5),
        # A grid's own seeds replace the config's; cells that grids of one experiment share count once.
        (
            "{run: [x], seeds: [5], experiments: {x: ["
            "{dataset: cifar10, model: [dae, vae], filters: 32, seeds: [0, 1]}, "
            "{dataset: cifar10, model: [dae, vae], filters: 32, latent: 128, seeds: [0, 1, 2, 3, 4, 5, 6, 7]}, "
            "{dataset: cifar10, model: dae, filters: 8, latent: 128}]}}",
            2 * (14 * 2 + 6) + 1,
        ),
        # A cell that two grids share counts once.
        ("{run: [width, x], experiments: {x: [{dataset: cifar10, model: dae, filters: 32, latent: [128, 7]}]}}", 179),
        # 1111 is the same depth as 1.
        ("{run: [x], experiments: {x: [{dataset: cifar10, model: dae, filters: 8, depth: [1, 1111, '2222']}]}}", 28),
    ],
)
def test_cells_are_the_union_of_the_grids_that_run(paper, change, count):
    cells = grid.cells(settings.resolve(laid_over(paper, yaml.safe_load(change))))
    assert len(cells) == len({tuple(cell.values()) for cell in cells}) == count
    assert {cell["depth"] for cell in cells} <= {"1", "2", "3", "3321"}


def test_seeds_are_an_axis_of_a_grid_and_the_configs_where_it_has_none(paper):
    grids = """
    - {dataset: cifar10, model: dae, filters: 8, latent: [4, 6], seeds: [3, 0]}
    - {dataset: cifar10, model: dae, filters: 8, latent: 6, seeds: [0, 7]}
    - {dataset: cifar10, model: vae, filters: 8, latent: 6, seeds: 4}
    - {dataset: celeba, model: vae, filters: 8, latent: 6}
    """
    change = {"run": ["mine"], "seeds": [9, 1], "experiments": {"mine": yaml.safe_load(grids)}}
    change["datasets"] = {name: {"comparison_latent": 6} for name in ("cifar10", "celeba")}
    config = settings.resolve(laid_over(paper, change))
    keys = ("dataset", "model", "latent", "seed")
    cells = grid.experiment_cells(config, "mine")
    dae = [("cifar10", "dae", *pair) for pair in ((4, 3), (4, 0), (6, 3), (6, 0), (6, 7))]
    others = [("cifar10", "vae", 6, 4), ("celeba", "vae", 6, 9), ("celeba", "vae", 6, 1)]
    assert [tuple(cell[key] for key in keys) for cell in cells] == [*dae, *others]
    assert {cell["seed"] for cell in grid.experiment_cells(config, "scatter")} == {9, 1}
    # A scatter plot shows the first of each cell's own seeds, whatever the config's are.
    first = [tuple(cell[key] for key in keys) for cell in grid.first_seeds(cells)]
    assert first == [dae[0], dae[2], others[0], others[1]]


def test_the_redrawn_cell_is_the_widest_dae_at_the_comparison_size_and_there_is_always_one(paper):
    def found(change: str = "", dataset: str = "cifar10") -> tuple | None:
        cell = grid.redrawn_cell(settings.resolve(laid_over(paper, yaml.safe_load(change) or {})), dataset)
        return cell and tuple(cell.values())

    assert found() == ("cifar10", "dae", 256, "1", 128, 0)
    assert found("seeds: [3, 2]", "celeba") == ("celeba", "dae", 128, "1", 64, 2)
    # Depth 1 comes before the model, and both before the width; without either, the width.
    other = "{dataset: cifar10, model: [dae, vae], filters: [8, 16], depth: [1, 2], latent: [4, 9]}"
    alone = "{{run: [x], datasets: {{cifar10: {{comparison_latent: 4}}}}, experiments: {{x: [{}]}}}}".format
    assert found(alone(other)) == ("cifar10", "dae", 16, "1", 4, 0)
    assert found(alone(other.replace("dae, ", ""))) == ("cifar10", "vae", 16, "1", 4, 0)
    assert found(alone(other.replace("[1, 2]", "[3321, 2]"))) == ("cifar10", "dae", 16, "2", 4, 0)
    wide = "{dataset: cifar10, model: vae, filters: 64, latent: 4}"
    assert found(alone(f"{wide}, {other}")) == found(alone(other)) == found(alone(f"{other}, {wide}"))
    deep = "{dataset: cifar10, model: dae, filters: 64, depth: 2, latent: 4}"
    assert found(alone(f"{deep}, {wide}")) == ("cifar10", "vae", 64, "1", 4, 0)
    # Scatter plots may run alone, at another size.
    scatter = "{run: [scatter], experiments: {scatter: [{dataset: cifar10, model: [vae, dae], filters: 8, latent: 7}]}}"
    assert found(scatter) == ("cifar10", "dae", 8, "1", 7, 0)
    assert found("run_on: [celeba]") is None


def test_models_inherit_model_defaults_and_widths_are_sorted(paper):
    paper["model_defaults"] = {"widening": "last", "beta": 0.5, "kl_reduction": "sum", "reconstructions": "sample"}
    paper["models"] |= {"dae": {}, "vae": {"variational": True}, "mine": {"variational": True, "widening": "first"}}
    models = settings.resolve(paper)["models"]
    assert [models[name]["widening"] for name in ("dae", "vae", "mine")] == ["last", "last", "first"]
    assert models["vae"]["beta"] == models["mine"]["beta"] == 0.5
    # Options of a VAE change nothing in another model.
    assert models["vae"]["reconstructions"] == "sample"
    neutral = {"beta": 0, "kl_reduction": "mean", "codes": "mean", "reconstructions": "mean"}
    assert {key: models["dae"][key] for key in neutral} == neutral
    # Widths may be numbers or text.
    widths = settings.resolve({**paper, "cells_per_gpu": {"64": 2, 128: 1, 32: 4}})["cells_per_gpu"]
    assert list(widths.items()) == [(32, 4), (64, 2), (128, 1)]


@pytest.mark.parametrize(
    ("name", "channels"), [("config", 1024), ("demo", None), ("laptop", None), ("precision", None)]
)
def test_narrow_networks_have_narrow_decoders_by_a_null_that_overrides_a_number(paper, project, name, channels):
    written = yaml.safe_load((project / "config" / f"{name}.yaml").read_text(encoding="utf-8"))
    models = settings.resolve(laid_over(paper, written))["models"].values()
    assert {model["decoder_channels"] for model in models} == {channels}


def test_the_comparison_latent_is_the_middle_one_that_runs_unless_given(paper):
    for sizes, middle in (([64, 8, 16], 16), ([64, 8, 32, 16], 32)):
        paper["datasets"]["cifar10"] |= {"latent": sizes, "comparison_latent": None}
        assert settings.resolve(paper)["datasets"]["cifar10"]["comparison_latent"] == middle
    mine = yaml.safe_load(MINE.replace("latent: 4", "latent: [20]"))
    resolved = settings.resolve(laid_over(paper, mine))["datasets"]
    assert [resolved[name]["comparison_latent"] for name in ("cifar10", "celeba")] == [20, 64]


def test_comparisons_follow_the_references_and_the_priors_that_run(paper):
    paper |= {"run_priors": ["gmm20", "mvg"], "priors": paper["priors"] | {"gmm20": {"kind": "gmm", "components": 20}}}
    # Priors in the order of their definition.
    others = [(name, "test") for name in ("test_recon", "interpolation", "mvg", "gmm20")]
    both = [("train_recon", "test"), ("train_recon_vs_train", "train")]
    for references, reconstructed in ((["test"], both[:1]), (["train"], both[1:]), (["test", "train"], both)):
        paper["scoring"]["train_recon_references"] = references
        config = settings.resolve(paper)
        found = [(name, split) for name, (_, split) in grid.comparisons(config).items()]
        assert found == [*reconstructed, *others]
    assert config["priors"]["gmm20"] | {"components": 10} == config["priors"]["gmm"]


def test_likelihoods_are_computed_under_priors_that_run(paper):
    assert grid.likelihood_priors(settings.resolve(paper)) == {"mvg": "mvg", "gmm": "gmm"}
    paper["priors"] |= {"gmm20": {"kind": "gmm", "components": 20}, "gmm5": {"kind": "gmm", "components": 5}}
    paper["run_priors"] = ["standard_normal", "gmm20", "gmm5"]
    assert grid.likelihood_priors(settings.resolve(paper)) == {"gmm": "gmm20"}


# ---- refusals: a change of the paper's config, and words of the message, which is a single line


def experiment(name: str, change: str = "") -> str:
    """A config with an experiment of one grid."""
    return f"experiments: {{{name}: [{{dataset: cifar10, model: dae, filters: 8, {change}}}]}}"


REFUSED = [
    ("nosuchkey: 1", "nosuchkey is not a key. Keys here: pathvars, run, "),
    (experiment("width", "filter: 8"), "experiments.width[0].filter is not a key. Did you mean 'filters'?"),
    ("training: {epochs: 50}", "a step begins at epoch 66, but training.epochs is 50"),
    ("training: {learning_rate: [{epoch: 0, rate: 1}, {epoch: 0, rate: 1}]}", "in ascending order, starting with 0"),
    ("models: {slow: {learning_rate_factor: 0}}", "models.slow.learning_rate_factor: 0 can't be used here"),
    ("training: {batch_size: 1e2}", "Write a whole number, at least 1. Write 100."),
    (
        "scoring: {images: 1.0e+4}",
        "10000.0 can't be used here. Write how many images are compared, at least 2. Write 10000.",
    ),
    ("training: {batch_size: -1e2}", "'-1e2' can't be used here. Write a whole number, at least 1. It is text"),
    ("scoring: {images: 1.5}", "1.5 can't be used here. Write how many images are compared, at least 2."),
    ("datasets: {cifar10: {size: '32'}}", "'32' is not one of 32, 64. Write it without quotes."),
    *(
        (f"pathvars: {{results: {folder}}}", 'Write a folder as in results/mine, without "./"')
        for folder in ("results/mine/", "./results", ".", "a//b", "a/./b", "a/.", "a/../b")
    ),
    ("training: {batch_size: 1}", "dae-bn normalises codes over the batch. Write at least 2"),
    ("seeds: [1, 1]", "seeds: [1, 1] can't be used here"),
    ("run: [1]", "YAML reads it as a number, true, false or null: write it in quotes"),
    ("run: [widht]", "there is no experiment 'widht'. Did you mean 'width'?"),
    ("run_on: [digits]", "pass both after one flag: --configfile"),
    ("{run: [depth], run_on: [celeba]}", "run_on: no experiment of run = ['depth'] has a cell on celeba"),
    ("models: {dae: null}", "models.dae: None can't be used here. Write a model, as in {}"),
    ("models: {DAE: {noise: 0.2}}", "tables would confuse it with the model"),
    ("models: {dae: {penalties: {mine: {kind: kl, weight: 1}}}}", "kl is the built-in term"),
    ("measures: {mine: {kind: '{mine}.py'}}", "measures.mine.kind: '{mine}.py' contains one of"),
    ("model_defaults: {penalties: {mine: {kind: no.py, weight: 1}}}", "model_defaults.penalties.mine.kind: there"),
    *((f"{key}: null", f"the config lacks the key '{key}'") for key in ("datasets", "models", "experiments", "run")),
    (experiment("width", "dataset: cifar"), "no dataset 'cifar'. Did you mean 'cifar10'?"),
    (experiment("width", "model: [dae, vea]"), "no model 'vea'. Did you mean 'vae'?"),
    (experiment("width", "depth: '332'"), "depths of 1 or 4 digits"),
    (experiment("width", "depth: 3021"), "a stage without a convolution"),
    (
        experiment("width", "seeds: [0, 0]"),
        "width[0].seeds: [0, 0] can't be used here. Write one or more whole numbers",
    ),
    (experiment("width", "seeds: -1"), "Write one or more whole numbers from 0 to 4294967295, as in [0, 1, 2]"),
    (experiment("width", "seeds: 4294967296"), "Write one or more whole numbers from 0 to 4294967295"),
    (experiment("width", "seeds: '2'"), "It is text, not a number: write it without quotes"),
    (experiment("width", "seeds: null"), "None can't be used here. Write one or more whole numbers"),
    (experiment("width", "seeds: []"), "width[0].seeds is empty. Write one or more whole numbers"),
    (experiment("width", "seed: 1"), "experiments.width[0].seed is not a key. Did you mean 'seeds'?"),
    (experiment("figure1"), "the name of another experiment's figure"),
    (experiment("scatter", "dataset: celeba, latent: [2, 3]"), "sizes 2, 3. Write one size"),
    ("datasets: {celeba: {source: folder}}", "its source is 'folder', but it has no key 'folder'"),
    ("datasets: {celeba: {extractors: [inceptoin]}}", "no extractor 'inceptoin'. Did you mean 'inception'? Known: "),
    (
        "datasets: {celeba: {extractors: [classifier]}}",
        "the classifier needs labels, but this dataset has none",
    ),
    ("datasets: {celeba: {crop: 179}}", "crop: 179 is larger than the images (178 pixels). Write at most 178"),
    ("datasets: {cifar10: {latent: [16, 64]}}", "128 is not one of the latent sizes that run (16, 64)"),
    ("priors: {standard_normal: null, mvg: null, gmm: null}", "priors: none of target_gmm runs for every model. Write"),
    (
        "priors: {standard_normal: null, mvg: null, gmm: null, target_gmm: null}",
        "priors is empty. Write at least one prior",
    ),
    ("priors: {gmm: null, mine: {kind: gmn}}", "'gmn' is not a kind. Did you mean 'gmm'? Write one of gmm, mvg"),
    ("run_priors: [gmm, gmn]", "run_priors[1]: there is no prior 'gmn'. Known: standard_normal, mvg, gmm"),
    ("measures: {mine: {kind: frechet}}", "measures.mine: only frechet may be or be called the Fréchet distance"),
    ("extractors: {inception: {weights: no/such.pth}}", "there is no file 'no/such.pth'. Write the path of pt_inc"),
    (
        "extractors: {inceptoin: {}}",
        "inceptoin.kind: 'inceptoin' is not a kind. Did you mean 'inception'? Write one of",
    ),
    ("extractors: {mine: {kind: inception, epochs: 3}}", "mine.epochs is not a key. Keys here: kind, weights"),
    ("extractors: {mine: {kind: timm}}", "extractors.mine lacks the key 'model'"),
    (
        "extractors: {mine: {kind: timm, model: hf-hub:a/b}}",
        "mine.model: 'hf-hub:a/b' can't be used here. Write a model",
    ),
    # Names that would say something else than what the features are.
    *(
        (f"extractors: {{{name}: {{kind: {kind}}}}}", f"only the kind {word} may have a name that begins with {word}")
        for name, kind, word in (
            ("random", "inception", "random"),
            ("Inception.v3", "classifier", "inception"),
            ("classifier-2", "random", "classifier"),
            ("random2", "inception", "random"),
        )
    ),
    ("extractors: {dinov2-small: {kind: random}}", "only the kind timm may have a name that begins with dinov2"),
    ("extractors: {dinov2: {model: resnet50.a1_in1k}}", "its model is resnet50.a1_in1k. Write a model of dinov2, or"),
    ("extractors: {inception-other: {kind: inception}}", "other weights are recorded under this name"),
    ("extractors: {FID: {kind: inception}}", "only the distance in the features of inception may be called FID"),
    ("extractors: {Random: {kind: random}}", "tables would confuse it with the extractor random"),
    ("extractors: {a-b: {kind: random, features: 3}}", "extractors.a-b.features is not a key"),
    # Names of files: features of all training images, figures of a measure, and those of two parts.
    *(
        (f"extractors: {{mine-{ending}: {{kind: random}}}}", f"may have a name that ends in -{ending}")
        for ending in ("train", "test", "training", "frechet")
    ),
    (
        "extractors: {a: {kind: random}, b-a: {kind: random}}\n"
        "experiments: {x: &grids [{dataset: cifar10, model: dae, filters: 8}], x-b: *grids}",
        "a file could be that of x and b-a, or of x-b and a. Rename one",
    ),
    ("cells_per_gpu: {32: 4, 64: 3}", "[64]: 3 does not divide the largest value, 4. Write one of 1, 2, 4"),
    ("cells_per_gpu: {64: 4, 32: 2}", "[64]: 4 is more than for narrower cells. Write one of 1, 2."),
    ("cells_per_gpu: {32: 4, '32': 2}", "cells_per_gpu: 32 appears twice"),
    # Names of tables' columns, and of arrays in a cell's gallery.
    *((f"priors: {{{name}: {{kind: mvg}}}}", "tables already") for name in ("MVG", "FD", "test_recon", "a_sd")),
    ("priors: {gmm: null, mvg: {kind: gmm}}", "mvg: this name is reserved for the paper's prior. Write kind: mvg, or"),
    ("priors: {allow_pickle: {kind: mvg}}", "allow_pickle: a cell already has images of this name"),
    ("priors: {steps: {kind: mvg}}", "steps: a cell already has images of this name"),
]


@pytest.mark.parametrize(("change", "words"), REFUSED, ids=[change for change, _ in REFUSED])
def test_a_wrong_config_is_refused_with_what_to_write(paper, change, words):
    config = laid_over(paper, yaml.safe_load(change))
    assert words in fault_of({key: value for key, value in config.items() if value is not None})


def test_every_fault_has_its_line_and_long_values_are_cut(paper):
    with pytest.raises(UserError) as refusal:
        settings.resolve({**paper, "training": [list(range(10_000))], "threads": "many"})
    assert "training" in str(refusal.value) and "threads" in str(refusal.value)
    assert len(str(refusal.value)) < 400


def test_numbers_are_finite_within_bounds_and_no_text(paper):
    wrong = {"threads": (0, 2.0, True, {"a": 1}, "2"), "checkpoint_minutes": (0, math.nan, -math.inf, True, "1e-3")}
    for key, value in [(key, value) for key, values in wrong.items() for value in values]:
        fault = fault_of({**paper, key: value})
        assert fault.startswith(f"{key}: {value!r} can't be used here. Write a"), fault
        # As in quotes, and as YAML reads 1e-3.
        assert ("It is text, not a number: write it without quotes" in fault) == isinstance(value, str)


def test_extractors_are_entries_whose_kind_is_by_default_their_name(paper):
    """Kinds without a required option need no entry, and null resets or removes one of another file."""
    classifier = {"kind": "classifier", "epochs": 8, "batch_size": 256, "learning_rate": 0.2, "flip": True}
    builtin = {"classifier": classifier, "inception": {"kind": "inception", "weights": None}}
    builtin |= {"random": {"kind": "random"}}
    del paper["extractors"]
    assert settings.resolve(paper)["extractors"] == builtin
    change = "{dinov2: null, classifier: null, mine: {kind: timm, model: resnet10t.c3_in1k}, big: {kind: classifier}}"
    paper["extractors"] = yaml.safe_load(change)
    timm = {"kind": "timm", "model": "resnet10t.c3_in1k", "img_size": None, "weights": None, "revision": "main"}
    assert settings.resolve(paper)["extractors"] == builtin | {"mine": timm, "big": classifier}
    paper["datasets"]["cifar10"]["extractors"] = ["mine", "random"]
    assert list(checks.used_extractors(settings.resolve(paper), ["cifar10"])) == ["mine", "random"]
    # Text inside the braces of --config.
    given = parse_config(["extractors={mine: {img_size: 64}, big: {epochs: 3}}"])
    found = settings.resolve(laid_over(paper, given), given)["extractors"]
    assert (found["mine"]["img_size"], found["big"]["epochs"]) == (64, 3)


def test_datasets_without_labels_can_use_other_classifiers_no_more_than_the_built_in_one(paper):
    paper["extractors"] = {"mine": {"kind": "classifier"}}
    fault = fault_of(laid_over(paper, {"datasets": {"celeba": {"extractors": ["mine"]}}}))
    assert "the mine needs labels" in fault and "Write one or more of inception, random, or use" in fault


def parts_of(schema) -> Iterator[dict]:
    """Every mapping in a schema."""
    if isinstance(schema, dict):
        yield schema
    for below in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ():
        yield from parts_of(below)


def test_the_schema_refuses_unknown_keys_and_describes_every_key():
    """Messages quote descriptions."""
    schema = settings.read_schema()
    definitions = schema["$defs"]
    # The options of these depend on their kind.
    of_kinds = [definitions[name] for name in ("prior", "measure", "extractor", "penalty")]
    named = (("priors", "gmm"), ("measures", "frechet"), ("extractors", "timm"))
    entries = [settings.entry_schema(group, name) for group, name in named]
    parts = list(parts_of([schema, *entries]))
    for part in parts:
        if "properties" in part:
            assert part in of_kinds or part["additionalProperties"] is False, part
            for key, value in part["properties"].items():
                referred = definitions.get(value.get("$ref", "").rpartition("/")[2], {})
                assert "description" in {**referred, **value}, key
        assert "before" not in part or settings.filling_validator(part).is_valid(part["before"]), part


# ---- kinds: options, users' own files

FUNCTIONS = {
    "priors": "def fit(codes, options, **_): ...\ndef sample(prior, count, random): ...\n",
    "measures": "def measure(features, reference, options, **_): ...\n",
    "penalties": "def penalty(step, options): ...\n",
}
STRENGTH = 'OPTIONS = {"strength": {"type": "number", "minimum": 0, "default": 0.5, "description": "a strength"}}\n'


@pytest.fixture
def own(paper, tmp_path, monkeypatch):
    """The paper's config with an entry ``mine`` of a group whose kind is a file with the given text."""
    monkeypatch.chdir(tmp_path)

    def own(group: str, text: str, **options) -> dict:
        # A new name each time, since a module is loaded once.
        file = tmp_path / f"{group}{len(list(tmp_path.iterdir()))}.py"
        file.write_text(text, encoding="utf-8")
        weight = {"weight": 1} if group == "penalties" else {}
        entries_of(paper, group)["mine"] = {"kind": file.name, **weight, **options}
        return paper

    return own


def entries_of(config: dict, group: str) -> dict:
    return (config["models"]["dae"] if group == "penalties" else config).setdefault(group, {})


@pytest.mark.parametrize("group", FUNCTIONS)
def test_a_users_own_kind_has_options(own, group):
    text, place = FUNCTIONS[group] + STRENGTH, "models.dae.penalties.mine" if group == "penalties" else f"{group}.mine"
    config = settings.resolve(own(group, text))
    assert entries_of(config, group)["mine"]["strength"] == 0.5
    assert grid.own_kinds(config) == [(group, f"{group}0.py")]
    assert entries_of(settings.resolve(own(group, text, strength=2)), group)["mine"]["strength"] == 2
    for value in (-1, "2", True, None, math.nan):
        assert fault_of(own(group, text, strength=value)).startswith(f"{place}.strength: {value!r} can't be used")
    assert fault_of(own(group, text, strenght=1)).startswith(f"{place}.strenght is not a key. Did you mean 'strength'?")
    required = FUNCTIONS[group] + 'OPTIONS = {"rank": {"type": "integer"}}\n'
    assert fault_of(own(group, required)).startswith(f"{place} lacks the key 'rank'. Write the options of the kind")
    # null removes an entry of another config file.
    config = own(group, text)
    entries_of(config, group)["mine"] = None
    assert "mine" not in entries_of(settings.resolve(config), group)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x = (\n", ".py, line 1 can't be loaded: SyntaxError: "),
        ("raise SystemExit\n", "SystemExit"),
        ("import nosuchpackage\n", ".py imports 'nosuchpackage', which is not installed here"),
        ("def fit(codes, options, **_): ...\n", "it has no function 'sample'. config/README.md has an example"),
        (f"{FUNCTIONS['priors']}def sample(): ...\n", "sample can't be called with 3 arguments"),
        (f"{FUNCTIONS['priors']}OPTIONS = {{'a': {{'$ref': '#/x'}}}}\n", "can't refer to other schemas by $ref"),
        (f"{FUNCTIONS['priors']}OPTIONS = {{'a': {{'default': {{1, 2}}}}}}\n", "OPTIONS must be plain"),
        (f"{FUNCTIONS['priors']}OPTIONS = ['a']\n", "OPTIONS must be a dict with a dict for each option"),
        (f"{FUNCTIONS['priors']}OPTIONS = {{'a': {{'type': 'nubmer'}}}}\n", "is not valid JSON Schema: 'nubmer'"),
        (f"{FUNCTIONS['priors']}OPTIONS = {{'kind': {{'default': 'x'}}}}\n", "has 'kind', a key of every entry"),
        (f"{FUNCTIONS['priors']}MINUTES = 'two'\n", "MINUTES must be a number"),
    ],
)
def test_a_file_that_can_not_be_used_is_refused_with_why(own, text, words):
    fault = fault_of(own("priors", text))
    assert fault.startswith("priors.mine.kind: ") and "priors0.py" in fault and words in fault


def test_penalties_of_model_defaults_apply_to_models_without_their_own(own):
    config = own("penalties", FUNCTIONS["penalties"] + STRENGTH)
    config["model_defaults"]["penalties"] = config["models"]["dae"]["penalties"]
    config["models"] |= {"dae": {}, "dae-bn": {"latent_norm": "batch", "penalties": {}}}
    models = settings.resolve(config)["models"]
    assert models["dae"]["penalties"] == models["vae"]["penalties"]
    assert models["dae"]["penalties"]["mine"] == {"kind": "penalties0.py", "weight": 1, "strength": 0.5}
    assert models["dae-bn"]["penalties"] == {}
    # A fault there is reported once, not for each model.
    config["model_defaults"]["penalties"]["mine"]["strength"] = -1
    assert fault_of(config).startswith("model_defaults.penalties.mine.strength: -1 can't be used here")


def test_the_frechet_distance_is_always_among_the_measures(own):
    config = own("measures", FUNCTIONS["measures"])
    assert {"frechet", "kid", "mine"} <= {*grid.running(settings.resolve(config), "measures")}
    assert list(grid.running(settings.resolve({**config, "run_measures": ["frechet"]}), "measures")) == ["frechet"]
    mine = config["measures"]["mine"]
    assert fault_of({**config, "run_measures": ["mine"]}).startswith("run_measures: tables, figures and claims report")
    assert fault_of({**config, "measures": {"mine": mine}}).startswith("measures: tables, figures and claims report")
    assert "this name means the Fréchet distance" in fault_of({**config, "measures": {"frechet": mine}})
    named_kid = {**config, "measures": config["measures"] | {"kid": mine}}
    assert fault_of(named_kid).startswith("measures.kid: tables explain this name as the kind kid. Write kind: kid,")
    for name in ("FID", "Frechet"):
        assert "be called the Fréchet distance" in fault_of({**config, "measures": config["measures"] | {name: mine}})


def test_new_options_are_left_out_of_params_unless_they_are_used(paper):
    added = {"rank": {}, "steps": {"before": 1}, "start": {"before": None}}
    for other in ({}, {"steps": 5}, {"start": "random"}):
        every = {"kind": "mine", "rank": 3, "steps": 1, "start": None} | other
        shortened = kinds.without_new(every, added)
        assert shortened == {"kind": "mine", "rank": 3} | other
        assert kinds.complete(shortened, added) == every
    # As a model's penalties.
    parts = settings.read_schema()["$defs"]["model"]["properties"]
    options = grid.objective_options(settings.resolve(paper), "vae", "cifar10")
    assert kinds.without_new(options, parts) == {"beta": 0.01, "kl_reduction": "mean", "noise": 0}


def test_a_key_that_appears_twice_is_refused_with_its_lines(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("a:\n  b: {c: 1}\n  d: [{e: 1, e: 2}]\n  'b': 3\n", encoding="utf-8")
    assert sorted(fault.split(". ")[0] for fault in settings.repeated_keys([file])) == [
        f"{file}, line 3: the key 'e' is already on line 3",
        f"{file}, line 4: the key 'b' is already on line 2",
    ]
    # In different mappings, as a number and a text, in an alias of its own container, and over a merged key.
    once = "a: 1\nb: {a: 1}\n1: a\n'1': b\nc: &c {d: *c}\ne: &e {a: 1}\nf: {<<: *e, a: 2}\n"
    for text in (once, "", json.dumps({"a": {"b": 1}}, indent="\t")):
        file.write_text(text, encoding="utf-8")
        assert list(settings.repeated_keys([file])) == []


# ---- the command line


def given(config: dict, *arguments: str) -> tuple[dict, dict]:
    """A config with the arguments of --config laid over it as Snakemake does, and the command line's part of it."""
    part = parse_config(arguments)
    return laid_over(config, part), part


def outcome(*arguments) -> dict | str:
    """The resolved config, or why it is refused."""
    try:
        return settings.resolve(*arguments)
    except UserError as refusal:
        return str(refusal)


@pytest.mark.parametrize(
    "argument",
    [
        "seeds=[0, 1]",
        "seeds=[-1]",
        "seeds=[1.5, a]",
        "seeds=[0, 0]",
        "datasets={cifar10: {latent: [128, 4], crop: null, limit: {train: 100}, size: 64}, celeba: {latent: 64}}",
        "datasets={cifar10: {latent: [128, -4]}}",
        "datasets={cifar10: {size: 48}}",
        "datasets={cifar10: {source: fodler}}",
        "models={vae: {variational: true, beta: 1.0e-3, decoder_channels: 9}, dae: {frozen_latent: false}}",
        "training={learning_rate: [{epoch: 0, rate: 1}]}",
        "priors={gmm: {components: 5, reg_covar: 0.5}}",
        "priors={gmm: {components: 0}}",
        "priors={gmm: {component: 5}}",
        "priors={gmm: null}",
        "cells_per_gpu={32: 2, 64: 1}",
        "run_on=[celeba]",
    ],
)
def test_the_command_line_gives_what_a_file_gives(paper, argument):
    """Numbers, true, false and null; and the same words about what is wrong."""
    paper["cells_per_gpu"] = {32: 4, 64: 2}
    key, value = argument.split("=")
    config, part = given(paper, argument)
    before = copy.deepcopy((config, part))
    assert outcome(config, part) == outcome(laid_over(paper, {key: yaml.safe_load(value)}))
    assert (config, part) == before


def test_text_of_the_command_line_stays_text_where_text_is_allowed(paper):
    arguments = [
        "run=[1]",
        "models={1: {}, 2: {variational: true}}",
        "experiments={1: [{dataset: cifar10, model: [1, 2], filters: 8, depth: [3321, 2], latent: [128]}]}",
    ]
    cells = grid.cells(settings.resolve(*given(paper, *arguments)))
    assert {(cell["model"], cell["depth"]) for cell in cells} == {(m, d) for m in "12" for d in ("3321", "2")}


def test_text_of_a_file_is_refused_whatever_the_command_line_gives(paper):
    paper["seeds"] = ["0"]
    # In an outer workflow, the command line gives another config.
    for part in ({"threads": 2}, {"seeds": ["1"]}, {"vae": {"seeds": ["0"]}}, {"seeds": "0"}, {"seeds": None}):
        with pytest.raises(UserError, match=r"seeds\[0\]: '0' can't be used here.*It is text, not a number"):
            settings.resolve(paper, part)
    assert settings.resolve(paper, {"seeds": ["0"]})["seeds"] == [0]


@pytest.mark.parametrize("group", FUNCTIONS)
def test_options_of_own_kinds_are_numbers_on_the_command_line(own, group):
    name = '"name": {"type": "string", "default": "a"}, "either": {"type": ["number", "string"], "default": 1}'
    config = own(group, FUNCTIONS[group] + STRENGTH + f"OPTIONS |= {{{name}}}\n")
    entry = {"strength": "2", "name": "3", "either": "4"} | ({"weight": "0.1"} if group == "penalties" else {})
    part = {"models": {"dae": {"penalties": {"mine": entry}}}} if group == "penalties" else {group: {"mine": entry}}
    found = entries_of(settings.resolve(laid_over(config, part), part), group)["mine"]
    assert (found["strength"], found["name"], found["either"]) == (2, "3", "4")
    assert found.get("weight") == (0.1 if group == "penalties" else None)


# ---- files and images


@pytest.fixture
def faults_of(paper, tmp_path, monkeypatch):
    """What the main process reports of a dataset ``mine`` of the images in tmp_path, which are 40 x 30 pixels large."""
    monkeypatch.chdir(tmp_path)
    names = [f"images/{label}/{number}.png" for label in ("cats", "dogs") for number in range(3)]
    for file in [tmp_path / name for name in ("flat/a.png", "test/cats/a.png", *names)]:
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 30)).save(file)
    table = {"img": pa.array([file.read_bytes()] * 2, pa.binary()), "kind": [0, 1]}
    pq.write_table(pa.table(table), tmp_path / "a.parquet")

    def faults_of(kind: str, files: str, pathvars=None, **options) -> list[str]:
        dataset = {"source": kind, kind: yaml.safe_load(files), **options}
        change = {"datasets": {"mine": dataset}, "pathvars": pathvars or {}}
        config = laid_over(paper, yaml.safe_load(MINE.replace("cifar10", "mine")), change)
        try:
            config = settings.resolve(config)
        except UserError as error:
            return str(error).splitlines()[1:]
        contents = Contents(tmp_path / "fingerprints.json")
        return list(first_look.find_misfits({"mine": config["datasets"]["mine"]}, config["pathvars"], contents))

    return faults_of


LABELS = {"extractors": ["classifier"]}


@pytest.mark.parametrize(
    ("kind", "files", "options", "words"),
    [
        ("parquet", "{train: '*.parquet'}", {}, "a.parquet has no column 'image'"),
        ("parquet", "{train: '*.parquet', test: no-*, image: img}", {}, "datasets.mine.parquet.test: no file matches"),
        ("parquet", "{train: '*.parquet', image: img}", LABELS, "the classifier needs labels"),
        ("parquet", "{train: '*.parquet', image: img, label: kind}", {"crop": 30, **LABELS}, None),
        ("folder", "{train: images, test: test}", {"crop": 31}, "crop: 31 is larger than the image of 40 x 30"),
        ("folder", "{train: nowhere}", {}, "datasets.mine.folder.train: there is no folder"),
        ("folder", "{train: flat}", LABELS, "the classifier needs labels"),
        ("folder", "{train: images}", {"crop": 30, **LABELS}, None),
    ],
)
def test_files_and_images_that_do_not_fit_are_refused(faults_of, kind, files, options, words):
    faults = faults_of(kind, files, **options)
    assert [words] == [words for fault in faults if words in fault] if words else faults == []


def test_datasets_that_do_not_run_are_not_checked(paper, tmp_path):
    paper["datasets"]["mine"] = {"source": "folder", "folder": {"train": str(tmp_path / "nowhere")}}
    settings.resolve(paper)


def test_a_results_folder_is_no_file_nor_link_to_nothing(tmp_path):
    (tmp_path / "taken").touch()
    (tmp_path / "lost").symlink_to("/nowhere/scratch")
    (tmp_path / "round").symlink_to("round")
    (tmp_path / "sound").symlink_to(tmp_path)
    words = {"taken": "a file", "lost": "a link to /nowhere/scratch, which", "round": "a link to round, which"}
    for key, (name, what), below in itertools.product(("results", "resources"), words.items(), ("", "/below/it")):
        folders = {"results": "r", "resources": "r", key: f"{tmp_path}/{name}{below}"}
        (fault,) = first_look.find_misfits({}, folders, None)
        assert fault.startswith(f"pathvars.{key}: {tmp_path}/{name} is {what}")
    folders = {"results": f"{tmp_path}/sound", "resources": f"{tmp_path}/sound/new"}
    assert not list(first_look.find_misfits({}, folders, None))


def test_a_run_does_not_write_into_a_folder_of_its_images(faults_of, tmp_path):
    """Its figures would be new images, and their folder a class."""
    (tmp_path / "images" / "link").symlink_to(tmp_path / "test")
    within = (("images/results", "images"), ("images", "./images"), ("results", "."), ("images/link/a", "images"))
    for results, train in within:
        fault, *_ = faults_of("folder", f"{{train: {train}}}", pathvars={"results": results})
        assert fault.startswith("datasets.mine.folder.train: the run would write into ")
        assert f"pathvars.results is {results!r}" in fault
    (fault,) = faults_of("folder", "{train: images, test: test}", pathvars={"resources": "test/downloads"})
    assert fault.startswith("datasets.mine.folder.test: ") and "pathvars.resources is" in fault
    for results in ("images of mine", "images/.hidden/results", "images/@eaDir", "test/mine"):
        assert faults_of("folder", "{train: images}", pathvars={"results": results}) == []


@pytest.mark.parametrize("key", ["datasets.mine.folder", "external.theirs.folder", "extractors.inception.weights"])
def test_a_path_that_cannot_be_looked_up_is_refused(paper, key):
    """As in a folder without permission, which root may read."""
    name = 300 * "x"
    parts = {
        "datasets.mine.folder": {"datasets": {"mine": {"source": "folder", "folder": {"train": name}}}},
        "external.theirs.folder": {"external": {"theirs": {"dataset": "cifar10", "folder": name}}},
        "extractors.inception.weights": {"extractors": {"inception": {"weights": name}}},
    }
    dataset = "mine" if key.startswith("datasets") else "cifar10"
    with pytest.raises(UserError) as caught:
        settings.resolve(laid_over(paper, yaml.safe_load(MINE.replace("cifar10", dataset)), parts[key]))
    (fault,) = [line for line in str(caught.value).splitlines() if line.strip().startswith(f"{key}: ")]
    assert ("can't be read: File name too long" if "folder" in key else "there is no file") in fault


@pytest.mark.parametrize("name", ["a{b}.parquet", "b{.parquet", "c<x>.parquet"])
def test_names_that_snakemake_interprets_are_refused_for_inputs_alone(faults_of, paper, tmp_path, name):
    """Images and parquet files are no inputs."""
    (tmp_path / "a.parquet").rename(tmp_path / name)
    assert faults_of("parquet", "{train: '*.parquet', image: img}") == []
    (tmp_path / "images/cats/{0}<1>.png").write_bytes((tmp_path / "images/cats/0.png").read_bytes())
    assert faults_of("folder", "{train: images}") == []
    refused = f"extractors.inception.weights: {name!r} contains one of {{}}<> or a line break"
    with pytest.raises(UserError, match=re.escape(refused)):
        settings.resolve(paper | {"extractors": {"inception": {"weights": name}}})


@pytest.mark.parametrize("kind", ["folder", "parquet"])
def test_the_home_folder_of_an_unknown_user_is_refused(faults_of, kind):
    (fault,) = faults_of(kind, "{train: ~nosuchuser/x}")
    assert fault.strip().startswith(f"datasets.mine.{kind}: ") and "~nosuchuser/x" in fault


def test_new_broken_images_are_refused_before_prepared_images_are_deleted(faults_of, tmp_path, monkeypatch):
    """Otherwise Snakemake deletes them, and everything is trained again even if the image is removed."""
    dataset = {"source": "folder", "folder": {"train": "images"}}

    def remember() -> str:
        contents = Contents(tmp_path / "fingerprints.json")
        found = first_look.fingerprint(dataset, contents)
        contents.save()
        return found

    record = tmp_path / "results" / "datasets" / "mine" / "dataset.json"
    record.parent.mkdir(parents=True)
    monkeypatch.setattr("autoencoders.jobs.fingerprints.JUST_NOW", -1)
    record.write_text(json.dumps({"fingerprint": remember()}))
    assert not faults_of("folder", "{train: images}")
    for name in ("dogs/0.png", "cats/9.png"):
        (tmp_path / "images" / name).write_bytes(b"no image")
    (fault,) = faults_of("folder", "{train: images}")
    assert "images/cats/9.png cannot be read as an image" in fault and "remove it" in fault
    # No more are read than are used, or than there is time for.
    assert faults_of("folder", "{train: images, test: test}", limit={"train": 5})
    assert not faults_of("folder", "{train: images, test: test}", limit={"train": 3})
    with monkeypatch.context() as patch:
        patch.setattr(folder_source, "PATIENCE", -1)
        assert not faults_of("folder", "{train: images}")
    # Prepared images are not read again; and without a readable record, preparation itself reports faults.
    for text in (json.dumps({"fingerprint": remember()}), "{}", "[]", "{"):
        record.write_text(text)
        assert not faults_of("folder", "{train: images}")


# ---- Snakemake


def test_snakemakes_process_loads_no_scientific_packages(project, tmp_path):
    """Each job reads the Snakefile again, and Snakemake's own environment may have none of them."""
    here = {"train": str(tmp_path), "test": None, "label": None}
    options = {"torchvision": {"name": "CIFAR10"}, "sklearn": {"name": "digits"}, "folder": here, "parquet": here}
    text = (project / "workflow" / "rules" / "common.smk").read_text(encoding="utf-8")
    imports = [line for line in text.splitlines() if line.startswith("from autoencoders")]
    code = f"""
import sys
{chr(10).join(imports)}
for group in kinds.FOLDERS:
    for kind in kinds.names(group):
        kinds.load(group, kind)
settings.resolve({yaml.safe_load((project / "config" / "config.yaml").read_text(encoding="utf-8"))})
for name, options in {options}.items():
    source = kinds.load("sources", name)
    for question in ("is_remote", "local_files", "check", "has_test", "labelled", "training_images", "side"):
        answer = getattr(source, question, list)(options)
        list(answer) if question == "check" else answer
print({{"numpy", "PIL", "pyarrow", "pandas", "sklearn", "torch", "torchvision", "httpx2"}} & sys.modules.keys())
"""
    shown = subprocess.check_output([sys.executable, "-c", code], cwd=project / "workflow" / "scripts", text=True)
    assert shown == "set()\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("seeds: [0]\nseeds: [1]", "wrong.yaml, line 2: the key 'seeds' is already on line 1"),
        ("datasets: {digits: {source: folder, crop: 9, folder: {train: empty}}}", "'empty' holds no images"),
        # Nothing in a config is built by calling Python.
        ("run: !!python/object/apply:os.mkdir [made]", "Config file is not valid JSON or YAML"),
    ],
)
def test_snakemake_refuses_a_wrong_config_before_any_job(project, tmp_path, text, words):
    folder = copy_project(project, tmp_path)
    (folder / "empty").mkdir()
    (folder / "wrong.yaml").write_text(text + "\n", encoding="utf-8")
    before = {path.name for path in folder.iterdir()} | {".snakemake"}
    done = snakemake(folder, configs=("config/demo.yaml", "tiny.yaml", "wrong.yaml"), check=False)
    assert done.returncode == 1 and words in done.stdout
    assert "Traceback" not in done.stdout and "Job stats" not in done.stdout
    assert {path.name for path in folder.iterdir()} <= before


@pytest.mark.slow
def test_numbers_of_the_command_line_reach_jobs(project, tmp_path):
    """Each job's process reads the command line again."""
    folder = copy_project(project, tmp_path)
    arguments = ["--config", "datasets={digits: {limit: {train: 90, test: 40}}}", "seeds=[5, 6]"]
    assert planned(snakemake(folder, "-n", *arguments).stdout)["train"] % 2 == 0
    record = "results/demo/datasets/digits/dataset.json"
    snakemake(folder, record, *arguments)
    assert json.loads((folder / record).read_text(encoding="utf-8"))["images"] == {"train": 90, "test": 40}
    # Not counted as another config than the same numbers in a file.
    (folder / "same.yaml").write_text(
        "datasets: {digits: {limit: {train: 90, test: 40}}}\nseeds: [5, 6]\n", encoding="utf-8"
    )
    done = snakemake(folder, "-n", record, configs=("config/demo.yaml", "tiny.yaml", "same.yaml"))
    assert "Nothing to be done" in done.stdout
    done = snakemake(folder, "-n", "--config", "seeds=[a]", check=False)
    assert "seeds[0]: 'a' can't be used here. Write a whole number from 0" in done.stdout
