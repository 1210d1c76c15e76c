"""The config: validated before any job runs, and completed with defaults.

Snakemake's own process imports this module, so it may import only packages that Snakemake depends on.
"""

import contextlib
import copy
import difflib
import functools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import jsonschema
import yaml

from autoencoders.config.checks import by_width, compared_sizes, find_contradictions
from autoencoders.config.grid import as_list
from autoencoders.config.tuning import add_settings, complete_validation
from autoencoders.jobs import kinds
from autoencoders.jobs.errors import UserError

SCHEMA_FILE = Path(__file__).parents[3] / "schemas" / "config.schema.yaml"
# The parts of the config with entries of a name and a kind.
NAMED = ("priors", "measures", "extractors")


def resolve(config: dict, command_line: Mapping | None = None) -> dict:
    """A copy of the config with every default filled in. Raises UserError with a line for each fault.

    ``command_line`` is the part of the config that was given on the command line (``with_numbers``).
    """
    if command_line:
        config = with_numbers(config, command_line)
    config = without_nulls(copy.deepcopy(config))
    # Validated before `model_defaults` is merged into models, so that messages name the key that the user wrote.
    faults = [describe_fault(*found) for found in find_errors(copy.deepcopy(config))]
    if not faults:
        shared = config.get("model_defaults", {})
        config["models"] = {name: neutral({**shared, **model}) for name, model in config["models"].items()}
        refuse(complete_validation(config))
        # Validation also fills in defaults.
        list(find_errors(config))
        faults = list(add_settings(config))
        for name, dataset in config["datasets"].items():
            if dataset["comparison_latent"] is None:
                sizes = compared_sizes(config, name) or sorted(as_list(dataset["latent"]))
                dataset["comparison_latent"] = sizes[len(sizes) // 2]
        faults += find_contradictions(config)
    refuse(faults)
    config["cells_per_gpu"] = dict(by_width(config["cells_per_gpu"]))
    return config


def with_numbers(config: dict, command_line: Mapping) -> dict:
    """A copy of the config in which text from the command line is a number, true, false or null where one is wanted.

    Snakemake leaves everything inside the braces and brackets of --config as text. Text in a config file, and text
    where text is allowed, is kept.
    """
    config = copy.deepcopy(config)
    widths, given = config.get("cells_per_gpu"), command_line.get("cells_per_gpu")
    for width in widths.keys() & given.keys() if isinstance(widths, dict) and isinstance(given, dict) else ():
        # Otherwise the width could appear twice: as text, and as a number from a config file.
        if isinstance(width, str) and width.isdecimal():
            widths.pop(int(width), None)
    converted = True
    while converted:
        converted = False
        for error, _, place in find_errors(without_nulls(copy.deepcopy(config))):
            for cause in causes(error):
                *outer, key = [*place, *cause.absolute_path] or [None]
                text = value_at(command_line, [*outer, key])
                if isinstance(text, str) and text == value_at(config, [*outer, key]):
                    value = read(text)
                    # null removes an entry (`without_nulls`).
                    removed = value is None and outer[-1:] in ([group] for group in (*NAMED, "penalties", "external"))
                    if removed or (value is not text and is_wanted(value, cause)):
                        value_at(config, outer)[key] = value
                        converted = True
    return config


def causes(error: jsonschema.ValidationError | UserError) -> Iterator[jsonschema.ValidationError]:
    """The faults of single values behind an error: `anyOf` has some for each of its alternatives."""
    if isinstance(error, jsonschema.ValidationError):
        yield error
        for part in error.context:
            yield from causes(part)


def value_at(config: object, steps: Iterable) -> object:
    """The value at a place of a config; None if there is none."""
    for step in steps:
        try:
            config = config[step] if isinstance(config, dict | list) else None
        except (KeyError, IndexError):
            return None
    return config


def read(text: str) -> object:
    """Text as Snakemake reads a number outside of braces, or as true, false or null; otherwise unchanged."""
    for parse in (int, float):
        with contextlib.suppress(ValueError):
            return parse(text)
    return {"true": True, "false": False, "null": None}.get(text.lower(), text)


def is_wanted(value: object, error: jsonschema.ValidationError) -> bool:
    """Whether a value has a type that is allowed where text was refused, even if the value itself is not."""
    if error.validator == "enum":
        return type(value) in map(type, error.validator_value)
    types = {bool: {"boolean"}, int: {"integer", "number"}, float: {"integer", "number"}, type(None): {"null"}}
    return error.validator == "type" and not types.get(type(value), set()).isdisjoint(as_list(error.validator_value))


def without_nulls(config: dict) -> dict:
    """The config without priors, measures, extractors, penalties and images made elsewhere that are null, which removes
    those of another config file. A prior that is removed is no model's native prior.
    """
    models = config.get("models")
    models = models.values() if isinstance(models, dict) else []
    priors = config.get("priors")
    removed = [name for name, entry in priors.items() if entry is None] if isinstance(priors, dict) else []
    models = [model for model in [config.get("model_defaults"), *models] if isinstance(model, dict)]
    for model in models:
        if model.get("native_prior") in removed:
            model["native_prior"] = None
    owners = [(config, group) for group in (*NAMED, "external")]
    owners += [(model, "penalties") for model in models]
    for owner, key in owners:
        if isinstance(owner.get(key), dict):
            owner[key] = {name: entry for name, entry in owner[key].items() if entry is not None}
    return config


def entries(config: Mapping) -> Iterator[tuple[tuple[str, ...], str, dict]]:
    """Every prior, measure, extractor and penalty of a config: its path, its group, and its options."""
    for group in NAMED:
        for name, entry in config.get(group, {}).items():
            yield (group, name), group, entry
    for key, models in (("models", config["models"]), ("model_defaults", {"": config.get("model_defaults", {})})):
        for model, recipe in models.items():
            for name, entry in recipe.get("penalties", {}).items():
                yield tuple(filter(None, (key, model, "penalties", name))), "penalties", entry


def find_errors(config: dict) -> Iterator[tuple[jsonschema.ValidationError | UserError, dict, tuple[str, ...]]]:
    """Validate a config, and fill in its defaults. Yields each error, the schema that it comes from, and the place that
    this schema describes.

    Priors, measures, extractors and penalties are validated against the options of their kinds, if there is no other
    error.
    """
    schema, valid = read_schema(), True
    for error in filling_validator(schema).iter_errors(config):
        valid = False
        yield error, schema, ()
    if valid:
        name_extractors(config["extractors"])
    for path, group, entry in entries(config) if valid else ():
        try:
            schema = entry_schema(group, entry["kind"])
        except UserError as error:
            yield error, {}, (*path, "kind")
            continue
        for error in filling_validator(schema).iter_errors(entry):
            yield error, schema, path


def name_extractors(extractors: dict[str, dict]) -> None:
    """Give each extractor its kind, by default its name, and add the kinds that are not listed and need no option."""
    for kind in kinds.names("extractors"):
        if all("default" in part for part in kinds.options(kinds.load("extractors", kind)).values()):
            extractors.setdefault(kind, {})
    for name, entry in extractors.items():
        entry.setdefault("kind", name)


def entry_schema(group: str, kind: str) -> dict:
    """The schema of an entry of a kind. Raises UserError if there is no such kind, or it can't be used."""
    definition = {"penalties": "penalty", "priors": "prior", "measures": "measure", "extractors": "extractor"}[group]
    properties = read_schema()["$defs"][definition]["properties"]
    own = kinds.options(kinds.load(group, kind))
    try:
        jsonschema.Draft202012Validator.check_schema({"properties": own})
    except jsonschema.SchemaError as error:
        raise UserError(f"OPTIONS of {kind} is not valid JSON Schema: {error.message}.") from None
    if taken := properties.keys() & own.keys():
        raise UserError(f"OPTIONS of {kind} has {min(taken)!r}, a key of every entry. Give it another name.")
    own = {name: {"description": f"a value that OPTIONS of {kind} allows"} | part for name, part in own.items()}
    own = {name: either(part) if part.get("by_dataset") else part for name, part in own.items()}
    required = [*properties, *(name for name, part in own.items() if "default" not in part)]
    return {
        "type": "object",
        "description": f"the options of the kind {kind}",
        "additionalProperties": False,
        "required": required,
        "properties": properties | own,
        "$defs": read_schema()["$defs"],
    }


def either(part: dict) -> dict:
    """The schema of an option with one value, or with one for each dataset; errors quote the option's description."""
    values = {"type": "object", "minProperties": 1, "additionalProperties": part}
    about = {key: part[key] for key in ("default", "before") if key in part}
    what = f"{part['description']}; or one for each dataset, as in {{cifar10: ..., celeba: ...}}"
    return about | {"description": what, "anyOf": [part, values]}


def refuse(faults: Iterable[str]) -> None:
    """Raise UserError with a line for each fault, if there are any."""
    lines = [f"  {fault}" for fault in dict.fromkeys(faults)]
    if lines:
        raise UserError("\n".join(["the config can't be used:", *lines]))


def repeated_keys(files: Iterable[str | Path]) -> Iterator[str]:
    """A message for each key that appears twice in a mapping of a config file: YAML silently keeps the last one."""
    for file in files:
        try:
            nodes, seen = [yaml.compose(Path(file).read_text(encoding="utf-8"), Loader=yaml.SafeLoader)], set()
        except yaml.YAMLError:
            # JSON indented by tabs: Snakemake has read the file, since it tries JSON first.
            continue
        while nodes:
            node = nodes.pop()
            # A node reached again through an alias, or an empty file.
            if node is None or id(node) in seen:
                continue
            seen.add(id(node))
            if isinstance(node, yaml.SequenceNode):
                nodes += node.value
            elif isinstance(node, yaml.MappingNode):
                lines = {}
                for key, value in node.value:
                    nodes += [key, value]
                    name = (key.tag, str(key.value))
                    if name in lines:
                        yield (
                            f"{file}, line {key.start_mark.line + 1}: the key {key.value!r} is already on line "
                            f"{lines[name]}. Write each key once: the last one would win."
                        )
                    lines[name] = key.start_mark.line + 1


@functools.cache
def read_schema() -> dict:
    """The schema of the config, with a section for each kind of source, as described by its file."""
    schema = yaml.safe_load(SCHEMA_FILE.read_text(encoding="utf-8"))
    dataset = schema["$defs"]["dataset"]["properties"]
    for kind in kinds.names("sources"):
        dataset[kind] = section("sources", kind)
    dataset["source"]["enum"] = kinds.names("sources")
    return schema


def section(group: str, kind: str) -> dict:
    """The schema of the section of a source, or of the options of another kind."""
    module = kinds.load(group, kind)
    options = kinds.options(module)
    examples = ", ".join(f"{name}: {part.get('default')}" for name, part in options.items())
    return {
        "type": "object",
        "description": kinds.needs(module, "DESCRIPTION", f"as in {{{examples}}}"),
        "additionalProperties": False,
        "required": [name for name, part in options.items() if "default" not in part],
        "properties": options,
    }


def neutral(model: dict) -> dict:
    """Neutral values for a VAE's own options if the model is none, so that changing them reruns nothing."""
    if model.get("variational"):
        return model
    return {**model, "beta": 0, "kl_reduction": "mean", "codes": "mean", "reconstructions": "mean"}


def filling_validator(schema: dict) -> jsonschema.protocols.Validator:
    """A validator that also fills in the defaults of missing keys."""
    check_properties = jsonschema.Draft202012Validator.VALIDATORS["properties"]

    def fill_and_check(validator, properties, instance, subschema):
        if isinstance(instance, dict):
            for key, value in properties.items():
                if "default" in value:
                    instance.setdefault(key, copy.deepcopy(value["default"]))
        yield from check_properties(validator, properties, instance, subschema)

    def is_integer(_, value: object) -> bool:
        # JSON Schema counts 32.0 as an integer, but it would give another path than 32.
        return isinstance(value, int) and not isinstance(value, bool)

    def is_finite(_, value: object) -> bool:
        # YAML's .nan is neither below nor above any minimum.
        return is_integer(_, value) or (isinstance(value, float) and math.isfinite(value))

    types = jsonschema.Draft202012Validator.TYPE_CHECKER.redefine_many({"integer": is_integer, "number": is_finite})
    validator = jsonschema.validators.extend(
        jsonschema.Draft202012Validator, {"properties": fill_and_check}, type_checker=types
    )
    return validator(schema)


def describe_fault(error: jsonschema.ValidationError | UserError, schema: dict, place: Sequence[str]) -> str:
    """One line for people: the key, what is wrong, what to write. ``schema`` describes the value at ``place``."""
    if isinstance(error, UserError):
        return f"{join_path(place)}: {error}"
    path = join_path([*place, *error.absolute_path])
    advice = deepest_description(error.absolute_schema_path, schema)
    write = f" Write {advice}." if advice else ""
    if error.validator == "additionalProperties":
        known = list(error.schema.get("properties", {}))
        unknown = [key for key in error.instance if key not in known]
        close = difflib.get_close_matches(str(unknown[0]), known, n=1)
        guess = f" Did you mean {close[0]!r}?" if close else ""
        key = join_path([*place, *error.absolute_path, unknown[0]])
        return f"{key} is not a key.{guess} Keys here: {', '.join(known)}."
    if error.validator == "required":
        missing = next(key for key in error.validator_value if key not in error.instance)
        return f"{path or 'the config'} lacks the key {missing!r}.{write}"
    if error.validator == "enum":
        allowed = list(map(str, error.validator_value))
        close = difflib.get_close_matches(str(error.instance), allowed, n=1)
        guess = f" Did you mean {close[0]!r}?" if close else ""
        if str(error.instance) in allowed:
            guess = f" Write it {'without' if isinstance(error.instance, str) else 'in'} quotes."
        return f"{path}: {shown(error.instance)} is not one of {', '.join(allowed)}.{guess}"
    if isinstance(error.instance, dict | list) and not error.instance:
        return f"{path} is empty.{write}"
    hint = ""
    texts = [value for value in as_list(error.instance) if isinstance(value, str)]
    if error.validator != "pattern" and any(map(is_number, texts)):
        hint = " It is text, not a number: write it without quotes, and with a point before an exponent (1.0e-3)."
    if (number := whole(error.instance)) is not None and fits(number, error.schema, schema):
        hint = f" Write {number}."
    text_wanted = error.validator == "type" and "string" in as_list(error.validator_value)
    if text_wanted and not isinstance(error.instance, dict | list):
        hint = " YAML reads it as a number, true, false or null: write it in quotes."
    return f"{path}: {shown(error.instance)} can't be used here.{write}{hint}"


def whole(value: object) -> int | None:
    """A whole number that is written in another way, as 1e4 is, or 10000.0."""
    if not isinstance(value, str | float) or not is_number(str(value)) or not float(value).is_integer():
        return None
    number = int(float(value))
    return None if str(number) == value else number


def fits(value: object, part: dict, schema: dict) -> bool:
    """Whether ``part`` of the schema takes a value."""
    return jsonschema.Draft202012Validator({**part, "$defs": schema.get("$defs", {})}).is_valid(value)


def shown(value: object) -> str:
    """A value as messages quote it: truncated if long."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def deepest_description(schema_path, schema: dict) -> str | None:
    """The innermost `description` on the path to the part of the schema that an error comes from."""
    node, description = schema, schema.get("description")
    for step in schema_path:
        # The paths of jsonschema's errors leave out "$ref".
        while isinstance(node, dict) and step not in node and "$ref" in node:
            node = schema["$defs"][node["$ref"].rsplit("/", 1)[1]]
            description = node.get("description", description)
        node = node[step]
        if isinstance(node, dict) and isinstance(node.get("description"), str):
            description = node["description"]
    return description


def join_path(steps) -> str:
    """("experiments", "width", 0, "filters") as experiments.width[0].filters."""
    text = ""
    for step in steps:
        text += f"[{step}]" if isinstance(step, int) else f".{step}"
    return text.removeprefix(".")


def is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
