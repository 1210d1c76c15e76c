"""Parquet files, local or on the Hugging Face Hub: a column of images, and optionally one of labels."""

from __future__ import annotations

import glob
import io
import logging
import os
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from autoencoders.jobs.errors import UserError
from autoencoders.jobs.files import printable

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from PIL import Image

    from autoencoders.data.first_look import Look
    from autoencoders.data.pictures import Split

logger = logging.getLogger(__name__)

SPLITS = ("train", "test")
DESCRIPTION = "parquet files, as in {train: path/train-*.parquet, test: path/test-*.parquet, image: img}"
FILES = {
    "description": "a path, a pattern such as data/train-*.parquet, hf://datasets/OWNER/NAME@REVISION/PATTERN, "
    "or a list of paths",
    "anyOf": [
        {"type": "string", "minLength": 1},
        {"type": "array", "minItems": 1, "items": {"type": "string", "minLength": 1}},
    ],
}
OPTIONS = {
    "train": FILES,
    "test": {**FILES, "anyOf": [*FILES["anyOf"], {"type": "null"}], "default": None},
    "image": {"description": "the name of the column that holds the images", "type": "string", "default": "image"},
    "label": {"description": "the name of the label column or null", "type": ["string", "null"], "default": None},
}


def patterns(value: str | list[str] | None) -> list[str]:
    """The config's ``train`` and ``test`` of a parquet source: one pattern, a list of them, or null."""
    return [] if value is None else [value] if isinstance(value, str) else list(value)


def is_hub(pattern: str) -> bool:
    """Whether a pattern names files on the Hugging Face Hub."""
    return pattern.startswith("hf://")


def matching(pattern: str) -> list[Path]:
    """The local paths that a path or a pattern such as data/train-*.parquet names, sorted; ~ is the home folder."""
    path = Path(pattern).expanduser()
    # A name may contain brackets: a path that exists is not a pattern.
    return [path] if path.exists() else [Path(name) for name in sorted(glob.glob(str(path), recursive=True))]


def hub_patterns(options: Mapping) -> list[str]:
    """The patterns of both splits that name files on the Hub."""
    return [pattern for split in SPLITS for pattern in patterns(options.get(split)) if is_hub(pattern)]


def is_remote(options: Mapping) -> bool:
    return bool(hub_patterns(options))


def download(options: Mapping, folder: str | Path) -> dict[str, str]:
    from autoencoders.data.downloads import download_hub

    return download_hub(hub_patterns(options), Path(folder))


def local_files(options: Mapping) -> dict[str, Path]:
    """All local files of all splits, in their order: where they lie does not count."""
    found = {
        split: [file for value in patterns(options.get(split)) if not is_hub(value) for file in matching(value)]
        for split in SPLITS
    }
    return {f"{split}/{number}": file for split in found for number, file in enumerate(found[split])}


def has_test(options: Mapping) -> bool:
    return options.get("test") is not None


def labelled(options: Mapping) -> bool:
    return options.get("label") is not None


def check(options: Mapping) -> Iterator[tuple[str, str]]:
    for split in SPLITS:
        for pattern in patterns(options.get(split)):
            if not is_hub(pattern) and not matching(pattern):
                yield split, f"no file matches {pattern!r}."


def first_look(options: Mapping, look: Look) -> None:
    """Checks the columns of all files and the first image of each split; for files on the Hub, only their URI."""
    from autoencoders.data.downloads import parse_hub

    for pattern in hub_patterns(options):
        parse_hub(pattern)
    if not is_remote(options):
        for split in splits(options, folder="").values():
            look.at(split)


def splits(options: Mapping, folder: str | Path) -> dict[str, Split]:
    folder = Path(folder)
    files = {split: _files(patterns(options.get(split)), folder) for split in SPLITS if options.get(split)}
    both = {file.resolve() for file in files["train"]} & {file.resolve() for file in files.get("test", [])}
    if both:
        raise UserError(
            f"{min(both)} belongs to train and to test: the scores would be measured on training images. "
            f"Write patterns with no file in common, or `test: null` to split the images of train."
        )
    labels = _labels(files, options.get("label")) if options.get("label") else {}
    return {split: _split(files[split], options["image"], labels.get(split)) for split in files}


def _files(values: list[str], folder: Path) -> list[Path]:
    """The files of all patterns, in order, each once."""
    from autoencoders.data.downloads import local_hub_files

    files = []
    for value in values:
        if is_hub(value):
            found = local_hub_files(value, folder)
            missing = f"None of the files of {value} are in {folder}. Run the rule download_dataset."
        else:
            found = matching(value)
            missing = (
                f"No file matches '{value}' (looked in {Path.cwd()}). Write the path of parquet files, or a pattern."
            )
        if not found:
            raise UserError(missing)
        for file in found:
            if file.is_dir():
                raise UserError(f"'{file}' is a folder. Write the parquet files in it: {file}/*.parquet")
        files += found
    return list(dict.fromkeys(files))


def _open(file: Path, column: str):
    """The opened file. Raises UserError if it is not a parquet file, or does not have the column once."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        # As bytes: pyarrow can't encode all names.
        opened = pq.ParquetFile(pa.OSFile(os.fsencode(file)))
        names = opened.schema_arrow.names
    except Exception as error:  # For damaged files, pyarrow raises all kinds of errors.
        raise _damaged(file, error) from error
    if names.count(column) != 1:
        opened.close()
        count = "no column" if column not in names else f"{names.count(column)} columns named"
        raise UserError(f"{printable(file)} has {count} '{column}'. Its columns are: {', '.join(names)}.")
    return opened


def _damaged(file: Path, error: Exception) -> UserError:
    return UserError(
        f"{printable(file)} is not a readable parquet file ({error}). Copy or download it again. If a job downloaded "
        "it, delete the JSON file beside its dataset's folder, and run again."
    )


def _labels(files: dict[str, list[Path]], column: str) -> dict[str, np.ndarray]:
    """Labels of every split, as indices of the sorted classes of both."""
    from autoencoders.data.pictures import UNKNOWN, class_indices

    values = {split: [label for file in files[split] for label in _values(file, column)] for split in files}
    found = {label_type(value) for labels in values.values() for value in set(labels)}
    if len(found) > 1:
        raise UserError(f"Column '{column}' holds {' in some parquet files and '.join(sorted(found))} in others.")
    if values["train"].count(UNKNOWN):
        logger.warning(
            "%d training images have the label %d, which is taken for a class: leave images without a label out",
            *(values["train"].count(UNKNOWN), UNKNOWN),
        )
    return class_indices(values)


def label_type(value: object) -> str:
    """Values of one type can be sorted; integers and other numbers are of one."""
    return "numbers" if isinstance(value, int | float | Decimal) else type(value).__name__.replace("str", "text")


def _values(file: Path, column: str) -> list:
    """A column of labels. Raises UserError for a type that has no order, and for empty rows."""
    import pyarrow as pa
    import pyarrow.types as types

    with _open(file, column) as opened:
        try:
            labels = opened.read(columns=[column]).column(0)
        except Exception as error:
            raise _damaged(file, error) from error
    kind = labels.type.value_type if types.is_dictionary(labels.type) else labels.type
    stored = kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind
    try:
        if types.is_nested(stored) or types.is_null(stored):
            raise TypeError("it has no order")
        values = labels.to_pylist()
    except Exception as error:  # Some values have no counterpart in Python.
        raise UserError(
            f"Column '{column}' of {printable(file)} holds {kind}, but labels are numbers or text ({error}). Name "
            "another column under `label`, or write `label: null`."
        ) from error
    for row, value in enumerate(values):
        if value is None or value != value:
            raise UserError(
                f"{printable(file)}, row {row}: column '{column}' is empty. Write `label: null` to use no labels."
            )
    return values


def is_bytes(kind: pa.DataType) -> bool:
    import pyarrow.types as types

    if types.is_dictionary(kind):
        return is_bytes(kind.value_type)
    tests = (types.is_binary, types.is_large_binary, types.is_binary_view, types.is_fixed_size_binary)
    return any(test(kind) for test in tests)


def _split(files: list[Path], column: str, labels: np.ndarray | None) -> Split:
    import numpy as np
    import pyarrow.compute as pc
    import pyarrow.types as types

    from autoencoders.data.pictures import Split, open_image

    counts = []
    for file in files:
        with _open(file, column) as opened:
            kind = opened.schema_arrow.field(column).type
            counts.append(opened.metadata.num_rows)
        data = kind.field("bytes").type if types.is_struct(kind) and kind.get_field_index("bytes") >= 0 else kind
        # If no row has an image, the type may be null: `images` tells.
        if not (is_bytes(data) or types.is_null(data)):
            raise UserError(
                f"Column '{column}' of {printable(file)} holds {kind}, not images: these are struct<bytes, path> or "
                f"binary. Name another column under `image`. Its columns are: {', '.join(opened.schema_arrow.names)}."
            )
    ends = np.cumsum(counts)

    def images() -> Iterator[Image.Image]:
        for file in files:
            with _open(file, column) as opened:
                for batch in opened.iter_batches(batch_size=256, columns=[column]):
                    values = batch.column(0)
                    if types.is_struct(values.type):
                        values = pc.struct_field(values, "bytes")
                    if values.null_count == len(values):
                        raise UserError(
                            f"the column '{column}' holds no images here, at most their paths. Save the file with the "
                            "images' bytes in it, or use `source: folder` for the images that the paths name."
                        )
                    for value in values:
                        if not value.is_valid:
                            raise ValueError("it holds no bytes")
                        yield open_image(io.BytesIO(value.as_py()))

    def name(index: int) -> str:
        number = int(np.searchsorted(ends, index, side="right"))
        return f"{printable(files[number])}, row {index - (ends[number] - counts[number])}"

    return Split(int(ends[-1]), labels, images, name)
