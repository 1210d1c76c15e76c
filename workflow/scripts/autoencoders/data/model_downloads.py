"""Downloads of networks' weights from the Hugging Face Hub.

A branch of a repository can move, and scores by other weights compare with nothing. So the checksum of the first
download is recorded, and later downloads must have it too.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from autoencoders.data.downloads import HubFile, fetch_hub_file, open_hub, retried
from autoencoders.jobs.errors import UserError
from autoencoders.jobs.files import file_sha256, read_json, write_json

if TYPE_CHECKING:
    from huggingface_hub import HfFileSystem

logger = logging.getLogger(__name__)


def record_of(path: Path) -> Path:
    """The file that records what the first download to ``path`` was."""
    return path.with_name(f"{path.name}.json")


def fetch_model(address: str, path: str | Path) -> None:
    """Download the file ``hf://<owner>/<name>@<quoted revision>/<file>`` of a model's repository to ``path``.

    The first download writes a record beside it. Raises UserError if a later one would give a file with another
    checksum, and for all that `fetch_hub_file` does.
    """
    path = Path(path)
    record = record_of(path)
    recorded = read_json(record)["sha256"] if record.is_file() else None
    hub = open_hub()
    file = find_file(address, hub, path)
    if recorded and file.sha256 and file.sha256 != recorded:
        raise changed(address, file.sha256, recorded, record)
    fetch_hub_file(hub, file, path)
    found = file.sha256 or file_sha256(path)
    if recorded is None:
        write_json(record, {"address": address, "sha256": found, "bytes": file.size})
    elif found != recorded:
        path.unlink()
        raise changed(address, found, recorded, record)
    logger.info("its SHA-256 is %s, %s", found, "as recorded" if recorded else f"which {record} now records")


def find_file(address: str, hub: HfFileSystem, path: Path) -> HubFile:
    """A file in a model's repository. Raises UserError if there is none."""
    name = address.removeprefix("hf://")
    folder = name.rpartition("/")[0]
    advice = f"Check the extractor's model and revision. Or copy the file to {path} by hand."
    listed = retried(lambda: hub.find(f"{folder}/", detail=True), f"The list of files of {address}", advice)
    if name not in listed:
        raise UserError(f"{address}: the repository has no such file, but {', '.join(sorted(listed)[:8])}. {advice}")
    entry = listed[name]
    lfs = entry.get("lfs")
    return HubFile(name, name.removeprefix(f"{folder}/"), lfs.sha256 if lfs else None, entry["size"])


def changed(address: str, found: str, recorded: str, record: Path) -> UserError:
    return UserError(
        f"{address} has the SHA-256 {found} now, and had {recorded} when it was first downloaded: its repository has "
        "changed, and scores by the two files must not be mixed. Write the commit of the earlier file to the "
        f"extractor's `revision`, or the path of a copy to its `weights`. To accept the new file, delete {record}."
    )
