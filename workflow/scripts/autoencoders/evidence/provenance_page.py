"""The provenance of the results for people: code, machines, packages and the resolved config."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

import pandas as pd

from autoencoders.evidence.table_files import NO_VALUE, Section


def provenance_sections(record: Mapping, cells: Sequence[Mapping]) -> Iterator[Section]:
    """``record`` is the content of provenance.json; ``cells`` are the contents of the cell.json files."""
    yield Section(
        "Code and machines",
        f"The run was planned with code version {record['code']}. Each network records the version and the device that "
        "trained it: several devices if training was resumed on another one. -dirty means that files differ from that "
        "commit.",
        training_rows(cells),
    )
    yield Section(
        "Packages",
        "Versions in the environment that wrote this record, and in those that trained the networks.",
        package_rows(record["versions"], [cell["versions"] for cell in cells]),
    )
    # Records of version 0.9 have no such entry.
    if own := record.get("own_kinds"):
        yield Section(
            "Files of your own",
            "Files outside this workflow that define priors, penalties or measures, with their SHA-256.",
            pd.DataFrame(own.items(), columns=["File", "SHA-256"]),
        )
    yield Section(
        "Config",
        "Every setting of this run, from its config files, the command line and the defaults.",
        pd.DataFrame(settings(record["config"]), columns=["Key", "Value"]),
    )


def training_rows(cells: Iterable[Mapping]) -> pd.DataFrame:
    """One row for each code version and sequence of training devices, most networks first."""
    trained = Counter((cell["code"], ", then ".join(cell["trained_on"])) for cell in cells)
    rows = [(str(count), device, code) for (code, device), count in trained.most_common()]
    return pd.DataFrame(rows, columns=["Networks", "Trained on", "Code version"])


def package_rows(here: Mapping[str, str], training: Iterable[Mapping[str, str]]) -> pd.DataFrame:
    """One row per package: its version ``here``, and all its versions in ``training``."""
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
    """Every setting of a config as its dotted key and its value: text unchanged, anything else as JSON."""
    if isinstance(config, Mapping) and config:
        for name, value in config.items():
            yield from settings(value, f"{key}.{name}" if key else name)
    elif isinstance(config, list) and any(isinstance(value, Mapping) for value in config):
        for number, value in enumerate(config):
            yield from settings(value, f"{key}[{number}]")
    else:
        yield key, config if isinstance(config, str) else json.dumps(config, ensure_ascii=False)
