"""Scores of one cell: measures between its image sets and the dataset's images, as a long table."""

import contextlib
import hashlib
import logging
import math
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from autoencoders.config.seeds import generator
from autoencoders.jobs import kinds
from autoencoders.jobs.errors import UserError
from autoencoders.jobs.files import AGAIN, file_sha256, read_npz
from autoencoders.scores.features import finite_features
from autoencoders.scores.neighbours import nearest_once

logger = logging.getLogger(__name__)

COLUMNS = [
    *("dataset", "model", "filters", "depth", "latent", "seed"),
    *("extractor", "extractor_accuracy", "extractor_chance"),
    *("comparison", "measure", "value", "error", "images", "reference_images", "status"),
]
# The comparison that holds what some measures give for the test images themselves; `config.grid` names it too, and is
# no input of scores.
TEST_IMAGES = "test_images"
# The reference of all training images, beside those of the splits, of which a subset is compared.
TRAINING = "training"


class Reference(NamedTuple):
    """Features (M, D) float32 of a split's images, on the job's device, and what each measure prepared from them:
    {measure: {name: tensor on the CPU}}.
    """

    features: Tensor
    prepared: Mapping[str, Mapping[str, Tensor]]


class CellScores(NamedTuple):
    """The table of `score_cell`, and for each image set, by name, the squared distances of its images from the nearest
    training image, float64 (N,), and that one's place among them, int64 (N,); nothing without features of all training
    images.
    """

    table: pd.DataFrame
    nearest: dict[str, tuple[Tensor, Tensor]]


def reference_arrays(
    network: Callable[[Tensor], Tensor],
    images: np.ndarray,
    weights: str | Path,
    measures: Mapping[str, Mapping],
    batch_size: int,
    device: torch.device,
    test: Tensor | None = None,
    classes: Callable[[Tensor], Tensor] | None = None,
) -> dict[str, np.ndarray]:
    """The arrays that the rule reference stores for a split's images, uint8 (M, 3, S, S): their features, what each of
    ``measures`` prepares from them, and the checksum of the extractor's ``weights`` file.

    ``measures`` are those of the config: kind and options by name. With the features of the ``test`` images, the images
    are all training images, and measures prepare what they need from both (``prepare_training``). ``classes`` turns
    features into logits, for measures of classes.
    """
    prepares, more = ("prepare", ()) if test is None else ("prepare_training", (test,))
    features = finite_features(network, images, batch_size, device, "the reference")
    arrays = {"features": features.numpy(force=True), "extractor_sha256": np.str_(file_sha256(weights))}
    for name, entry in measures.items():
        module = kinds.load("measures", entry["kind"])
        if hasattr(module, prepares):
            options = kinds.complete(entry, kinds.options(module))
            measured = of_measure(module, features, classes)
            with unchanged(name, entry, [measured, *more]):
                prepared = getattr(module, prepares)(measured, *more, options)
            if not isinstance(prepared, dict):
                raise UserError(f"{prepares} of the measure {name} must return a dict of arrays, not {prepared!r}.")
            arrays |= {f"{name}/{array}": on_host(value, f"{name}/{array}") for array, value in prepared.items()}
    return arrays


@contextlib.contextmanager
def unchanged(measure: str, entry: Mapping, tensors: Sequence[Tensor]) -> Iterator[None]:
    """Raises UserError if a user's own measure changes the tensors that it is given, which are needed again."""
    own = kinds.is_file(entry["kind"])
    before = list(map(checksum, tensors)) if own else []
    yield
    if own and before != list(map(checksum, tensors)):
        raise UserError(
            f"the measure {measure} changes the features that it is given, or what it has prepared, which are needed "
            "again. Let it work on a copy, as in features = features.clone()."
        )


def checksum(tensor: Tensor) -> bytes:
    return hashlib.sha256(np.ascontiguousarray(tensor.numpy(force=True)).reshape(-1)).digest()


def of_measure(module: ModuleType, features: Tensor, classes: Callable[[Tensor], Tensor] | None) -> Tensor:
    """What a measure's kind is computed from: features, or logits of their classes."""
    return classes(features) if kinds.needs(module, "OF_CLASSES", False) else features


def on_host(value: object, name: str) -> np.ndarray:
    """An array that a measure prepared. Raises UserError, with its ``name``, for anything but numbers."""
    try:
        array = value.numpy(force=True) if isinstance(value, Tensor) else np.asarray(value)
    except (TypeError, ValueError) as error:
        raise UserError(f"{name}, which the measure prepared, is not an array ({error}).") from error
    if array.dtype.kind not in "fiub":
        raise UserError(f"{name}, which the measure prepared, is {array.dtype}: only numbers can be stored.")
    return array


def read_reference(path: str | Path, weights_sha256: str, device: torch.device) -> Reference:
    """A stored reference, its features on ``device``.

    Raises UserError if the extractor's weights file had another checksum: distances between the features of two
    networks mean nothing.
    """
    arrays = read_npz(path)
    if "features" not in arrays:
        raise UserError(
            f"{path} is from version 0.9, and has no features. Add --forcerun reference to your command to compute all "
            "references and scores again. Nothing is trained, encoded or fitted for this."
        )
    if str(arrays.pop("extractor_sha256")) != weights_sha256:
        raise UserError(f"{path} was computed with other weights than the extractor's current ones. {AGAIN}")
    del arrays["indices"]
    features = torch.from_numpy(arrays.pop("features")).to(device)
    prepared: dict[str, dict[str, Tensor]] = {}
    for name, array in arrays.items():
        measure, _, part = name.partition("/")
        prepared.setdefault(measure, {})[part] = torch.from_numpy(array)
    return Reference(features, prepared)


def score_cell(
    status: str,
    image_sets: Mapping[str, np.ndarray],
    comparisons: Mapping[str, Sequence[str]],
    references: Mapping[str, Reference],
    measures: Mapping[str, Mapping],
    network: Callable[[Tensor], Tensor] | None,
    batch_size: int,
    device: torch.device,
    seed: int,
    classes: Callable[[Tensor], Tensor] | None = None,
) -> CellScores:
    """The table has one row for each comparison and measure, in order: comparison, measure, value and error (NaN unless
    status is "ok"; many measures have no error), images and reference_images (the numbers compared), status.

    ``comparisons`` maps names to (image set, split): which of ``image_sets``, uint8 images (N, 3, S, S), is compared
    with which of ``references``; measures of all training images take that of TRAINING instead. ``measures`` are those
    of the config: kind and options by name; their random numbers come from the cell's ``seed``. A measure that prepared
    a ``baseline`` has one row more, the comparison TEST_IMAGES. A cell that is not "ok" has sets of N = 0 and needs no
    network. ``classes`` turns features into logits, for measures of classes. Raises UserError if features of an image
    set are not finite.
    """
    modules = {name: kinds.load("measures", entry["kind"]) for name, entry in measures.items()}

    # Once: measures know a reference by the identity of its tensor.
    logits = {
        split: of_measure(modules[measure], reference.features, classes)
        for measure, module in modules.items()
        if kinds.needs(module, "OF_CLASSES", False) and status == "ok"
        for split, reference in references.items()
    }

    def reference_of(measure: str, split: str) -> Reference:
        return references[TRAINING if hasattr(modules[measure], "prepare_training") else split]

    found, closest = {}, {}
    for name, images in image_sets.items():
        if status != "ok":
            continue
        features = finite_features(network, images, batch_size, device, name)
        shared = {}
        for comparison, (compared, split) in comparisons.items():
            if compared != name:
                continue
            for measure, module in modules.items():
                reference = reference_of(measure, split)
                compared_with = logits[split] if kinds.needs(module, "OF_CLASSES", False) else reference.features
                prepared = reference.prepared.get(measure, {})
                with unchanged(measure, measures[measure], [features, compared_with, *prepared.values()]):
                    result = module.measure(
                        of_measure(module, features, classes),
                        compared_with,
                        kinds.complete(measures[measure], kinds.options(module)),
                        prepared=prepared,
                        random=generator(seed, f"measure/{measure}/{comparison}"),
                        shared=shared,
                    )
                found[comparison, measure] = value_and_error(result, measure)
                if not math.isfinite(found[comparison, measure][0]):
                    logger.warning("%s of %s is %s", measure, comparison, found[comparison, measure][0])
        if TRAINING in references:
            closest[name] = nearest_once(features, references[TRAINING].features, shared)
    rows = [
        (
            *(comparison, measure, *found.get((comparison, measure), (np.nan, np.nan))),
            *(len(image_sets[name]), len(reference_of(measure, split).features), status),
        )
        for comparison, (name, split) in comparisons.items()
        for measure in measures
    ]
    for measure in measures:
        reference = reference_of(measure, "test")
        baseline = reference.prepared.get(measure, {}).get("baseline")
        if baseline is not None:
            value = float(baseline) if status == "ok" else np.nan
            counts = len(references["test"].features), len(reference.features)
            rows.append((TEST_IMAGES, measure, value, np.nan, *counts, status))
    table = pd.DataFrame(rows, columns=COLUMNS[COLUMNS.index("comparison") :])
    numbers = {"value": "float64", "error": "float64", "images": "int64", "reference_images": "int64"}
    return CellScores(table.astype(numbers), closest)


def value_and_error(result: object, measure: str) -> tuple[float, float]:
    """The result of a measure: a number, or a number and its error; without one, the error is NaN."""
    try:
        value, error = map(float, result if isinstance(result, tuple) else (result, math.nan))
    except (TypeError, ValueError, RuntimeError) as fault:
        shown = textwrap.shorten(repr(result), 80)
        raise UserError(
            f"the measure {measure} returned {shown}. It must return a number, or a tuple of a number and its error."
        ) from fault
    if error < 0:
        raise UserError(f"the measure {measure} returned the error {error}, which is below 0.")
    return value, error


def identified(
    scores: pd.DataFrame, cell: Mapping[str, object], extractor: str, accuracy: float | None, chance: float | None
) -> pd.DataFrame:
    """The rows of ``score_cell`` with the columns of cell and extractor, in the order of ``COLUMNS``.

    For a classifier's features, ``accuracy`` is its accuracy on the test images, and ``chance`` that of always guessing
    the most frequent class; None for other extractors, and if the test images' labels are unknown.
    """
    # Explicit types: they must be the same in all cells' files, whatever the depth looks like ("1", "3321").
    identity = {
        "dataset": str(cell["dataset"]),
        "model": str(cell["model"]),
        "filters": int(cell["filters"]),
        "depth": str(cell["depth"]),
        "latent": int(cell["latent"]),
        "seed": int(cell["seed"]),
        "extractor": extractor,
        "extractor_accuracy": math.nan if accuracy is None else float(accuracy),
        "extractor_chance": math.nan if chance is None else float(chance),
    }
    return scores.assign(**identity)[COLUMNS]
