"""config/README.md, the schema, the kinds and config.yaml agree on every key, and the page's examples work."""

import copy
import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml
from running import laid_over

from autoencoders.config import settings
from autoencoders.jobs import kinds

# The page's sections, and the part of the schema that each describes.
SECTIONS = {
    "Top level": None,
    "datasets": "dataset",
    "models and model_defaults": "model",
    "experiments": "grid",
    "training": "training",
    "priors": "prior",
    "measures": "measure",
    "extractors": "extractors",
    "scoring": "scoring",
}
# Sections whose entries have the options of their kinds.
WITH_KINDS = ("priors", "measures")
REQUIRED = "required"
# Keys with a section of their own, beside their row at the top level.
WITH_SECTION = {"training", "extractors", "scoring", "model_defaults"}


@pytest.fixture(scope="module")
def page(project) -> dict[str, dict[str, tuple[str, str]]]:
    """Section -> key -> (default, explanation), from the page's tables."""
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
    """Dotted key -> its part of the schema, with "required"; a mapping with known keys is replaced by these."""
    found = {}
    for key, part in definition["properties"].items():
        reference = schema["$defs"].get(part.get("$ref", "").rpartition("/")[2], {})
        merged = {**reference, **part, REQUIRED: key in definition.get("required", [])}
        if "properties" in merged and not (prefix == "" and key in WITH_SECTION):
            found |= leaves(schema, {**reference, **part}, f"{prefix}{key}.")
        else:
            found[prefix + key] = merged
    return found


def options_of_kinds(group: str) -> dict[str, dict]:
    """KIND.OPTION -> its part of the schema, for the built-in kinds."""
    return {
        f"{kind}.{name}": {**part, REQUIRED: "default" not in part}
        for kind in kinds.names(group)
        for name, part in kinds.options(kinds.load(group, kind)).items()
    }


@pytest.mark.parametrize("heading", SECTIONS)
def test_every_key_has_a_row_with_its_default(page, heading):
    schema = settings.read_schema()
    definition = schema["$defs"][SECTIONS[heading]] if SECTIONS[heading] else schema
    keys = leaves(schema, definition)
    if heading in WITH_KINDS:
        keys["kind"]["enum"] = kinds.names(heading)
        keys |= options_of_kinds(heading)
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
        for value in part.get("enum") or part.get("items", {}).get("enum") or []:
            assert str(value) in text, f"{key}: {value}"


def test_the_page_has_a_row_for_every_option_of_a_kind_and_no_other_tables(page):
    assert set(options_of_kinds("sources")) <= set(page["datasets"])
    assert set(page["extractors"]) == set(options_of_kinds("extractors"))
    assert {heading for heading, rows in page.items() if rows} == set(SECTIONS)
    # Penalties are described in one row.
    _, text = page["models and model_defaults"]["penalties"]
    for key in [*settings.read_schema()["$defs"]["penalty"]["properties"], *options_of_kinds("penalties")]:
        assert f"{key}:" in text, key


def own(entries: dict) -> dict:
    """The entry whose kind is a file."""
    (entry,) = [entry for entry in entries.values() if kinds.is_file(entry["kind"])]
    return entry


def test_the_pages_examples_of_kinds_work(project, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = (project / "config" / "README.md").read_text()
    examples = re.findall(r"^```ya?ml\n(.*?)^```", text, re.M | re.S)
    for block in re.findall(r"^```python\n(.*?)^```", text, re.M | re.S):
        path = tmp_path / re.match(r"# (\S+\.py)\n", block)[1]
        path.parent.mkdir(exist_ok=True)
        path.write_text(block)
    config = yaml.safe_load((project / "config" / "config.yaml").read_text())
    config = settings.resolve(laid_over(config, *map(yaml.safe_load, examples)))
    random, torch_random = np.random.default_rng(0), torch.Generator().manual_seed(0)
    entry = own({name: entry for model in config["models"].values() for name, entry in model["penalties"].items()})
    step = SimpleNamespace(codes=torch.randn(4, 3, generator=torch_random))
    loss = kinds.load("penalties", entry["kind"]).penalty(step, entry)
    assert loss.shape == () and loss > 0
    entry = own(config["priors"])
    prior, codes = kinds.load("priors", entry["kind"]), random.normal(size=(50, 3)).astype(np.float32)
    fitted = prior.fit(codes, entry, seed=0, device="cpu", checkpoint=None)
    assert prior.sample(fitted, 7, random).shape == (7, 3)
    entry = own(config["measures"])
    features, reference = (torch.randn(20, 5, generator=torch_random) for _ in range(2))
    measure = kinds.load("measures", entry["kind"]).measure
    assert float(measure(features, reference, entry, prepared={}, random=random)) > 0
    assert float(measure(features, features, entry, prepared={}, random=random)) == pytest.approx(0, abs=1e-3)


def test_config_yaml_repeats_the_defaults_of_the_schema(project):
    config = yaml.safe_load((project / "config" / "config.yaml").read_text())
    bare = {key: copy.deepcopy(config[key]) for key in ("datasets", "models", "experiments", "run")}
    assert settings.resolve(bare) == settings.resolve(config)
