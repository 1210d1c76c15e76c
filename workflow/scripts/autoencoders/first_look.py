"""Images that are here are looked at before the first job: a wrong column or crop ends a run at its start.

Snakemake's main process imports this. Its environment may lack what images are read with: then the rule
prepare_dataset says the same, as the first job.
"""

import importlib.util
import itertools
import json
import time
from collections.abc import Iterator
from pathlib import Path

from autoencoders import locations, settings
from autoencoders.errors import UserError

# Seconds that new images are read for at most.
PATIENCE = 10


def find_misfits(config: dict) -> Iterator[str]:
    """A line for a results folder that is none, and for each dataset of a resolved config that runs and whose images do
    not fit what it says.

    Parquet files are checked for their columns; of each split one image is compared with the crop.
    """
    for key, folder in config["pathvars"].items():
        if not Path(folder).is_dir() and Path(folder).exists():
            yield f"pathvars.{key}: {folder} is a file. Write the path of a folder."
    if not all(map(importlib.util.find_spec, ("numpy", "PIL", "pyarrow", "sklearn"))):
        return
    for name in sorted({cell["dataset"] for cell in settings.cells(config)}):
        dataset = config["datasets"][name]
        try:
            if dataset["source"] == "parquet":
                look_at_parquet(dataset)
            elif dataset["source"] == "folder":
                look_at_folders(dataset, Path(config["pathvars"]["results"], "datasets", name, "dataset.json"))
        except UserError as error:
            yield f"datasets.{name}: {error}"


def look_at_parquet(dataset: dict) -> None:
    """Raises UserError for what `sources.load` does, and for first images that are smaller than the crop.

    Of files on the Hub, only how they are named is looked at.
    """
    # Imported here, like all that reads images: other datasets do not need it.
    from autoencoders.download import parse_hub
    from autoencoders.preparation import prepare_split
    from autoencoders.sources import load

    if locations.is_remote(dataset):
        files = [dataset["parquet"][split] for split in ("train", "test")]
        for pattern in itertools.chain.from_iterable(map(locations.patterns, files)):
            if locations.is_hub(pattern):
                parse_hub(pattern)
        return
    for source in load(dataset, folder="").values():
        if dataset["crop"] is not None:
            prepare_split(source, dataset["crop"], dataset["size"], limit=1)


def look_at_folders(dataset: dict, info: Path) -> None:
    """Raises UserError for a folder without an image, for what `sources.load` does, where the first image that is found
    is smaller than the crop, and for images that have come since the dataset was prepared and can't be read.

    ``info`` is the dataset.json of that preparation, if there was one. Such an image would end the next one after
    Snakemake has deleted what the last one made, and all that was trained on that would be trained anew, even if the
    image is removed again.
    """
    from autoencoders.preparation import prepare_split, read_images
    from autoencoders.sources import files_source, load

    folders = [Path(folder).expanduser() for folder in dataset["folder"].values() if folder is not None]
    for folder in folders:
        # Not the first by name: to list a folder of many images takes seconds.
        found = list(itertools.islice(locations.find_images(folder, links=True), 1))
        if not found:
            raise UserError(f"{str(folder)!r} holds no images ({', '.join(sorted(locations.EXTENSIONS))}).")
        if dataset["crop"] is not None:
            prepare_split(files_source(found, None), dataset["crop"], dataset["size"])
    if recorded_fingerprints(info) in (None, locations.fingerprints(dataset)):
        return
    sources = load(dataset, folder="")
    read = read_images(dataset, sources)
    files = [Path(sources[split].name(index)) for split, count in read.items() for index in range(count)]
    end = time.monotonic() + PATIENCE
    for file in sorted(files, key=lambda file: arrival(file, folders), reverse=True):
        if time.monotonic() > end:
            break
        prepare_split(files_source([file], None), dataset["crop"], dataset["size"])


def arrival(file: Path, folders: list[Path]) -> float:
    """About when a file came below one of ``folders``: it was written, linked or moved there, or its folder was."""
    moved = itertools.takewhile(lambda folder: folder not in folders, file.parents)
    return max(path.lstat().st_ctime for path in (file, *moved))


def recorded_fingerprints(info: Path) -> object:
    """Those of the images that a dataset was prepared from; None where it is not prepared, or does not say so."""
    try:
        return json.loads(info.read_text()).get("fingerprints")
    except (OSError, ValueError, AttributeError, RecursionError):
        return None  # Whoever computes with a broken file tells of it.
