"""config/README.md, the schema and config.yaml say the same of every key."""

import copy
import re

import pytest
import yaml

from autoencoders.config import settings

# The page's sections, and the part of the schema that each is about.
SECTIONS = {
    "Top level": None,
    "datasets": "dataset",
    "models and model_defaults": "model",
    "experiments": "grid",
    "training": "training",
    "priors": "prior",
    "extractors": "extractors",
    "scoring": "scoring",
}
REQUIRED = "required"
# Keys whose own section has the rest; their rows are at the top level.
WITH_SECTION = {"training", "extractors", "scoring", "model_defaults"}


@pytest.fixture(scope="module")
def page(project) -> dict[str, dict[str, tuple[str, str]]]:
    """Section -> key -> (default, explanation), as the page's tables have them."""
    found = {}
    for part in re.split(r"^## ", (project / "config" / "README.md").read_text(), flags=re.MULTILINE)[1:]:
        heading, body = part.split("\n", 1)
        rows = [
            line.strip("| ").split(" | ") for line in body.split("\n### ")[0].splitlines() if line.startswith("| `")
        ]
        found[heading] = {}
        for names, *default, text in rows:
            for name in re.findall(r"`([\w.]+)`", names):
                assert name not in found[heading], f"{name} has two rows"
                found[heading][name] = (" | ".join(default).strip("` |"), text)
    return found


def leaves(schema: dict, definition: dict, prefix: str = "") -> dict[str, dict]:
    """Dotted key -> its part of the schema, with "required" where it is; of a mapping with known keys, those."""
    found = {}
    for key, part in definition["properties"].items():
        reference = schema["$defs"].get(part.get("$ref", "").rpartition("/")[2], {})
        merged = {**reference, **part, REQUIRED: key in definition.get("required", [])}
        if "properties" in merged and not (prefix == "" and key in WITH_SECTION):
            found |= leaves(schema, {**reference, **part}, f"{prefix}{key}.")
        else:
            found[prefix + key] = merged
    return found


@pytest.mark.parametrize("heading", SECTIONS)
def test_every_key_has_a_row_with_its_default(page, heading):
    schema = settings.read_schema()
    definition = schema["$defs"][SECTIONS[heading]] if SECTIONS[heading] else schema
    keys = leaves(schema, definition)
    assert set(page[heading]) == set(keys)
    for key, part in keys.items():
        default, text = page[heading][key]
        if part[REQUIRED]:
            assert default == REQUIRED, key
        elif "default" in part:
            assert yaml.safe_load(default) == part["default"], key
            assert type(yaml.safe_load(default)) is type(part["default"]), key
        else:
            assert default == "" and "left out" in text, key
        for value in choices(part):
            assert str(value) in text, f"{key}: {value}"


def choices(part: dict) -> list:
    return part.get("enum") or part.get("items", {}).get("enum") or []


def test_the_page_has_no_other_tables_of_keys(page):
    assert {heading for heading, rows in page.items() if rows} == set(SECTIONS)


def test_config_yaml_writes_the_defaults(project):
    """Its comments say that keys left out have the schema's defaults; those that it writes have them too."""
    config = yaml.safe_load((project / "config" / "config.yaml").read_text())
    bare = copy.deepcopy(config)
    for section in ("model_defaults", "training", "priors", "extractors", "scoring"):
        del bare[section]
    for key in ("seeds", "run_on", "cells_per_gpu", "checkpoint_minutes"):
        del bare[key]
    assert settings.resolve(bare) == settings.resolve(config)
