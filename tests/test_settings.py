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

from autoencoders.config import grid, settings
from autoencoders.data import first_look
from autoencoders.data.sources import folder as folder_source
from autoencoders.jobs import kinds
from autoencoders.jobs.errors import UserError


@pytest.fixture(scope="module")
def config_file(project) -> dict:
    return yaml.safe_load((project / "config" / "config.yaml").read_text())


@pytest.fixture
def paper(config_file) -> dict:
    return copy.deepcopy(config_file)


def test_the_default_config_is_the_papers_346_cells(paper):
    config = settings.resolve(paper)
    cells = grid.cells(config)
    assert len(cells) == 346
    width = [(cell["dataset"], cell["filters"]) for cell in grid.experiment_cells(config, "width")]
    assert {key: width.count(key) for key in width} == {
        **{("cifar10", filters): 28 for filters in (32, 64, 128, 256)},
        **{("celeba", filters): 22 for filters in (32, 64, 128)},
    }
    # What the other experiments add, 14 latent sizes each: depths 2 and 3 (64), 2 and 3321 (128); BN, SN, LN; frozen
    # at depths 1 and 2; three strengths of noise.
    rest = [cell for cell in cells if cell not in grid.experiment_cells(config, "width")]
    others = [(cell["dataset"], cell["model"], cell["filters"], cell["depth"]) for cell in rest]
    assert {other: others.count(other) for other in others} == dict.fromkeys(
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
    assert {cell["dataset"] for cell in grid.cells(resolved)} == {"celeba"}
    assert len(grid.cells(resolved)) == 66
    assert len(grid.cells(settings.resolve({**paper, "run": ["frozen"]}))) == 4 * 14
    assert len(grid.cells(settings.resolve({**paper, "seeds": [0, 1, 2]}))) == 3 * 346
    paper["datasets"]["cifar10"] |= {"latent": [64], "comparison_latent": 64}
    assert len(grid.cells(settings.resolve({**paper, "run": ["noise"]}))) == 5


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
    comparisons = grid.comparisons(settings.resolve(paper))
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
    cells = grid.cells(settings.resolve(paper))
    assert len(cells) == 178 + 1
    paper["seeds"] = [0, 5]
    assert len(grid.cells(settings.resolve(paper))) == 2 * 179


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
    ("priors.gmm", {"kind": "mvg"}, "priors.gmm: this name is the paper's prior of that kind. Write kind: gmm, or ano"),
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
        "is none of folder, parquet, sklearn, torchvision. Did you mean 'tor",
    ),
    ("datasets.celeba.source", "folder", "its source is 'folder', but it has no key 'folder'"),
    ("datasets.celeba.torchvision.name", "ImageNet", "is none of CIFAR10, CIFAR100, CelebA"),
    ("datasets.celeba.extractors", ["inceptoin"], "is none of classifier, inception. Did you mean 'inception'?"),
    ("datasets.celeba.extractors", ["classifier"], "a classifier needs labels, and this dataset has none"),
    ("datasets.celeba.limit", 500, "Write at most so many images a split, as in {train: 10000}"),
    ("datasets.celeba.test_fraction", 1, "datasets.celeba.test_fraction: 1 can't be used here"),
    ("datasets.a b", {"source": "sklearn"}, "Write letters, digits"),
    (
        "priors.gmm.kind",
        "gmn",
        "priors.gmm.kind: 'gmn' is no kind. Did you mean 'gmm'? Write one of gmm, mvg, standard_normal, or the path of "
        "a Python file (.py) of your own.",
    ),
    ("priors.gmm.kind", "", "priors.gmm.kind: '' can't be used here. Write a kind that comes along or the path of a"),
    (
        "priors.gmm.component",
        3,
        "priors.gmm.component is not a key. Did you mean 'components'? Keys here: kind, compon",
    ),
    ("priors.mvg.components", 10, "priors.mvg.components is not a key. Keys here: kind."),
    (
        "priors.mine",
        {"components": 10},
        "priors.mine lacks the key 'kind'. Write a prior, as in {kind: gmm, components",
    ),
    ("priors.measure", {"kind": "mvg"}, "priors.measure: tables have a column of this name already"),
    ("run_priors", ["gmm", "gmn"], "run_priors[1]: there is no prior 'gmn'. There are: standard_normal, mvg, gmm."),
    ("run_priors", [], "run_priors is empty. Write the names of one or more priors, as in [mvg, gmm], or null for all"),
    ("run_priors", "gmm", "run_priors: 'gmm' can't be used here. Write the names of one or more priors"),
    ("run_measures", ["frechet", "kid"], "run_measures[1]: there is no measure 'kid'. There are: frechet."),
    ("run_measures", [], "run_measures is empty. Write the names of one or more measures, as in [frechet], or null"),
    ("measures", {}, "measures is empty. Write at least one measure"),
    ("measures", {"frechet": None}, "measures is empty. Write at least one measure"),
    (
        "measures",
        {"mine": {"kind": "frechet"}},
        "measures.mine: the Fréchet distance is frechet, once. Write another name, and another kind.",
    ),
    ("measures", {"frechet": {}}, "measures.frechet lacks the key 'kind'. Write a measure, as in {kind: frechet}"),
    (
        "measures",
        {"frechet": {"kind": "frehcet"}},
        "measures.frechet.kind: 'frehcet' is no kind. Did you mean 'frechet'?",
    ),
    ("measures", {"frechet": {"kind": "frechet", "eps": 1}}, "measures.frechet.eps is not a key. Keys here: kind."),
    (
        "models.dae.penalties",
        {"mine": {"kind": "mien", "weight": 1}},
        "models.dae.penalties.mine.kind: 'mien' is no kind. Write the path of a Python file (.py) of your own.",
    ),
    (
        "model_defaults.penalties",
        {"mine": {"kind": "no/such.py", "weight": 1}},
        "model_defaults.penalties.mine.kind: there is no file 'no/such.py'",
    ),
    (
        "models.dae.penalties",
        {"mine": {"weight": 1}},
        "models.dae.penalties.mine lacks the key 'kind'. Write a penalty, as",
    ),
    (
        "models.dae.penalties",
        {"mine": {"kind": "a.py"}},
        "models.dae.penalties.mine lacks the key 'weight'. Write a penal",
    ),
    ("priors.gmm.components", 0, "priors.gmm.components: 0 can't be used here"),
    ("priors.gmm.tol", "small", "priors.gmm.tol: 'small' can't be used here"),
    ("priors", {}, "priors is empty"),
    ("extractors.dino", {}, "extractors.dino is not a key"),
    ("extractors.inception.weights", "no/such.pth", "there is no file 'no/such.pth'. Write the path of pt_inception-2"),
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

# The entries of the config that stand for all of their kind.
EXAMPLES = {
    **{"datasets": "cifar10", "models": "dae", "experiments": "width", "cells_per_gpu": 32},
    **{"priors": "gmm", "measures": "frechet", "penalties": "mine"},
}


def whole_schema() -> dict:
    """The schema, with what the kinds of these entries say of them: of a penalty, which is in a file, nothing more."""
    schema = copy.deepcopy(settings.read_schema())
    parts = schema["$defs"]
    parts["prior"] = {**settings.entry_schema("priors", "gmm"), "$defs": {}}
    parts["measure"] = {**settings.entry_schema("measures", "frechet"), "$defs": {}}
    parts["penalty"] = {**parts["penalty"], "additionalProperties": False}
    return schema


SCHEMA = whole_schema()


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
    return grid.as_list(node.get("type", []))


NODES = [(path, node) for path, node in schema_nodes() if path]
LEVELS = [(), *(path for path, node in NODES if "properties" in node)]
NUMBERS = [(path, node) for path, node in NODES if {"integer", "number"} & set(types_of(node))]
# They may be negative.
WEIGHTS = [(*model, "penalties", "mine", "weight") for model in (("model_defaults",), ("models", "dae"))]
# A depth may be text, so that 0123 needs no care.
TEXT_TOO = [("experiments", "width", 0, "depth"), ("experiments", "width", 0, "depth", 0)]


PENALTY = "def penalty(step, options): ...\n"


def full(paper: dict, path: tuple, penalty: str) -> dict:
    """The paper's config with something written at every key, and a list where ``path`` asks for one; ``penalty`` is a
    file that holds one.
    """
    paper["pathvars"] = {"results": "results"}
    paper["model_defaults"] = {"penalties": {"mine": {"kind": penalty, "weight": 1}}}
    paper["models"]["dae"] = {"penalties": {"mine": {"kind": penalty, "weight": 1}}}
    paper["cells_per_gpu"] = {32: 1}
    paper["datasets"]["cifar10"] |= {"folder": {"train": "images"}, "sklearn": {"name": "digits"}, "limit": {}}
    container = paper
    for key, index in itertools.pairwise(path):
        if index == 0 and not isinstance(container.get(key), list):
            container[key] = [None]
        container = container[key]
    return paper


@pytest.fixture
def refusal_of(paper, tmp_path):
    """What is said to a value at a path; it has to be about that key alone, and one line long."""
    (tmp_path / "mine.py").write_text(PENALTY)

    def refusal_of(path: tuple, value: object) -> str:
        container = full(paper, path, str(tmp_path / "mine.py"))
        for key in path[:-1]:
            container = container[key]
        container[path[-1]] = value
        with pytest.raises(UserError) as refusal:
            settings.resolve(paper)
        heading, *lines = str(refusal.value).splitlines()
        assert heading == "the config can't be used:"
        assert len(lines) == 1, lines
        return lines[0].strip()

    return refusal_of


def named(path: tuple) -> str:
    """A key as messages name it. What a choice of a value and a list of them refuses, it refuses as a whole."""
    whole = path[:-1] if path[-1] == 0 and path[-2] in ("latent", "filters", "depth", "dataset", "model") else path
    return settings.join_path(whole)


def test_the_walk_through_the_schema_misses_nothing():
    assert {(), ("pathvars",), ("datasets", "cifar10", "limit"), ("training", "learning_rate", 0)} <= set(LEVELS)
    assert {("extractors", "inception"), ("experiments", "width", 0), ("priors", "gmm"), ("scoring",)} <= set(LEVELS)
    assert {("datasets", "cifar10", "parquet"), ("measures", "frechet"), *(path[:-1] for path in WEIGHTS)} <= set(
        LEVELS
    )
    numbers = {path for path, _ in NUMBERS}
    assert {("seeds", 0), ("cells_per_gpu", 32), ("datasets", "cifar10", "limit", "test")} <= numbers
    assert {("experiments", "width", 0, "latent", 0), ("training", "learning_rate", 0, "rate")} <= numbers
    assert {("priors", "gmm", "max_iter"), ("extractors", "classifier", "epochs"), *WEIGHTS} <= numbers
    # Every level refuses what it does not know.
    mappings = [node for _, node in schema_nodes() if "object" in types_of(node)]
    assert all("additionalProperties" in node for node in mappings)


@pytest.mark.parametrize("path", LEVELS, ids=settings.join_path)
def test_an_unknown_key_is_refused_at_every_level(refusal_of, path):
    message = refusal_of((*path, "nosuchkey"), 1)
    assert message.startswith(f"{settings.join_path((*path, 'nosuchkey'))} is not a key. Keys here: ")


@pytest.mark.parametrize("text", ["3", "0.5", "1e-3"])
@pytest.mark.parametrize("path", [path for path, _ in NUMBERS if path not in TEXT_TOO], ids=settings.join_path)
def test_a_number_that_is_text_is_refused_everywhere(refusal_of, path, text):
    """What `--config 'training={epochs: 3}'` gives, and what YAML makes of 1e-3."""
    message = refusal_of(path, text)
    assert message.startswith(f"{named(path)}: ")
    assert "Write " in message
    assert "It is text, not a number: write it without quotes" in message


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (path, value)
        for path, _ in NUMBERS
        for value in (True, math.nan, math.inf, -math.inf, -1, [[]])
        if value != -1 or path not in WEIGHTS
    ],
    ids=str,
)
def test_no_number_is_negative_infinite_or_a_truth_value(refusal_of, path, value):
    message = refusal_of(path, value)
    assert message.startswith(f"{named(path)}: ")
    assert "Write " in message


@pytest.mark.parametrize(
    ("path", "bound"),
    [(path, node[key]) for path, node in NUMBERS for key in ("exclusiveMinimum", "exclusiveMaximum") if key in node]
    + [(path, node["minimum"] - 1) for path, node in NUMBERS if "minimum" in node],
    ids=str,
)
def test_no_number_is_out_of_bounds(refusal_of, path, bound):
    assert refusal_of(path, bound).startswith(f"{named(path)}: ")


@pytest.mark.parametrize(
    "path",
    [path for path, node in NODES if not {"properties", "additionalProperties"} & set(node)],
    ids=settings.join_path,
)
def test_a_mapping_is_refused_where_none_belongs(refusal_of, path):
    message = refusal_of(path, {"no such key": {"x": [1]}})
    assert settings.join_path(path[: 1 + (path[0] in EXAMPLES)]) in message
    assert "Write " in message or "is none of" in message


@pytest.mark.parametrize("kind", ["datasets", "models", "priors", "measures", "experiments"])
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


# ---- priors, measures and penalties, by their kinds and by files of one's own

FUNCTIONS = {
    "priors": "def fit(codes, options, **_): ...\ndef sample(prior, count, random): ...\n",
    "measures": "def measure(features, reference, options, **_): ...\n",
    "penalties": PENALTY,
}
STRENGTH = """
OPTIONS = {"strength": {"type": "number", "minimum": 0, "default": 0.5, "description": "a strength, at least 0"}}
"""


@pytest.fixture
def own(paper, tmp_path, monkeypatch):
    """The paper's config with an entry ``mine`` of a group, whose kind is a file of this text."""
    monkeypatch.chdir(tmp_path)

    def own(group: str, text: str, **options) -> dict:
        # A file that was read once is not read again.
        file = tmp_path / f"{group}{len(list(tmp_path.iterdir()))}.py"
        file.write_text(text)
        entry = {"kind": file.name, **options}
        if group == "penalties":
            paper["models"]["dae"] = {"penalties": {"mine": {"weight": 1, **entry}}}
        else:
            paper[group]["mine"] = entry
        return paper

    return own


def entry_of(config: dict, group: str) -> dict:
    return (config["models"]["dae"] if group == "penalties" else config)[group]["mine"]


def place(group: str) -> str:
    return f"models.dae.{group}.mine" if group == "penalties" else f"{group}.mine"


def fault_of(config: dict) -> str:
    """The one thing that is wrong with a config."""
    with pytest.raises(UserError) as refusal:
        settings.resolve(config)
    _, *lines = str(refusal.value).splitlines()
    assert len(lines) == 1, lines
    return lines[0].strip()


def test_an_entry_has_the_options_of_its_kind_and_no_others(paper):
    paper["priors"] = {"gmm20": {"kind": "gmm", "components": 20}, "mvg": {"kind": "mvg"}}
    assert settings.resolve(paper)["priors"] == {
        "gmm20": {"kind": "gmm", "components": 20, "tol": 1e-3, "reg_covar": 1e-6, "max_iter": 2000},
        "mvg": {"kind": "mvg"},
    }


@pytest.mark.parametrize("group", FUNCTIONS)
def test_a_kind_of_ones_own_is_the_path_of_a_file(own, group):
    config = own(group, FUNCTIONS[group] + STRENGTH)
    entry = entry_of(settings.resolve(config), group)
    assert entry["strength"] == 0.5
    assert grid.own_kinds(settings.resolve(config)) == [(group, entry["kind"])]
    config = own(group, FUNCTIONS[group] + STRENGTH, strength=2)
    assert entry_of(settings.resolve(config), group)["strength"] == 2
    # No option is a kind's own business, and what is beside the required functions too.
    config = own(group, f"{FUNCTIONS[group]}def more(): ...\n")
    assert set(entry_of(settings.resolve(config), group)) == {"kind"} | ({"weight"} if group == "penalties" else set())


def test_what_does_not_run_is_no_kind_that_is_used(own):
    config = own("priors", FUNCTIONS["priors"])
    assert grid.own_kinds(settings.resolve({**config, "run_priors": ["mvg"]})) == []
    config["models"]["mine"] = own("penalties", PENALTY)["models"].pop("dae")
    config["models"]["dae"] = {}
    assert grid.own_kinds(settings.resolve({**config, "run_priors": ["mvg"]})) == []


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (-1, ".strength: -1 can't be used here. Write a strength, at least 0."),
        ("2", ".strength: '2' can't be used here. Write a strength, at least 0. It is text, not a number"),
        (True, ".strength: True can't be used here. Write a strength, at least 0."),
        (None, ".strength: None can't be used here. Write a strength, at least 0."),
        (math.nan, ".strength: nan can't be used here. Write a strength, at least 0."),
    ],
)
@pytest.mark.parametrize("group", FUNCTIONS)
def test_an_option_of_a_kind_of_ones_own_is_checked(own, group, value, message):
    assert fault_of(own(group, FUNCTIONS[group] + STRENGTH, strength=value)).startswith(place(group) + message)


@pytest.mark.parametrize("group", FUNCTIONS)
def test_an_option_that_a_kind_of_ones_own_has_not_is_named(own, group):
    fault = fault_of(own(group, FUNCTIONS[group] + STRENGTH, strenght=1))
    every = "kind, weight" if group == "penalties" else "kind"
    assert fault == f"{place(group)}.strenght is not a key. Did you mean 'strength'? Keys here: {every}, strength."


@pytest.mark.parametrize("group", FUNCTIONS)
def test_an_option_without_a_default_has_to_be_written(own, group):
    text = FUNCTIONS[group] + 'OPTIONS = {"rank": {"type": "integer"}}\n'
    fault = fault_of(own(group, text))
    assert fault.startswith(f"{place(group)} lacks the key 'rank'. Write what the kind {group}0.py needs")
    assert entry_of(settings.resolve(own(group, text, rank=3)), group)["rank"] == 3


UNUSABLE = [
    # the file's text, what the message must say
    ("x = (\n", ".py, line 1 can't be read as Python: SyntaxError: "),
    ("\nraise ValueError('no luck')\n", ".py can't be read as Python: ValueError: no luck."),
    ("import nosuchpackage\n", ".py imports 'nosuchpackage', which is not there. Snakemake reads the file too"),
    ("", ".py: it has no function '{first}'. config/README.md has an example of each kind."),
    ("{first} = 3\n", ".py: it has no function '{first}'. config/README.md has an example of each kind."),
    ("raise SystemExit\n", ".py can't be read as Python: SystemExit: "),
    ("{functions}def {first}(): ...\n", ".py: {first} can't be called with "),
    ("{functions}OPTIONS = {{'strength': {{'$ref': '#/x'}}}}\n", ".py: OPTIONS can't refer to other schemas by $ref."),
    ("{functions}OPTIONS = {{'strength': {{'default': {{1, 2}}}}}}\n", ".py: OPTIONS has to be plain: texts, numbers"),
    ("{functions}COST = MINUTES = 'two'\n", ".py: COST has to be a number."),
    ("{functions}OPTIONS = ['strength']\n", ".py: OPTIONS has to be a dict with a dict for each option, as in config/"),
    ("{functions}OPTIONS = {{'strength': 0.5}}\n", ".py: OPTIONS has to be a dict with a dict for each option, as in"),
    (
        "{functions}OPTIONS = {{'strength': {{'type': 'nubmer'}}}}\n",
        "OPTIONS of {group}0.py is no JSON Schema: 'nubmer' is not valid",
    ),
    (
        "{functions}OPTIONS = {{'strength': {{'minimum': 'no'}}}}\n",
        "OPTIONS of {group}0.py is no JSON Schema: 'no' is not",
    ),
    (
        "{functions}OPTIONS = {{'kind': {{'type': 'string', 'default': 'x'}}}}\n",
        "OPTIONS of {group}0.py has 'kind', which every entry has. Give it another name.",
    ),
]


@pytest.mark.parametrize(("text", "message"), UNUSABLE, ids=[message for _, message in UNUSABLE])
@pytest.mark.parametrize("group", FUNCTIONS)
def test_a_file_that_can_not_be_used_is_refused_with_why(own, group, text, message):
    values = {"first": kinds.REQUIRED[group][0], "functions": FUNCTIONS[group], "group": group}
    fault = fault_of(own(group, text.format(**values)))
    assert fault.startswith(f"{place(group)}.kind: ")
    assert f"{group}0.py" in fault and message.format(**values) in fault


def test_every_function_of_a_kind_has_to_be_there(own):
    assert "it has no function 'sample'" in fault_of(own("priors", "def fit(codes, options, **_): ...\n"))


def test_a_penalty_has_no_weight_of_its_own(own):
    text = PENALTY + 'OPTIONS = {"weight": {"type": "number", "default": 1}}\n'
    assert "OPTIONS of penalties0.py has 'weight', which every entry has. Give it another name." in fault_of(
        own("penalties", text)
    )


@pytest.mark.parametrize("group", FUNCTIONS)
def test_a_file_that_is_missing_is_named_with_where_it_was_looked_for(own, group, tmp_path):
    config = own(group, "")
    (tmp_path / f"{group}0.py").unlink()
    assert fault_of(config) == (
        f"{place(group)}.kind: there is no file '{group}0.py' (looked in {tmp_path}). Write the path of a Python file."
    )


@pytest.mark.parametrize("group", FUNCTIONS)
def test_a_kind_that_is_none_is_refused_with_those_that_there_are(own, group):
    config = own(group, FUNCTIONS[group])
    entry_of(config, group)["kind"] = "nosuchkind"
    # A variational model has its own term by other keys.
    known = ", ".join(name for name in kinds.names(group) if name != "kl")
    some = f"one of {known}, or " if known else ""
    assert fault_of(config) == (
        f"{place(group)}.kind: 'nosuchkind' is no kind. Write {some}the path of a Python file (.py) of your own."
    )


@pytest.mark.parametrize("group", FUNCTIONS)
def test_a_file_with_braces_in_its_path_is_refused(own, group):
    config = own(group, FUNCTIONS[group])
    entry_of(config, group)["kind"] = "kinds/{mine}.py"
    assert f"{place(group)}.kind: 'kinds/{{mine}}.py' has one of {{}}<>, which Snakemake takes" in fault_of(config)


def test_a_kind_of_the_packages_own_is_checked_as_well(monkeypatch, tmp_path):
    monkeypatch.setitem(kinds.FOLDERS, "priors", tmp_path)
    (tmp_path / "mine.py").write_text("def fit(codes): ...\n")
    with pytest.raises(UserError, match=r"it has no function 'sample'"):
        kinds.load("priors", "mine")


@pytest.mark.parametrize("name", ["format", "file", "allow_pickle", "test_recon_originals"])
def test_a_prior_can_not_have_the_name_of_another_array_of_the_gallery(paper, name):
    paper["priors"][name] = {"kind": "mvg"}
    assert f"priors.{name}: a cell's gallery has an array of this name already" in fault_of(paper)


def test_what_is_wrong_with_model_defaults_is_said_once(own):
    """And not for each model that has it from there."""
    config = own("penalties", FUNCTIONS["penalties"] + STRENGTH, strength=-1)
    config["model_defaults"]["penalties"] = config["models"].pop("dae")["penalties"]
    config["models"]["dae"] = {}
    assert fault_of(config).startswith("model_defaults.penalties.mine.strength: -1 can't be used here")


def test_penalties_of_model_defaults_hold_for_models_that_do_not_say_otherwise(own):
    config = own("penalties", FUNCTIONS["penalties"] + STRENGTH)
    config["model_defaults"]["penalties"] = config["models"]["dae"]["penalties"]
    config["models"] |= {"dae": {}, "dae-bn": {"latent_norm": "batch", "penalties": {}}}
    models = settings.resolve(config)["models"]
    assert models["dae"]["penalties"] == models["vae"]["penalties"]
    assert models["dae"]["penalties"]["mine"] == {"kind": "penalties0.py", "weight": 1, "strength": 0.5}
    assert models["dae-bn"]["penalties"] == {}


def test_without_penalties_a_model_has_none(paper):
    assert {tuple(model["penalties"]) for model in settings.resolve(paper)["models"].values()} == {()}


@pytest.mark.parametrize("model", ["dae", "vae"])
def test_a_variational_models_own_term_keeps_its_name(own, model):
    config = own("penalties", PENALTY)
    config["models"][model] = config["models"][model] | {"penalties": {"kl": entry_of(config, "penalties")}}
    said = "kl is a variational model's own term. Write variational, beta and kl_reduction for it"
    assert f"models.{model}.penalties.kl: {said}" in fault_of(config)
    config["models"][model]["penalties"] = {"mine": {"kind": "kl", "weight": 1}}
    assert f"models.{model}.penalties.mine: {said}" in fault_of(config)


@pytest.mark.parametrize("group", FUNCTIONS)
def test_null_takes_an_entry_away(own, group):
    """Laid over another config; as if it had never been there."""
    config = own(group, FUNCTIONS[group])
    (config["models"]["dae"] if group == "penalties" else config)[group]["mine"] = None
    found = settings.resolve(config)
    assert "mine" not in (found["models"]["dae"] if group == "penalties" else found)[group]


def test_null_takes_a_penalty_of_model_defaults_away(paper):
    paper["model_defaults"]["penalties"] = {"mine": None}
    assert settings.resolve(paper)["models"]["dae"]["penalties"] == {}


# ---- which of them run


def test_priors_that_do_not_run_have_no_samples(paper):
    paper["priors"]["gmm20"] = {"kind": "gmm", "components": 20}
    config = settings.resolve(paper)
    assert list(grid.running(config, "priors")) == ["standard_normal", "mvg", "gmm", "gmm20"]
    config = settings.resolve({**paper, "run_priors": ["gmm20", "mvg"]})
    # In the order in which they are described, whatever the order here.
    assert list(grid.running(config, "priors")) == ["mvg", "gmm20"]
    assert grid.image_sets(config) == ["train_recon", "test_recon", "interpolation", "mvg", "gmm20"]
    assert [name for name, _ in grid.comparisons(config).values()][-2:] == ["mvg", "gmm20"]
    # They are still described.
    assert "gmm" in config["priors"]


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        (None, {"mvg": "mvg", "gmm": "gmm"}),
        (["gmm20", "gmm5"], {"gmm": "gmm20"}),
        (["gmm20", "gmm", "mvg"], {"mvg": "mvg", "gmm": "gmm"}),
        (["standard_normal"], {}),
    ],
)
def test_likelihoods_are_taken_under_priors_that_run(paper, run, expected):
    paper["priors"] |= {"gmm20": {"kind": "gmm", "components": 20}, "gmm5": {"kind": "gmm", "components": 5}}
    assert grid.likelihood_priors(settings.resolve({**paper, "run_priors": run})) == expected


def test_measures_that_run_have_the_frechet_distance_among_them(own):
    config = own("measures", FUNCTIONS["measures"])
    assert list(grid.running(settings.resolve(config), "measures")) == ["frechet", "mine"]
    assert list(grid.running(settings.resolve({**config, "run_measures": ["frechet"]}), "measures")) == ["frechet"]
    fault = "tables, figures and claims are of the Fréchet distance. Write frechet beside the others."
    assert fault_of({**config, "run_measures": ["mine"]}) == f"run_measures: {fault}"
    without = {**config, "measures": {"mine": config["measures"]["mine"], "frechet": None}}
    assert fault_of(without) == f"measures: {fault}"
    taken = {**config, "measures": {"frechet": config["measures"]["mine"]}}
    assert fault_of(taken) == (
        "measures.frechet: this name is the Fréchet distance's. Write kind: frechet, or another name."
    )


# ---- options that were added later

ADDED = {
    "rank": {"type": "integer"},
    "tol": {"type": "number", "default": 1e-3, "before": 1e-3},
    # Its default is another than what was done before.
    "steps": {"type": "integer", "default": 5, "before": 1},
    "start": {"type": ["string", "null"], "default": None, "before": None},
}


def test_a_new_option_is_left_out_of_params_where_it_is_as_before():
    every = {"kind": "mine", "rank": 3, "tol": 1e-3, "steps": 1, "start": None}
    assert kinds.without_new(every, ADDED) == {"kind": "mine", "rank": 3}
    # And only there.
    for name, value in {"tol": 1e-4, "steps": 5, "start": "random"}.items():
        assert kinds.without_new(every | {name: value}, ADDED) == {"kind": "mine", "rank": 3, name: value}


@pytest.mark.parametrize("other", [{}, {"tol": 1e-4}, {"steps": 5}, {"start": "random"}, {"rank": 4, "steps": 2}])
def test_what_was_left_out_is_there_again_for_those_who_compute(other):
    every = {"kind": "mine", "rank": 3, "tol": 1e-3, "steps": 1, "start": None} | other
    assert kinds.complete(kinds.without_new(every, ADDED), ADDED) == every


def test_what_is_completed_stays_as_it_was():
    params = {"kind": "mine"}
    kinds.complete(params, ADDED)
    kinds.without_new(params, ADDED)
    assert params == {"kind": "mine"}


def test_a_model_without_penalties_has_the_params_of_before_there_were_any(paper):
    parts = settings.read_schema()["$defs"]["model"]["properties"]
    options = grid.objective_options(settings.resolve(paper), "vae")
    assert kinds.without_new(options, parts) == {"beta": 0.01, "kl_reduction": "mean", "noise": 0}
    changed = options | {"penalties": {"mine": {"kind": "mine.py", "weight": 0}}}
    assert kinds.without_new(changed, parts) == changed


def every_option() -> list[tuple[str, dict]]:
    """Every option of a kind that comes along, and of what the schema says itself."""
    found = [
        (f"{group}.{kind}.{name}", part)
        for group in kinds.FOLDERS
        for kind in kinds.names(group)
        for name, part in kinds.options(kinds.load(group, kind)).items()
    ]
    return found + [(settings.join_path(path), node) for path, node in NODES]


def test_what_means_as_before_is_a_value_that_may_be_written():
    for name, part in every_option():
        assert "before" not in part or settings.filling_validator(part).is_valid(part["before"]), name


def test_options_of_kinds_that_come_along_can_be_used():
    """Each has a description, since messages tell what to write."""
    for group in FUNCTIONS:
        for kind in kinds.names(group):
            options = settings.entry_schema(group, kind)["properties"]
            assert all("description" in part or "$ref" in part for part in options.values()), kind
    for group in ("sources", "extractors"):
        for kind in kinds.names(group):
            assert all("description" in part for part in kinds.options(kinds.load(group, kind)).values()), kind


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


def misfits(config: dict) -> list[str]:
    """What is said of the images of the datasets that run, as Snakemake's main process asks."""
    config = settings.resolve(config)
    used = {cell["dataset"] for cell in grid.cells(config)}
    return list(first_look.find_misfits({name: config["datasets"][name] for name in used}, config["pathvars"]))


def looked_at(paper: dict, **dataset) -> list[str]:
    paper["datasets"]["mine"] = dataset
    paper["experiments"]["mine"] = [{"dataset": "mine", "model": "dae", "filters": 8, "latent": 4}]
    paper["run"] = ["mine"]
    return misfits(paper)


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
    record.write_text(json.dumps({"fingerprints": first_look.fingerprints(dataset)}))
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
    record.write_text(json.dumps({"fingerprints": first_look.fingerprints(found)}))
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
    monkeypatch.setattr(folder_source, "PATIENCE", -1)
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
    assert not misfits(paper)
    looked_at(paper, source="parquet", parquet={"train": f"{images}/*.parquet"})
    assert not misfits({**paper, "run": ["width"]})
    for dataset in ("cifar10", "celeba"):
        paper["datasets"][dataset]["source"] = "parquet"
    assert not misfits({**paper, "run": ["width"]})


HEAVY = ("numpy", "PIL", "pyarrow", "pandas", "sklearn", "torch", "torchvision")


def test_snakemakes_process_loads_nothing_to_compute_with(project):
    """The modules that the Snakefile imports, and every kind: it is read once more for each job."""
    text = (project / "workflow" / "rules" / "common.smk").read_text()
    imports = [line for line in text.splitlines() if line.startswith("from autoencoders")]
    assert any("settings" in line for line in imports) and any("kinds" in line for line in imports)
    code = f"""
import sys
{chr(10).join(imports)}
for group in kinds.FOLDERS:
    for kind in kinds.names(group):
        kinds.load(group, kind)
settings.resolve({yaml.safe_load((project / "config" / "config.yaml").read_text())})
print([name for name in {HEAVY} if name in sys.modules])
"""
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
    (fault,) = misfits(paper)
    assert fault.startswith(f"pathvars.{key}: {tmp_path}/taken is a file. Write the path of a folder")
    paper["pathvars"] = {key: str(tmp_path)}
    assert not misfits(paper)


def test_a_flat_folder_has_no_labels_for_a_classifier(paper, tmp_path):
    (fault,) = misfits(own_images(paper, tmp_path, extractors=["classifier"]))
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
    assert {cell["depth"] for cell in grid.cells(settings.resolve(paper))} == {"1", "2"}


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
        (
            "priors: { mine: { kind: gmn } }",
            (),
            "priors.mine.kind: 'gmn' is no kind. Did you mean 'gmm'? Write one of gmm",
        ),
        ("measures: { mine: { kind: no.py } }", (), "measures.mine.kind: there is no file 'no.py' (looked in "),
        ('models: { "../../evil": {} }', (), "models: '../../evil' can't be used here. Write letters, digits"),
        # Nothing in a config is built by calling Python.
        ("run: !!python/object/apply:os.mkdir [made]", (), "Config file is not valid JSON or YAML"),
    ],
    ids=["text", "twice", "column", "crop", "labels", "kind", "file", "name", "call"],
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


@pytest.mark.parametrize("name", ["MVG", "Gmm", "Midpoints", "Model", "FD", "fid", "Seeds", "Standard_Normal"])
def test_a_prior_can_not_have_the_name_that_tables_have_for_another_column(paper, name):
    paper["priors"][name] = {"kind": "mvg"}
    assert f"priors.{name}: tables have a column of this name already" in fault_of(paper)


@pytest.mark.parametrize(("name", "kind"), [("FID", "own"), ("Frechet", "own"), ("mine", "frechet")])
def test_nothing_else_is_called_by_the_frechet_distances_names(paper, tmp_path, name, kind):
    own = tmp_path / "mine.py"
    own.write_text("def measure(features, reference, options, **_): ...\n")
    paper["measures"][name] = {"kind": str(own) if kind == "own" else kind}
    assert f"measures.{name}: the Fréchet distance is frechet, once." in fault_of(paper)


def test_two_models_can_not_have_names_that_tables_show_alike(paper):
    paper["models"]["DAE"] = {"noise": 0.2}
    assert "tables can't tell it from the model" in fault_of(paper)
