"""Images that are here are looked at before the first job: a wrong column or crop ends a run at its start.

Snakemake's main process imports this. Its environment may lack what images are read with: then the rule
prepare_dataset says the same, as the first job.
"""

import importlib.util
import itertools
from collections.abc import Iterator
from pathlib import Path

from autoencoders import locations, settings
from autoencoders.errors import UserError

# So many new images of a folder are read at most, which takes seconds.
MOST = 2000


def find_misfits(config: dict) -> Iterator[str]:
    """A line for a results folder that is none, and for each dataset of a resolved config that runs and whose images do
    not fit what it says.

    Parquet files are checked for their columns; of each split one image is compared with the crop.
    """
    for key, folder in config["pathvars"].items():
        if not Path(folder).is_dir() and Path(folder).exists():
            yield f"pathvars.{key}: {folder} is a file. Write the path of a folder."
    if not all(map(importlib.util.find_spec, ("numpy", "PIL", "pyarrow"))):
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
    """Raises UserError for a folder without an image, and where the first that is found is smaller than the crop.

    ``info`` is the dataset.json that the preparation wrote, if it has. Images that have come since then are read: one
    that can't be would end the preparation after Snakemake has deleted what was prepared before, and all that was
    trained on that would be trained anew, although the image is removed again.
    """
    from autoencoders.preparation import prepare_split
    from autoencoders.sources import files_source

    for folder in filter(None, dataset["folder"].values()):
        # Not the first by name: to list a folder of many images takes seconds.
        found = list(itertools.islice(locations.find_images(Path(folder).expanduser()), 1))
        if not found:
            raise UserError(f"{folder!r} holds no images ({', '.join(sorted(locations.EXTENSIONS))}).")
        if dataset["crop"] is None:
            found = []
        if info.exists():
            every = locations.find_images(Path(folder).expanduser())
            # A file that was copied or moved here keeps the time when it was written, and has a new one of its entry.
            new = (path for path in every if path.stat().st_ctime > info.stat().st_mtime)
            found += itertools.islice(new, MOST)
        prepare_split(files_source(found, None), dataset["crop"], dataset["size"])
