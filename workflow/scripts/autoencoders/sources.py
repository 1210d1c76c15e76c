"""Where images come from: torchvision's datasets, parquet files, folders of images, scikit-learn.

Libraries that only one source needs are imported where it is read, to keep the start of the other jobs fast.
"""

import io
import logging
import os
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from autoencoders.download import download_hub, local_hub_files
from autoencoders.errors import UserError
from autoencoders.files import explained, file_sha256
from autoencoders.locations import EXTENSIONS, find_files, images_below, is_hub, is_image, local_files, patterns

logger = logging.getLogger(__name__)

SPLITS = ("train", "test")
# What pictures are decoded from, whatever their names say. Others of Pillow's formats start programs (Ghostscript).
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "PPM", "TIFF")


@dataclass(frozen=True)
class Source:
    """The images of one split, opened one at a time.

    ``labels`` is int64 (count,) or None; ``images`` starts a fresh pass over the images; ``name`` says where the
    image of an index lies, for messages.
    """

    count: int
    labels: np.ndarray | None
    images: Callable[[], Iterator[Image.Image]]
    name: Callable[[int], str]

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Image.Image]:
        return self.images()


def load(dataset: dict, folder: str | Path) -> dict[str, Source]:
    """Open a dataset of the config: {"train": ..., "test": ...}, or train alone where its source has no test split.

    ``folder`` is where `download` has put what it downloaded. Raises UserError where the data is not as the config
    says.
    """
    kind = dataset["source"]
    settings = dataset[kind]
    if kind == "torchvision":
        return _torchvision(settings["name"], Path(folder))
    if kind == "parquet":
        return _parquet(settings, Path(folder))
    if kind == "folder":
        return _folder(settings)
    return _sklearn(settings["name"])


def download(dataset: dict, folder: str | Path) -> dict[str, str]:
    """Download what a remote source needs into ``folder``; returns {file relative to folder: sha256}."""
    folder = Path(folder)
    settings = dataset[dataset["source"]]
    if dataset["source"] == "torchvision":
        return _torchvision_download(settings["name"], folder)
    if dataset["source"] == "parquet":
        return download_hub([uri for split in SPLITS for uri in patterns(settings.get(split)) if is_hub(uri)], folder)
    return {}


def _class_indices(names: dict[str, list[str]]) -> dict[str, np.ndarray]:
    """Number the classes in sorted order, the same way in every split: {split: int64 (n,)}."""
    classes = sorted({name for values in names.values() for name in values})
    index = {name: number for number, name in enumerate(classes)}
    return {split: np.array([index[name] for name in values], dtype=np.int64) for split, values in names.items()}


# ---- torchvision


def _torchvision(name: str, folder: Path) -> dict[str, Source]:
    from torchvision import datasets

    def open_split(split: str) -> Source:
        if name == "CelebA":
            # No target: its 40 attributes are no classes.
            files = datasets.CelebA(folder, split=split, target_type=[]).filename
            return files_source([folder / "celeba" / "img_align_celeba" / file for file in files], None)
        # torchvision compares each batch's MD5 with the official one before it unpickles it.
        data = getattr(datasets, name)(folder, train=split == "train")
        labels = np.array(data.targets, dtype=np.int64)

        def images() -> Iterator[Image.Image]:
            return (data[index][0] for index in range(len(data)))

        return Source(len(data), labels, images, lambda index: f"{name} {split} image {index}")

    try:
        return {split: open_split(split) for split in SPLITS}
    except RuntimeError as error:
        raise UserError(
            f"{name} in {folder} is incomplete or damaged ({error}). Delete {folder}.json and run again: what is "
            "missing or damaged is downloaded and unpacked anew."
        ) from error


def _torchvision_download(name: str, folder: Path, attempts: int = 3) -> dict[str, str]:
    """torchvision's own download, which compares MD5 sums with the official ones; tried up to ``attempts`` times."""
    from gdown.exceptions import DownloadError
    from torchvision import datasets

    official = getattr(datasets, name)
    for failures in range(1, attempts + 1):
        try:
            with explained(folder):
                if name == "CelebA":
                    official(folder, split="all", target_type=[], download=True)
                    _finish_celeba(folder / official.base_folder, official.file_list[0][1])
                else:
                    official(folder, download=True)
            break
        except (OSError, RuntimeError, DownloadError) as error:
            if failures == attempts:
                raise UserError(_download_advice(official, folder, error)) from error
            logger.warning("download of %s failed (%s); trying again in %d s", name, error, 2**failures)
            time.sleep(2**failures)
    if name == "CelebA":
        files = [folder / official.base_folder / file for _, _, file in official.file_list]
    else:
        batches = [file for file, _ in official.train_list + official.test_list]
        files = [folder / official.filename, *(folder / official.base_folder / file for file in batches)]
    # Whoever puts the files there by hand may have unpacked the archive and deleted it.
    return {file.relative_to(folder).as_posix(): file_sha256(file) for file in files if file.exists()}


def _download_advice(official: type, folder: Path, error: Exception) -> str:
    if official.__name__ == "CelebA":
        names = ", ".join(file for _, _, file in official.file_list)
        return (
            f"CelebA could not be downloaded ({error}). Its official archive lies on a Google Drive whose quota is "
            f"often used up. Either use the copy on the Hugging Face Hub: write\n"
            f"  datasets: {{celeba: {{source: parquet}}}}\n"
            f"in the config, which names that copy under `parquet`. Or put the official files into "
            f"{folder / official.base_folder} by hand: {names}."
        )
    return (
        f"{official.__name__} could not be downloaded from {official.url} ({error}). Check the network and run again, "
        f"or put {official.filename} into {folder} by hand."
    )


def _finish_celeba(folder: Path, md5: str) -> None:
    """Unpack again what an interrupted unpacking left out: torchvision only looks whether the folder is there.

    Where it is, torchvision has not compared the archive's ``md5`` with the official one.
    """
    from torchvision.datasets.utils import check_integrity

    archive = folder / "img_align_celeba.zip"
    if not archive.exists():
        return
    if not check_integrity(archive, md5):
        raise UserError(
            f"{archive} is not the official archive: its MD5 sum is not {md5}. Delete it to use the images as they lie "
            f"in {folder / 'img_align_celeba'}, or delete both and run again, to have them downloaded."
        )
    with zipfile.ZipFile(archive) as images:
        sizes = {item.name: item.stat().st_size for item in os.scandir(folder / "img_align_celeba")}
        for image in images.infolist():
            if not image.is_dir() and sizes.get(Path(image.filename).name) != image.file_size:
                images.extract(image, folder)


# ---- parquet


def _parquet(settings: dict, folder: Path) -> dict[str, Source]:
    files = {split: _parquet_files(patterns(settings.get(split)), folder) for split in SPLITS if settings.get(split)}
    both = {file.resolve() for file in files["train"]} & {file.resolve() for file in files.get("test", [])}
    if both:
        raise UserError(
            f"{min(both)} belongs to train and to test: the scores would be measured on training images. "
            f"Write patterns without a common file, or `test: null` to set images aside."
        )
    labels = _parquet_labels(files, settings.get("label")) if settings.get("label") else {}
    return {split: _parquet_source(files[split], settings["image"], labels.get(split)) for split in files}


def _parquet_files(values: list[str], folder: Path) -> list[Path]:
    """The files of all patterns, in their order, each once."""
    files = []
    for value in values:
        if is_hub(value):
            found = local_hub_files(value, folder)
            missing = f"None of the files of {value} is in {folder}. Run the rule download_dataset."
        else:
            found = local_files(value)
            missing = f"No file fits '{value}' (looked in {Path.cwd()}). Write the path of parquet files, or a pattern."
        if not found:
            raise UserError(missing)
        for file in found:
            if file.is_dir():
                raise UserError(f"'{file}' is a folder. Write the parquet files in it: {file}/*.parquet")
        files += found
    return list(dict.fromkeys(files))


def _open_parquet(file: Path, column: str):
    """The opened file; UserError when it is no parquet file or lacks the column."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        opened = pq.ParquetFile(file)
    except (pa.ArrowInvalid, OSError) as error:
        raise _damaged_parquet(file, error) from error
    names = opened.schema_arrow.names
    if column not in names:
        opened.close()
        raise UserError(f"{file} has no column '{column}'. Its columns are: {', '.join(names)}.")
    return opened


def _damaged_parquet(file: Path, error: Exception) -> UserError:
    return UserError(
        f"{file} is not a readable parquet file ({error}). Copy or download it again: where a job did, delete the "
        "JSON file beside its dataset's folder, and run again."
    )


def _parquet_labels(files: dict[str, list[Path]], column: str) -> dict[str, np.ndarray]:
    """Labels of every split: integers as they are, text as the index of its sorted classes."""
    import pyarrow as pa
    import pyarrow.types as types

    values: dict[str, list] = {}
    for split in files:
        values[split] = []
        for file in files[split]:
            with _open_parquet(file, column) as opened:
                try:
                    labels = opened.read(columns=[column]).column(0)
                except (pa.ArrowInvalid, OSError) as error:
                    raise _damaged_parquet(file, error) from error
            if types.is_dictionary(labels.type):
                labels = labels.cast(labels.type.value_type)
            if not (
                types.is_integer(labels.type) or types.is_string(labels.type) or types.is_large_string(labels.type)
            ):
                raise UserError(
                    f"Column '{column}' of {file} holds {labels.type}; labels are integers or text. "
                    f"Name another column under `label`, or write `label: null`."
                )
            if labels.null_count:
                row = labels.to_pylist().index(None)
                raise UserError(f"{file}, row {row}: column '{column}' is empty. Write `label: null` to go without.")
            values[split] += (labels.cast(pa.int64()) if types.is_integer(labels.type) else labels).to_pylist()
    kinds = {type(value) for column_values in values.values() for value in column_values}
    if len(kinds) > 1:
        raise UserError(f"Column '{column}' holds integers in some of the parquet files and text in others.")
    if kinds == {str}:
        return _class_indices(values)
    return {split: np.array(labels, dtype=np.int64) for split, labels in values.items()}


def _parquet_source(files: list[Path], column: str, labels: np.ndarray | None) -> Source:
    import pyarrow.compute as pc
    import pyarrow.types as types

    counts = []
    for file in files:
        with _open_parquet(file, column) as opened:
            kind = opened.schema_arrow.field(column).type
            counts.append(opened.metadata.num_rows)
        data = kind.field("bytes").type if types.is_struct(kind) and kind.get_field_index("bytes") >= 0 else kind
        if not (types.is_binary(data) or types.is_large_binary(data)):
            raise UserError(
                f"Column '{column}' of {file} holds {kind}, no images: those are a struct<bytes, path> or binary. "
                f"Name another column under `image`. Its columns are: {', '.join(opened.schema_arrow.names)}."
            )
    ends = np.cumsum(counts)

    def images() -> Iterator[Image.Image]:
        for file in files:
            with _open_parquet(file, column) as opened:
                for batch in opened.iter_batches(batch_size=256, columns=[column]):
                    values = batch.column(0)
                    if types.is_struct(values.type):
                        values = pc.struct_field(values, "bytes")
                    for value in values:
                        if not value.is_valid:
                            raise ValueError("it holds no bytes")
                        yield Image.open(io.BytesIO(value.as_py()), formats=FORMATS)

    def name(index: int) -> str:
        number = int(np.searchsorted(ends, index, side="right"))
        return f"{files[number]}, row {index - (ends[number] - counts[number])}"

    return Source(int(ends[-1]), labels, images, name)


# ---- folder


def _folder(settings: dict) -> dict[str, Source]:
    folders = {split: Path(settings[split]).expanduser() for split in SPLITS if settings.get(split)}
    if "test" in folders:
        train, test = (folders[split].resolve() for split in SPLITS)
        if train == test or train in test.parents or test in train.parents:
            raise UserError(
                f"The folders of train ({folders['train']}) and test ({folders['test']}) lie within one another, so "
                f"that images would be in both. Write two separate folders, or `test: null` to set images aside."
            )
    files, classes = {}, {}
    for split, folder in folders.items():
        files[split], classes[split] = _folder_files(folder)
    if len({names is None for names in classes.values()}) > 1:
        raise UserError(
            "One of the folders of train and test has a sub-folder a class, the other has not. Make them alike."
        )
    labels = {} if classes["train"] is None else _class_indices(classes)
    return {split: files_source(files[split], labels.get(split)) for split in folders}


def _warn_of_others(folder: Path) -> None:
    """Files that are no images by their names are left out, and that should not happen in silence."""
    others = Counter(path.suffix or path.name for path in find_files(folder, links=True) if not is_image(path))
    if others:
        counts = ", ".join(f"{count} {suffix}" for suffix, count in others.most_common(8))
        logger.warning("%s: files of other formats are left out: %s", folder, counts)


def _folder_files(folder: Path) -> tuple[list[Path], list[str] | None]:
    """All images sorted by class and path, and each one's class (None for a flat folder)."""
    if not folder.is_dir():
        raise UserError(
            f"The image folder '{folder}' does not exist (looked in {Path.cwd()}). Mend `folder` in the config."
        )
    _warn_of_others(folder)
    entries = sorted(item for item in folder.iterdir() if not item.name.startswith("."))
    flat = [item for item in entries if is_image(item) and item.is_file()]
    nested = {item.name: images_below(item, links=False) for item in entries if item.is_dir()}
    nested = {name: images for name, images in nested.items() if images}
    if flat and nested:
        raise UserError(
            f"'{folder}' holds {len(flat)} images itself (such as {flat[0].name}) and more in sub-folders "
            f"({', '.join(list(nested)[:5])}). Put every image into the sub-folder of its class, or all of them into "
            f"'{folder}' for a dataset without labels."
        )
    if not flat and not nested:
        raise UserError(f"'{folder}' holds no images ({', '.join(sorted(EXTENSIONS))}), nor do its sub-folders.")
    if flat:
        return flat, None
    return (
        [image for images in nested.values() for image in images],
        [name for name, images in nested.items() for _ in images],
    )


def files_source(files: list[Path], labels: np.ndarray | None) -> Source:
    """A split whose images are files of their own; ``labels`` is int64 (len(files),) or None."""

    def images() -> Iterator[Image.Image]:
        for file in files:
            with Image.open(file, formats=FORMATS) as image:
                yield image

    return Source(len(files), labels, images, lambda index: str(files[index]))


# ---- scikit-learn


def _sklearn(name: str) -> dict[str, Source]:
    from sklearn.datasets import load_digits

    if name != "digits":
        raise UserError(f"scikit-learn has no image dataset '{name}' that this workflow knows. Write `name: digits`.")
    digits = load_digits()
    # 17 levels, 0 to 16.
    images = np.rint(digits.images * 255 / 16).astype(np.uint8)
    labels = digits.target.astype(np.int64)
    return {"train": Source(len(images), labels, lambda: map(Image.fromarray, images), lambda index: f"digit {index}")}
