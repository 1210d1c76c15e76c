"""The config: defaults, cells, and refusals that say what to write. Few tests start Snakemake: those at the end."""

import copy
import io
import itertools
import json
import math
import subprocess
import sys
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image
from running import copy_project, snakemake

from autoencoders.config import settings
from autoencoders.data import first_look
from autoencoders.data import locations_old as locations
from autoencoders.jobs.errors import UserError


@pytest.fixture(scope="module")
def config_file(project) -> dict:
    return yaml.safe_load((project / "config" / "config.yaml").read_text())


@pytest.fixture
def paper(config_file) -> dict:
    return copy.deepcopy(config_file)


def test_the_default_config_is_the_papers_346_cells(paper):
    config = settings.resolve(paper)
    cells = settings.cells(config)
    assert len(cells) == 346
    width = [(cell["dataset"], cell["filters"]) for cell in settings.experiment_cells(config, "width")]
    assert {key: width.count(key) for key in width} == {
        **{("cifar10", filters): 28 for filters in (32, 64, 128, 256)},
        **{("celeba", filters): 22 for filters in (32, 64, 128)},
    }
    # What the other experiments add, 14 latent sizes each: depths 2 and 3 (64), 2 and 3321 (128); BN, SN, LN; frozen
    # at depths 1 and 2; three strengths of noise.
    rest = [cell for cell in cells if cell not in settings.experiment_cells(config, "width")]
    kinds = [(cell["dataset"], cell["model"], cell["filters"], cell["depth"]) for cell in rest]
    assert {kind: kinds.count(kind) for kind in kinds} == dict.fromkeys(
        [
            *[("cifar10", "dae", 64, depth) for depth in ("2", "3")],
            *[("cifar10", "dae", 128, depth) for depth in ("2", "3321")],
            *[("cifar10", f"dae-{norm}", 128, "1") for norm in ("bn", "sn", "ln")],
            *[("cifar10", "dae-frozen", 128, depth) for depth in ("1", "2")],
            *[("cifar10", f"dae-noise{sigma}", 128, "1") for sigma in ("0.1", "0.5", "1")],
        ],
        14,
    )


def test_the_papers_models_are_recipes_over_a_few_options(paper):
    models = settings.resolve(paper)["models"]
    plain = models["dae"]
    differences = {
        name: {key: model[key] for key in model if model[key] != plain[key]} for name, model in models.items()
    }
    assert differences == {
        "dae": {},
        "vae": {"variational": True, "beta": 0.01},
        "dae-bn": {"latent_norm": "batch"},
        "dae-ln": {"latent_norm": "layer"},
        "dae-sn": {"latent_norm": "spectral"},
        "dae-noise0.1": {"noise": 0.1},
        "dae-noise0.5": {"noise": 0.5},
        "dae-noise1": {"noise": 1},
        "dae-frozen": {"frozen_latent": True},
    }


def test_what_is_left_open_is_chosen_for_all_models_at_once_or_for_one(paper):
    paper["model_defaults"] = {"widening": "last", "beta": 0.5, "kl_reduction": "sum"}
    paper["models"] = {"dae": {}, "vae": {"variational": True}, "mine": {"variational": True, "widening": "first"}}
    paper["experiments"] = {"width": [{"dataset": "cifar10", "model": ["dae", "vae", "mine"], "filters": 32}]}
    paper["run"] = ["width"]
    models = settings.resolve(paper)["models"]
    assert {name: model["widening"] for name, model in models.items()} == {
        **{"dae": "last", "vae": "last", "mine": "first"}
    }
    assert models["vae"]["beta"] == models["mine"]["beta"] == 0.5
    # A model without a KL term: what is written for it changes nothing.
    assert (models["dae"]["beta"], models["dae"]["kl_reduction"], models["dae"]["codes"]) == (0, "mean", "mean")


def test_one_dataset_or_experiment_takes_one_line(paper):
    resolved = settings.resolve({**paper, "run_on": ["celeba"]})
    assert {cell["dataset"] for cell in settings.cells(resolved)} == {"celeba"}
    assert len(settings.cells(resolved)) == 66
    assert len(settings.cells(settings.resolve({**paper, "run": ["frozen"]}))) == 4 * 14
    assert len(settings.cells(settings.resolve({**paper, "seeds": [0, 1, 2]}))) == 3 * 346
    paper["datasets"]["cifar10"] |= {"latent": [64], "comparison_latent": 64}
    assert len(settings.cells(settings.resolve({**paper, "run": ["noise"]}))) == 5


@pytest.mark.parametrize(
    ("references", "expected"),
    [
        (["test"], ["train_recon", "test_recon"]),
        (["train"], ["train_recon_vs_train", "test_recon"]),
        (["train", "test"], ["train_recon", "train_recon_vs_train", "test_recon"]),
    ],
)
def test_reconstructed_training_images_are_compared_with_the_splits_that_are_asked_for(paper, references, expected):
    paper["scoring"]["train_recon_references"] = references
    comparisons = settings.comparisons(settings.resolve(paper))
    assert list(comparisons) == [*expected, "interpolation", "standard_normal", "mvg", "gmm"]
    assert {name: split for name, (_, split) in comparisons.items() if split == "train"} == dict.fromkeys(
        [name for name in expected if name == "train_recon_vs_train"], "train"
    )


def test_the_config_file_repeats_no_other_default_than_the_schemas(paper):
    """Where config.yaml states a value that the schema also has, both are the same: the paper's."""
    bare = {key: copy.deepcopy(paper[key]) for key in ("datasets", "models", "experiments", "run")}
    assert settings.resolve(bare) == settings.resolve(paper)


def test_resolving_changes_nothing_that_was_given(paper):
    before = copy.deepcopy(paper)
    settings.resolve(paper)
    assert paper == before


def test_a_cell_that_two_grids_share_is_there_once(paper):
    paper["experiments"]["again"] = [{"dataset": "cifar10", "model": "dae", "filters": 32, "latent": [128, 7]}]
    paper["run"] = ["width", "again"]
    cells = settings.cells(settings.resolve(paper))
    assert len(cells) == 178 + 1
    paper["seeds"] = [0, 5]
    assert len(settings.cells(settings.resolve(paper))) == 2 * 179


def test_the_comparison_latent_is_the_middle_one_that_runs_unless_given(paper):
    paper["datasets"]["cifar10"] |= {"latent": [64, 8, 16], "comparison_latent": None}
    assert settings.resolve(paper)["datasets"]["cifar10"]["comparison_latent"] == 16
    paper["experiments"]["mine"] = [{"dataset": "cifar10", "model": "dae", "filters": 8, "latent": [20]}]
    resolved = settings.resolve({**paper, "run": ["mine"]})["datasets"]
    assert resolved["cifar10"]["comparison_latent"] == 20
    # Not run: the paper's stays.
    assert resolved["celeba"]["comparison_latent"] == 64


def at(config: dict, path: str) -> tuple[object, str | int]:
    """The container and the key that a path such as experiments.width[0].filters ends in."""
    steps = [int(step) if step.isdigit() else step for step in path.replace("[", ".").replace("]", "").split(".")]
    for step in steps[:-1]:
        config = config[step]
    return config, steps[-1]


REFUSED = [
    # key, value, what the message must say
    ("trainign", {}, "trainign is not a key. Did you mean 'training'?"),
    ("training.epoch", 5, "training.epoch is not a key. Did you mean 'epochs'?"),
    (
        "training.epochs",
        "100",
        "'100' can't be used here. Write a whole number, at least 1. It is text",
    ),
    ("training.epochs", 2.5, "training.epochs: 2.5 can't be used here. Write a whole number"),
    ("training.epochs", 0, "training.epochs: 0 can't be used here"),
    ("training.epochs", 50, "a step begins at epoch 66, but training.epochs is 50"),
    ("training.batch_size", -1, "training.batch_size: -1 can't be used here"),
    ("training.learning_rate", [{"epoch": 1, "rate": 1e-3}], "Write them in rising order, the first one 0"),
    ("training.learning_rate", [{"epoch": 0, "rate": 0}], "training.learning_rate[0].rate: 0 can't be used here"),
    ("training.learning_rate", [{"epoch": 0}], "training.learning_rate[0] lacks the key 'rate'"),
    ("models.vea", {"variatonal": True}, "models.vea.variatonal is not a key. Did you mean 'variational'?"),
    ("models.vae.variational", "yes", "models.vae.variational: 'yes' can't be used here. Write true or false"),
    ("models.vae.beta", -0.1, "models.vae.beta: -0.1 can't be used here"),
    ("models.dae", None, "models.dae: None can't be used here. Write a model, as in {}"),
    ("models", {}, "models is empty. Write at least one model"),
    ("models.../x", {}, "Write letters, digits"),
    (
        "models.dae-bn.latent_norm",
        "bacth",
        "models.dae-bn.latent_norm: 'bacth' is none of none, batch, layer, spectral",
    ),
    ("models.dae-noise1.noise", -1, "models.dae-noise1.noise: -1 can't be used here"),
    ("models.dae-noise1.noise", "1", "It is text, not a number"),
    (
        "models.dae-frozen.frozen_latent",
        1,
        "models.dae-frozen.frozen_latent: 1 can't be used here. Write true or false",
    ),
    ("models.vae.kl_reduction", "avg", "models.vae.kl_reduction: 'avg' is none of mean, sum"),
    ("models.vae.codes", "samples", "is none of mean, sample. Did you mean 'sample'?"),
    ("models.dae.decoder_channels", 0, "models.dae.decoder_channels: 0 can't be used here. Write a whole number, at"),
    ("model_defaults.nois", 1, "model_defaults.nois is not a key. Did you mean 'noise'?"),
    ("model_defaults.widening", "middle", "model_defaults.widening: 'middle' is none of first, last"),
    ("model_defaults.decoder_repeats", "no", "model_defaults.decoder_repeats: 'no' can't be used here"),
    ("training.batch_size", 1, "the model dae-bn normalises its codes over a batch. Write at least 2"),
    ("experiments.scatter[0].latent", 64, "its cells on cifar10 have the latent sizes 64, 128. Write the same one for"),
    ("experiments.scatter[2].latent", 1, "its cells on celeba have the latent sizes 1. Write the same one for all, at"),
    ("experiments.figure1", [{"dataset": "cifar10", "model": "dae", "filters": 8}], "another experiment's figure has"),
    (
        "experiments.scatter-a",
        [{"dataset": "cifar10", "model": "dae", "filters": 8}],
        "another experiment's figure has",
    ),
    ("run_on", ["cifar"], "run_on[0]: there is no dataset 'cifar'. Did you mean 'cifar10'?"),
    ("run_on", "cifar10", "run_on: 'cifar10' can't be used here. Write the names of one or more datasets"),
    ("run_on", [], "run_on is empty. Write the names of one or more datasets"),
    (
        "datasets.mine",
        {"source": "sklearn", "sklearn": {"name": "digits"}, "run_on": 1},
        "datasets.mine.run_on is not a",
    ),
    ("scoring.train_recon_references", ["val"], "scoring.train_recon_references[0]: 'val' is none of test, train"),
    ("scoring.train_recon_references", [], "scoring.train_recon_references is empty. Write one or both of test, train"),
    ("priors.gmm.kind", "mvg", "priors.gmm: this name is the paper's prior of that kind. Write kind: gmm, or another"),
    ("datasets.cifar10.comparison_latent", 100, "comparison_latent: 100 is none of the latent sizes that run (16, 32"),
    (
        "datasets.cifar10.latent",
        [16, 64],
        "comparison_latent: 128 is none of the latent sizes that run (16, 64). Write",
    ),
    ("priors", {"mvg": None}, "priors is empty. Write at least one prior"),
    ("priors.interpolation", {"kind": "mvg"}, "priors.interpolation: tables have a column of this name already"),
    ("priors.mvg_difference", {"kind": "mvg"}, "priors.mvg_difference: tables have a column of this name already"),
    ("experiments.width[0].model", ["dae", "vea"], "there is no model 'vea'. Did you mean 'vae'?"),
    ("experiments.width[0].dataset", "cifar", "there is no dataset 'cifar'. Did you mean 'cifar10'?"),
    ("experiments.width[0].filters", 0, "experiments.width[0].filters: 0 can't be used here. Write one or more widths"),
    ("experiments.width[0].filters", [], "experiments.width[0].filters is empty"),
    ("experiments.width[0].filters", [32, 32], "experiments.width[0].filters: [32, 32] can't be used here"),
    ("experiments.width[0].filters", "32", "It is text, not a number"),
    ("experiments.width[0].depth", "332", "Write one or more depths of 1 or 4 digits"),
    ("experiments.width[0].depth", 33211, "Write one or more depths of 1 or 4 digits"),
    ("experiments.width[0].depth", [1, "3021"], "Write one or more depths of 1 or 4 digits"),
    ("experiments.width[0].depth", 3021, "experiments.width[0].depth: 3021 has a stage without a convolution"),
    ("experiments.width[0].depth", 2.0, "Write one or more depths of 1 or 4 digits"),
    ("experiments.width[0].filters", 32.0, "experiments.width[0].filters: 32.0 can't be used here"),
    ("seeds", [0.0], "seeds[0]: 0.0 can't be used here"),
    ("seeds", [5_000_000_000], "seeds[0]: 5000000000 can't be used here"),
    ("seeds", [True], "seeds[0]: True can't be used here"),
    ("priors.test_recon", {"kind": "mvg"}, "priors.test_recon: tables have a column of this name already"),
    ("priors.mvg_published", {"kind": "mvg"}, "priors.mvg_published: tables have a column of this name already"),
    ("priors.seeds", {"kind": "mvg"}, "priors.seeds: tables have a column of this name already"),
    ("pathvars.results", "~/results", "Write a folder without"),
    ("experiments.width[0].latent", [16, "x"], "Write one or more latent sizes"),
    ("experiments.width[0].widths", [32], "experiments.width[0].widths is not a key"),
    ("experiments.width", [], "experiments.width is empty. Write a list of grids"),
    ("experiments.width", {"filters": 3}, "Write a list of grids"),
    ("experiments", {}, "experiments is empty"),
    ("run", ["widht"], "there is no experiment 'widht'. Did you mean 'width'?"),
    ("run", [], "run is empty"),
    ("run", "width", "Write the names of one or more experiments"),
    ("seeds", [0.5], "seeds[0]: 0.5 can't be used here. Write one or more whole numbers"),
    ("seeds", [], "seeds is empty"),
    ("seeds", [-1], "seeds[0]: -1 can't be used here"),
    ("threads", 0, "threads: 0 can't be used here"),
    ("cells_per_gpu", {"a": 4}, "cells_per_gpu: 'a' can't be used here. Write how many cells of at most a width"),
    ("cells_per_gpu", {0: 4}, "cells_per_gpu: 0 can't be used here"),
    ("cells_per_gpu", {32: 0}, "cells_per_gpu[32]: 0 can't be used here"),
    ("cells_per_gpu", {32: "4"}, "cells_per_gpu[32]: '4' can't be used here"),
    ("cells_per_gpu", 4, "cells_per_gpu: 4 can't be used here. Write how many cells of at most a width"),
    (
        "cells_per_gpu",
        {32: 4, 64: 3},
        "cells_per_gpu[64]: 3 does not divide the largest value, 4. Write one of 1, 2, 4",
    ),
    ("cells_per_gpu", {64: 4, 32: 2}, "cells_per_gpu[64]: 4 is more than narrower cells have. Write one of 1, 2."),
    ("datasets.celeba.size", 48, "datasets.celeba.size: 48 is none of 32, 64"),
    ("datasets.celeba.crop", 0, "datasets.celeba.crop: 0 can't be used here"),
    (
        "datasets.celeba.source",
        "torchvison",
        "is none of torchvision, parquet, folder, sklearn. Did you mean 'tor",
    ),
    ("datasets.celeba.source", "folder", "its source is 'folder', but it has no key 'folder'"),
    ("datasets.celeba.torchvision.name", "ImageNet", "is none of CIFAR10, CIFAR100, CelebA"),
    ("datasets.celeba.extractors", ["inceptoin"], "is none of inception, classifier. Did you mean 'inception'?"),
    ("datasets.celeba.extractors", ["classifier"], "a classifier needs labels, and this dataset has none"),
    ("datasets.celeba.limit", 500, "Write at most so many images a split, as in {train: 10000}"),
    ("datasets.celeba.test_fraction", 1, "datasets.celeba.test_fraction: 1 can't be used here"),
    ("datasets.a b", {"source": "sklearn"}, "Write letters, digits"),
    ("priors.gmm.kind", "gmn", "priors.gmm.kind: 'gmn' is none of standard_normal, mvg, gmm. Did you mean 'gmm'?"),
    ("priors.gmm.components", 0, "priors.gmm.components: 0 can't be used here"),
    ("priors.gmm.tol", "small", "priors.gmm.tol: 'small' can't be used here"),
    ("priors", {}, "priors is empty"),
    ("extractors.dino", {}, "extractors.dino is not a key"),
    ("extractors.inception.weights", "no/such.pth", "there is no file 'no/such.pth'. Write the path of pytorch-fid's"),
    ("scoring.images", 1, "scoring.images: 1 can't be used here. Write how many images are compared, at least 2"),
    ("pathvars.results", "../elsewhere", 'Write a folder without ".."'),
    ("pathvars.result", "x", "pathvars.result is not a key. Did you mean 'results'?"),
    ("pathvars.results", "results\n", "pathvars.results: 'results\\n' can't be used here. Write a folder without"),
    ("pathvars.results", "a\n../../b", "pathvars.results: 'a\\n../../b' can't be used here"),
    ("pathvars.resources", " ", "pathvars.resources: ' ' can't be used here"),
    ("pathvars.cell", "../x", "pathvars.cell is not a key"),
    (
        "run",
        [1],
        "run[0]: 1 can't be used here. Write the names of one or more experiments, as in [width]. It is no text",
    ),
    ("seeds", [1, 1], "seeds: [1, 1] can't be used here"),
    ("seeds", [None], "seeds[0]: None can't be used here"),
    ("cells_per_gpu", {32: 4, "32": 2}, "cells_per_gpu: 32 is there twice, as a number and as text. Write it once"),
    (
        "datasets.cifar10.crop",
        33,
        "datasets.cifar10.crop: 33 is larger than the images, of 32 pixels. Write at most 32",
    ),
    ("datasets.celeba.crop", 179, "datasets.celeba.crop: 179 is larger than the images, of 178 pixels. Write at most"),
    ("datasets.cifar10.torchvision", None, "Write an official dataset, as in {name: CIFAR10}"),
    ("training.learning_rate", [{"epoch": 0, "rate": math.nan}], "training.learning_rate[0].rate: nan can't be used"),
    ("scoring", 5, "scoring: 5 can't be used here. Write scoring options, as in {images: 10000}"),
    ("training", ["epochs", "5"], "training: ['epochs', '5'] can't be used here. Write training options"),
    ("datasets.cifar10", "torchvision", "datasets.cifar10: 'torchvision' can't be used here. Write a dataset, as in"),
    ("threads", "many", "threads: 'many' can't be used here. Write a whole number of CPU threads"),
]


@pytest.mark.parametrize(("key", "value", "message"), REFUSED, ids=[f"{key}={value}" for key, value, _ in REFUSED])
def test_a_wrong_config_is_refused_with_what_to_write(paper, key, value, message):
    if key == "models.../x":
        paper["models"]["../x"] = value
    else:
        if key.startswith("pathvars"):
            paper["pathvars"] = {}
        container, last = at(paper, key)
        container[last] = value
    with pytest.raises(UserError) as refusal:
        settings.resolve(paper)
    assert message in str(refusal.value)
    # The heading, then a line for each fault.
    assert len(str(refusal.value).splitlines()) == 2


# ---- the same for every key that the schema has

SCHEMA = settings.read_schema()
# The entries of the config that stand for all of their kind.
EXAMPLES = {"datasets": "cifar10", "models": "dae", "experiments": "width", "priors": "gmm", "cells_per_gpu": 32}


def schema_nodes(node=SCHEMA, path=()):
    """Every place in a config, as a path of keys and indices, with each part of the schema that holds there."""
    node = {**SCHEMA["$defs"][node["$ref"].rsplit("/", 1)[1]], **node} if "$ref" in node else node
    yield path, node
    for key, below in node.get("properties", {}).items():
        yield from schema_nodes(below, (*path, key))
    if isinstance(node.get("additionalProperties"), dict):
        yield from schema_nodes(node["additionalProperties"], (*path, EXAMPLES[path[-1]]))
    if "items" in node:
        yield from schema_nodes(node["items"], (*path, 0))
    for choice in node.get("anyOf", []):
        yield from schema_nodes(choice, path)


def types_of(node: dict) -> list[str]:
    return settings.as_list(node.get("type", []))


NODES = [(path, node) for path, node in schema_nodes() if path]
LEVELS = [(), *(path for path, node in NODES if "properties" in node)]
NUMBERS = [(path, node) for path, node in NODES if {"integer", "number"} & set(types_of(node))]
# A depth may be text, so that 0123 needs no care.
TEXT_TOO = [("experiments", "width", 0, "depth"), ("experiments", "width", 0, "depth", 0)]


def full(paper: dict, path: tuple) -> dict:
    """The paper's config with something written at every key, and a list where ``path`` asks for one."""
    paper["pathvars"] = {"results": "results"}
    paper["model_defaults"] = {}
    paper["cells_per_gpu"] = {32: 1}
    paper["datasets"]["cifar10"] |= {"folder": {"train": "images"}, "sklearn": {"name": "digits"}, "limit": {}}
    container = paper
    for key, index in itertools.pairwise(path):
        if index == 0 and not isinstance(container.get(key), list):
            container[key] = [None]
        container = container[key]
    return paper


def refusal_of(paper: dict, path: tuple, value: object) -> str:
    """What is said to ``value`` at ``path``; it has to be about that key alone, and one line long."""
    container = full(paper, path)
    for key in path[:-1]:
        container = container[key]
    container[path[-1]] = value
    with pytest.raises(UserError) as refusal:
        settings.resolve(paper)
    heading, *lines = str(refusal.value).splitlines()
    assert heading == "the config can't be used:"
    assert len(lines) == 1, lines
    return lines[0].strip()


def named(path: tuple) -> str:
    """A key as messages name it. What a choice of a value and a list of them refuses, it refuses as a whole."""
    whole = path[:-1] if path[-1] == 0 and path[-2] in ("latent", "filters", "depth", "dataset", "model") else path
    return settings.join_path(whole)


def test_the_walk_through_the_schema_misses_nothing():
    assert {(), ("pathvars",), ("datasets", "cifar10", "limit"), ("training", "learning_rate", 0)} <= set(LEVELS)
    assert {("extractors", "inception"), ("experiments", "width", 0), ("priors", "gmm"), ("scoring",)} <= set(LEVELS)
    numbers = {path for path, _ in NUMBERS}
    assert {("seeds", 0), ("cells_per_gpu", 32), ("datasets", "cifar10", "limit", "test")} <= numbers
    assert {("experiments", "width", 0, "latent", 0), ("training", "learning_rate", 0, "rate")} <= numbers
    # Every level refuses what it does not know.
    mappings = [node for _, node in schema_nodes() if "object" in types_of(node)]
    assert all("additionalProperties" in node for node in mappings)


@pytest.mark.parametrize("path", LEVELS, ids=settings.join_path)
def test_an_unknown_key_is_refused_at_every_level(paper, path):
    message = refusal_of(paper, (*path, "nosuchkey"), 1)
    assert message.startswith(f"{settings.join_path((*path, 'nosuchkey'))} is not a key. Keys here: ")


@pytest.mark.parametrize("text", ["3", "0.5", "1e-3"])
@pytest.mark.parametrize("path", [path for path, _ in NUMBERS if path not in TEXT_TOO], ids=settings.join_path)
def test_a_number_that_is_text_is_refused_everywhere(paper, path, text):
    """What `--config 'training={epochs: 3}'` gives, and what YAML makes of 1e-3."""
    message = refusal_of(paper, path, text)
    assert message.startswith(f"{named(path)}: ")
    assert "Write " in message
    assert "It is text, not a number: write it without quotes" in message


@pytest.mark.parametrize("value", [True, math.nan, math.inf, -math.inf, -1, [[]]], ids=str)
@pytest.mark.parametrize("path", [path for path, _ in NUMBERS], ids=settings.join_path)
def test_no_number_is_negative_infinite_or_a_truth_value(paper, path, value):
    message = refusal_of(paper, path, value)
    assert message.startswith(f"{named(path)}: ")
    assert "Write " in message


@pytest.mark.parametrize(
    ("path", "bound"),
    [(path, node[key]) for path, node in NUMBERS for key in ("exclusiveMinimum", "exclusiveMaximum") if key in node]
    + [(path, node["minimum"] - 1) for path, node in NUMBERS if "minimum" in node],
    ids=str,
)
def test_no_number_is_out_of_bounds(paper, path, bound):
    assert refusal_of(paper, path, bound).startswith(f"{named(path)}: ")


@pytest.mark.parametrize(
    "path",
    [path for path, node in NODES if not {"properties", "additionalProperties"} & set(node)],
    ids=settings.join_path,
)
def test_a_mapping_is_refused_where_none_belongs(paper, path):
    message = refusal_of(paper, path, {"no such key": {"x": [1]}})
    assert settings.join_path(path[: 1 + (path[0] in EXAMPLES)]) in message
    assert "Write " in message or "is none of" in message


@pytest.mark.parametrize("kind", ["datasets", "models", "priors", "experiments"])
@pytest.mark.parametrize("name", [1, True, None, 0.5])
def test_a_name_that_yaml_takes_for_something_else_is_to_be_quoted(paper, kind, name):
    paper[kind][name] = paper[kind][EXAMPLES[kind]]
    with pytest.raises(UserError, match=rf"{kind}: {name} can't be used here.*true, false or null: write it in quotes"):
        settings.resolve(paper)


def test_a_long_value_is_not_repeated_in_full(paper):
    paper["training"] = [list(range(10_000))]
    with pytest.raises(UserError) as refusal:
        settings.resolve(paper)
    assert len(str(refusal.value)) < 300


# ---- keys that stand twice


def test_a_key_that_stands_twice_is_refused_with_its_lines(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text(
        "experiments:\n"
        "  mine:\n"
        "    - { dataset: cifar10, model: dae, filters: 32 }\n"
        "  other:\n"
        "    - { dataset: cifar10, model: dae, filters: 32, filters: 64 }\n"
        "  'mine':\n"
        "    - { dataset: cifar10, model: vae, filters: 32 }\n"
    )
    assert sorted(settings.repeated_keys([file])) == [
        f"{file}, line 5: the key 'filters' is on line 5 already. Write each key once: the last one would win.",
        f"{file}, line 6: the key 'mine' is on line 2 already. Write each key once: the last one would win.",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a: 1\nb: { a: 1 }\nc: [{ a: 1 }, { a: 2 }]\n",
        # A number and a text are two keys.
        "1: a\n'1': b\n",
        # An alias of what it stands in, and a key that lies over a merged one.
        "a: &a { b: *a }\n",
        "base: &base { a: 1 }\nmine: { <<: *base, a: 2 }\n",
        json.dumps({"a": {"b": 1}}, indent="\t"),
    ],
)
def test_keys_that_stand_once_are_none_of_its_business(tmp_path, text):
    (tmp_path / "mine.yaml").write_text(text)
    assert list(settings.repeated_keys([tmp_path / "mine.yaml"])) == []


def test_no_config_of_the_project_has_a_key_twice(project):
    files = [*(project / "config").glob("*.yaml"), *(project / "tests").glob("*.yaml")]
    assert files and list(settings.repeated_keys(files)) == []


# ---- images that do not fit


def picture(width: int, height: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def images(tmp_path):
    """images/ with two pictures of 40×30 pixels, and the same in images.parquet, in the columns img and kind."""
    (tmp_path / "images").mkdir()
    for name in "ab":
        (tmp_path / "images" / f"{name}.png").write_bytes(picture(40, 30))
    pictures = pa.array([picture(40, 30)] * 2, pa.binary())
    pq.write_table(pa.table({"img": pictures, "kind": [0, 1]}), tmp_path / "images.parquet")
    return tmp_path


def looked_at(paper: dict, **dataset) -> list[str]:
    paper["datasets"]["mine"] = dataset
    paper["experiments"]["mine"] = [{"dataset": "mine", "model": "dae", "filters": 8, "latent": 4}]
    paper["run"] = ["mine"]
    return list(first_look.find_misfits(settings.resolve(paper)))


def test_a_parquet_column_that_does_not_exist_is_refused(paper, images):
    (fault,) = looked_at(paper, source="parquet", parquet={"train": f"{images}/*.parquet"})
    assert fault.startswith(f"datasets.mine: {images}/images.parquet has no column 'image'")
    assert "img, kind" in fault
    parquet = {"train": f"{images}/*.parquet", "image": "img", "label": "class"}
    (fault,) = looked_at(paper, source="parquet", parquet=parquet)
    assert "has no column 'class'" in fault
    (fault,) = looked_at(paper, source="parquet", parquet={"train": f"{images}/*.parquet", "image": "kind"})
    assert "holds int64, no images" in fault
    assert not looked_at(paper, source="parquet", parquet={**parquet, "label": "kind"}, extractors=["classifier"])


@pytest.mark.parametrize(
    "source",
    [
        lambda folder: {"source": "parquet", "parquet": {"train": f"{folder}/images.parquet", "image": "img"}},
        lambda folder: {"source": "folder", "folder": {"train": f"{folder}/images"}},
        lambda folder: {"source": "folder", "folder": {"train": f"{folder}/other", "test": f"{folder}/images"}},
    ],
    ids=["parquet", "folder", "test folder"],
)
def test_a_crop_larger_than_the_image_is_refused(paper, images, source):
    (images / "other").mkdir()
    (images / "other" / "c.png").write_bytes(picture(64, 64))
    (fault,) = looked_at(paper, crop=31, **source(images))
    assert fault.startswith(f"datasets.mine: {images}/images")
    assert "crop: 31 is larger than the image of 40 x 30 pixels. Write a crop of at most 30, or null" in fault
    assert not looked_at(paper, crop=30, **source(images))


def test_a_folder_without_images_is_refused(paper, tmp_path):
    (tmp_path / "notes.txt").touch()
    (fault,) = looked_at(paper, source="folder", folder={"train": str(tmp_path)})
    assert f"datasets.mine: '{tmp_path}' holds no images (.bmp, " in fault


@pytest.fixture
def prepared(paper, images):
    """A dataset of a folder of class folders that was prepared; what `first_look` says of it, and its record."""
    for name in ("cats", "dogs"):
        (images / "images" / name).mkdir()
        for number in range(3):
            (images / "images" / name / f"{number}.png").write_bytes(picture(40, 30))
    for name in "ab":
        (images / "images" / f"{name}.png").unlink()
    paper["pathvars"] = {"results": f"{images}/results"}
    record = images / "results" / "datasets" / "mine" / "dataset.json"
    record.parent.mkdir(parents=True)
    dataset = {"source": "folder", "folder": {"train": f"{images}/images"}}
    record.write_text(json.dumps({"fingerprints": locations.fingerprints(dataset)}))
    return lambda **options: looked_at(paper, **{**dataset, **options}), record


def broken(file):
    file.write_bytes(b"no image")
    return file


def moved_folder(folder):
    """Its files are as old as they were."""
    (folder / "elsewhere").mkdir()
    file = broken(folder / "elsewhere" / "bad.png")
    (folder / "elsewhere").rename(folder / "images" / "birds")
    return folder / "images" / "birds" / file.name


def link(folder):
    file = folder / "images" / "cats" / "bad.png"
    file.symlink_to(broken(folder / "old.png"))
    return file


@pytest.mark.parametrize("new", [lambda folder: broken(folder / "images/cats/bad.png"), moved_folder, link])
def test_a_new_image_that_is_none_is_refused_before_what_was_prepared_is_deleted(images, prepared, new):
    """Else Snakemake deletes it, and everything is trained again, although the image is removed again."""
    look, record = prepared
    assert not look()
    file = new(images)
    (fault,) = look()
    assert f"{file} cannot be read as an image" in fault and "remove it" in fault
    # The first preparation says so itself, and what it has read is not read again.
    found = {"source": "folder", "folder": {"train": f"{images}/images"}}
    record.write_text(json.dumps({"fingerprints": locations.fingerprints(found)}))
    assert not look()
    # Of one that says nothing of its images it is not known whether it will be made again.
    for text in ("{}", "[]", "{"):
        record.write_text(text)
        assert not look()
    record.unlink()
    assert not look()


def test_the_newest_images_are_read_first(images, prepared, monkeypatch):
    """There may not be the time for all."""
    look, _ = prepared
    later = time.time() + 1
    broken(images / "images" / "dogs" / "0.png")
    while time.time() < later:
        time.sleep(0.1)
    broken(images / "images" / "cats" / "9.png")
    (fault,) = look()
    assert "cats/9.png cannot be read" in fault
    monkeypatch.setattr(first_look, "PATIENCE", -1)
    assert not look()


def test_an_image_where_none_belongs_is_refused_then_too(images, prepared):
    look, _ = prepared
    (images / "images" / "top.png").write_bytes(picture(40, 30))
    (fault,) = look()
    assert "sub-folders" in fault


def test_images_beyond_the_limit_are_not_looked_at(images, prepared):
    look, _ = prepared
    broken(images / "images" / "dogs" / "z.png")
    (images / "test" / "cats").mkdir(parents=True)
    (images / "test" / "cats" / "a.png").write_bytes(picture(40, 30))
    folders = {"train": f"{images}/images", "test": f"{images}/test"}
    assert look(folder=folders)
    assert not look(folder=folders, limit={"train": 6})
    # Of fewer than the limit all are.
    assert look(folder=folders, limit={"train": 600})


def test_only_datasets_that_run_and_are_here_are_looked_at(paper, images):
    """The paper's own are not downloaded here; a dataset that does not run need not fit."""
    assert not list(first_look.find_misfits(settings.resolve(paper)))
    looked_at(paper, source="parquet", parquet={"train": f"{images}/*.parquet"})
    assert not list(first_look.find_misfits(settings.resolve({**paper, "run": ["width"]})))
    for dataset in ("cifar10", "celeba"):
        paper["datasets"][dataset]["source"] = "parquet"
    assert not list(first_look.find_misfits(settings.resolve({**paper, "run": ["width"]})))


def test_snakemakes_process_loads_nothing_to_read_images_with():
    """The modules that the Snakefile imports: it is read once more for each job."""
    code = (
        "import sys; from autoencoders import first_look, settings;"
        "print([name for name in ('numpy', 'PIL', 'pyarrow', 'torch') if name in sys.modules])"
    )
    path = settings.SCHEMA_FILE.parents[1] / "scripts"
    done = subprocess.run([sys.executable, "-c", code], cwd=path, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_cells_per_gpu_are_sorted_by_width_whether_it_is_written_as_a_number_or_text(paper):
    assert settings.resolve(paper)["cells_per_gpu"] == {}
    resolved = settings.resolve({**paper, "cells_per_gpu": {"64": 2, 128: 1, 32: 4}})["cells_per_gpu"]
    assert list(resolved.items()) == [(32, 4), (64, 2), (128, 1)]


def test_a_prior_that_is_null_is_taken_away(paper):
    paper["priors"] |= {"gmm": None, "gmm20": {"kind": "gmm", "components": 20}}
    assert list(settings.resolve(paper)["priors"]) == ["standard_normal", "mvg", "gmm20"]


def test_a_dataset_that_no_experiment_names_is_nothing_to_run_on(paper):
    with pytest.raises(UserError, match=r"run_on: no experiment of run = \['depth'\] has a cell on celeba"):
        settings.resolve({**paper, "run": ["depth"], "run_on": ["celeba"]})


@pytest.mark.parametrize("key", ["datasets", "models", "experiments", "run"])
def test_a_missing_part_is_named(paper, key):
    del paper[key]
    with pytest.raises(UserError, match=f"lacks the key '{key}'"):
        settings.resolve(paper)


def test_every_fault_has_its_line(paper):
    paper["training"]["epochs"] = 0
    paper["threads"] = "many"
    with pytest.raises(UserError) as refusal:
        settings.resolve(paper)
    assert "training.epochs" in str(refusal.value) and "threads" in str(refusal.value)


def own_images(paper: dict, folder, **more) -> dict:
    paper["datasets"]["mine"] = {"source": "folder", "folder": {"train": str(folder)}, **more}
    paper["experiments"]["mine"] = [{"dataset": "mine", "model": "dae", "filters": 8}]
    paper["run"] = ["mine"]
    return paper


def test_a_missing_folder_of_images_is_named(paper, tmp_path):
    with pytest.raises(UserError, match=r"datasets\.mine\.folder\.train: there is no folder"):
        settings.resolve(own_images(paper, tmp_path / "nowhere"))


@pytest.mark.parametrize("key", ["results", "resources"])
def test_a_file_in_place_of_a_folder_is_named(paper, tmp_path, key):
    (tmp_path / "taken").touch()
    paper["pathvars"] = {key: str(tmp_path / "taken")}
    (fault,) = first_look.find_misfits(settings.resolve(paper))
    assert fault.startswith(f"pathvars.{key}: {tmp_path}/taken is a file. Write the path of a folder")
    paper["pathvars"] = {key: str(tmp_path)}
    assert not list(first_look.find_misfits(settings.resolve(paper)))


def test_a_flat_folder_has_no_labels_for_a_classifier(paper, tmp_path):
    (fault,) = first_look.find_misfits(settings.resolve(own_images(paper, tmp_path, extractors=["classifier"])))
    assert "holds no images" in fault
    (tmp_path / "a.png").touch()
    # A folder without an image is no class.
    (tmp_path / "cats").mkdir()
    with pytest.raises(UserError, match="a classifier needs labels"):
        settings.resolve(own_images(paper, tmp_path, extractors=["classifier"]))
    (tmp_path / "a.png").rename(tmp_path / "cats" / "a.png")
    settings.resolve(own_images(paper, tmp_path, extractors=["classifier"]))


def test_parquet_files_that_are_missing_are_named(paper, tmp_path):
    (tmp_path / "train-0.parquet").touch()
    paper["datasets"]["cifar10"] |= {
        "source": "parquet",
        "parquet": {"train": f"{tmp_path}/train-*.parquet", "test": f"{tmp_path}/test-*.parquet"},
    }
    with pytest.raises(UserError) as refusal:
        settings.resolve(paper)
    assert "datasets.cifar10.parquet.test: no file matches" in str(refusal.value)
    assert "parquet.train" not in str(refusal.value)


def test_what_no_experiment_uses_need_not_be_there(paper, tmp_path):
    """A config for another machine's datasets still runs what this machine has."""
    own_images(paper, tmp_path / "nowhere")
    paper["run"] = ["width"]
    settings.resolve(paper)


def test_the_same_depth_has_one_name(paper):
    paper["run"] = ["width"]
    paper["experiments"]["width"] = [{"dataset": "cifar10", "model": "dae", "filters": 8, "depth": [1, 1111, "2222"]}]
    assert {cell["depth"] for cell in settings.cells(settings.resolve(paper))} == {"1", "2"}


# ---- with Snakemake itself


@pytest.fixture(scope="module")
def checkout(project, tmp_path_factory):
    folder = copy_project(project, tmp_path_factory.mktemp("checkout"))
    (folder / "images").mkdir()
    (folder / "images" / "a.png").write_bytes(picture(40, 30))
    pq.write_table(pa.table({"img": pa.array([picture(40, 30)] * 2, pa.binary())}), folder / "images.parquet")
    return folder


MINE = "run: [mine]\nexperiments: { mine: [{ dataset: mine, model: dae, filters: 2, latent: 2 }] }\n"


@pytest.mark.parametrize(
    ("text", "arguments", "message"),
    [
        ("threads: 1", ("--config", "scoring={images: 50}"), "scoring.images: '50' can't be used here."),
        ("seeds: [0]\nseeds: [1]", (), "wrong.yaml, line 2: the key 'seeds' is on line 1 already. Write each key once"),
        (
            MINE + "datasets: { mine: { source: parquet, parquet: { train: images.parquet } } }",
            (),
            "images.parquet has no column 'image'. ",
        ),
        (
            MINE + "datasets: { mine: { source: folder, crop: 31, folder: { train: images } } }",
            (),
            "crop: 31 is larger than the image of 40 x 30 pixels. Write a crop of at most 30",
        ),
        (
            MINE + "datasets: { mine: { source: folder, folder: { train: images }, extractors: [classifier] } }",
            (),
            "a classifier needs labels, and this dataset has none. Write extractors: [inception]",
        ),
        ('models: { "../../evil": {} }', (), "models: '../../evil' can't be used here. Write letters, digits"),
        # Nothing in a config is built by calling Python.
        ("run: !!python/object/apply:os.mkdir [made]", (), "Config file is not valid JSON or YAML"),
    ],
    ids=["text", "twice", "column", "crop", "labels", "name", "call"],
)
def test_snakemake_refuses_a_wrong_config_before_any_job(checkout, text, arguments, message):
    (checkout / "wrong.yaml").write_text(text + "\n")
    before = {path.name for path in checkout.iterdir()} | {".snakemake"}
    done = snakemake(checkout, *arguments, configs=("config/demo.yaml", "tiny.yaml", "wrong.yaml"), check=False)
    assert done.returncode == 1
    assert message in done.stdout
    assert "Traceback" not in done.stdout
    assert "Job stats" not in done.stdout
    assert {path.name for path in checkout.iterdir()} <= before
