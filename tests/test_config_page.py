"""config/README.md, the schema, the kinds and config.yaml agree on every key, and the page's examples are accepted."""

import copy
import re

import pytest
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
    "extractors": "extractor",
    "scoring": "scoring",
    "Images made elsewhere": "external",
}
REQUIRED = "required"


@pytest.fixture(scope="module")
def page(project) -> dict[str, dict[str, tuple[str, str]]]:
    """Section -> key -> (default, explanation), from the page's tables."""
    found = {}
    for part in re.split(r"^## ", (project / "config" / "README.md").read_text(encoding="utf-8"), flags=re.MULTILINE)[
        1:
    ]:
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


def leaves(definition: dict, prefix: str = "") -> dict[str, dict]:
    """Dotted key -> its part of the schema, with "required"; a mapping with known keys is replaced by these."""
    found = {}
    for key, part in definition["properties"].items():
        if "properties" in part:
            found |= leaves(part, f"{prefix}{key}.")
        else:
            found[prefix + key] = {**part, REQUIRED: key in definition.get("required", [])}
    return found


@pytest.mark.parametrize("heading", SECTIONS)
def test_every_key_has_a_row_with_its_default(page, heading):
    schema = settings.read_schema()
    keys = leaves(schema["$defs"][SECTIONS[heading]] if SECTIONS[heading] else schema)
    if heading in settings.NAMED:
        keys["kind"]["enum"] = kinds.names(heading)
        for kind in kinds.names(heading):
            keys |= leaves(settings.section(heading, kind), f"{kind}.")
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


def test_the_page_has_no_other_tables_and_describes_penalties_in_one_row(page):
    assert {heading for heading, rows in page.items() if rows} == set(SECTIONS)
    _, text = page["models and model_defaults"]["penalties"]
    for key in settings.read_schema()["$defs"]["penalty"]["properties"]:
        assert f"{key}:" in text, key


def test_the_pages_examples_of_kinds_are_accepted(project, tmp_path, monkeypatch):
    """tests/test_own_kinds.py runs them."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "kinds").mkdir()
    (tmp_path / "path" / "to" / "images").mkdir(parents=True)
    (tmp_path / "path" / "to" / "samples-0.parquet").touch()
    text = (project / "config" / "README.md").read_text(encoding="utf-8")
    files = dict(re.findall(r"^```python\n# (\S+\.py)\n(.*?)^```", text, re.M | re.S))
    for path, block in files.items():
        (tmp_path / path).write_text(block, encoding="utf-8")
    examples = re.findall(r"^```ya?ml\n(.*?)^```", text, re.M | re.S)
    config = yaml.safe_load((project / "config" / "config.yaml").read_text(encoding="utf-8"))
    config = settings.resolve(laid_over(config, *map(yaml.safe_load, examples)))
    assert {entry["kind"] for *_, entry in settings.entries(config) if kinds.is_file(entry["kind"])} == set(files)


def test_config_yaml_repeats_the_defaults_of_the_schema(project):
    config = yaml.safe_load((project / "config" / "config.yaml").read_text(encoding="utf-8"))
    # The only entries that are described for those who want them.
    del config["extractors"]["dinov2"], config["priors"]["target_gmm"], config["models"]["gmm-dae"]["native_prior"]
    bare = {key: copy.deepcopy(config[key]) for key in ("datasets", "models", "experiments", "run")}
    assert settings.resolve(bare) == settings.resolve(config)
