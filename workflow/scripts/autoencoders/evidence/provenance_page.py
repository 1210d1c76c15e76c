"""What the results come from, for people: code, machines, packages and the resolved config."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

import pandas as pd

from autoencoders.evidence.table_files import NO_VALUE, Section


def provenance_sections(record: Mapping, cells: Sequence[Mapping]) -> Iterator[Section]:
    """``record`` is the content of provenance.json, ``cells`` are those of the cell.json files."""
    yield Section(
        "Code and machines",
        f"The run was planned by code version {record['code']}. Each trained network records the version that it was "
        "trained by, and on what: on several devices where it went on elsewhere after an interruption. -dirty marks "
        "files that differ from that commit.",
        training_rows(cells),
    )
    yield Section(
        "Packages",
        "Versions where this page's record was written, and where the networks were trained.",
        package_rows(record["versions"], [cell["versions"] for cell in cells]),
    )
    # A record of before there were any has no such entry.
    if own := record.get("own_kinds"):
        yield Section(
            "Files of your own",
            "Priors, penalties and measures by files that do not come with this workflow, and their SHA-256.",
            pd.DataFrame(own.items(), columns=["File", "SHA-256"]),
        )
    yield Section(
        "Config",
        "Every setting of this run: what its config files and command line say, and the defaults of all else.",
        pd.DataFrame(settings(record["config"]), columns=["Key", "Value"]),
    )


def training_rows(cells: Iterable[Mapping]) -> pd.DataFrame:
    """A row for each code version and sequence of devices that networks were trained on, most networks first."""
    trained = Counter((cell["code"], ", then ".join(cell["trained_on"])) for cell in cells)
    rows = [(str(count), device, code) for (code, device), count in trained.most_common()]
    return pd.DataFrame(rows, columns=["Networks", "Trained on", "Code version"])


def package_rows(here: Mapping[str, str], training: Iterable[Mapping[str, str]]) -> pd.DataFrame:
    """A row a package: its version ``here`` and all those of ``training``."""
    there = {}
    for versions in training:
        for package, version in versions.items():
            there.setdefault(package, set()).add(version)
    rows = [
        (package, here.get(package, NO_VALUE), ", ".join(sorted(there.get(package, [NO_VALUE]))))
        for package in sorted(here.keys() | there.keys())
    ]
    return pd.DataFrame(rows, columns=["Package", "Record", "Training"])


def settings(config: object, key: str = "") -> Iterator[tuple[str, str]]:
    """Every setting of a config as its dotted key and its value: texts bare, all else as JSON."""
    if isinstance(config, Mapping) and config:
        for name, value in config.items():
            yield from settings(value, f"{key}.{name}" if key else name)
    elif isinstance(config, list) and any(isinstance(value, Mapping) for value in config):
        for number, value in enumerate(config):
            yield from settings(value, f"{key}[{number}]")
    else:
        yield key, config if isinstance(config, str) else json.dumps(config, ensure_ascii=False)
