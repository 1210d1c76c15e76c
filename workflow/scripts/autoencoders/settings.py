"""The config: checked against its schema before any job, defaults filled, experiments expanded to cells.

Snakemake's own process imports this module, so it needs nothing but what Snakemake brings along.
"""

import copy
import difflib
import functools
import itertools
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import jsonschema
import yaml

from autoencoders.errors import UserError
from autoencoders.grid import as_list, cells, experiment_cells
from autoencoders.labels import CELL_KEYS, NOT_PRIORS
from autoencoders.locations import find_images, is_hub, local_files, patterns

SCHEMA_FILE = Path(__file__).parents[2] / "schemas" / "config.schema.yaml"
# Priors of these names are the paper's, in tables and claims alike.
KINDS = ("standard_normal", "mvg", "gmm")
# The figures of the paper's experiments by their number (Figures 2 and 5 are the same plot); others have their name.
PAPER_FIGURES = {"width": "figure1", "depth": "figure2_5", "frozen": "figure3", "normalisation": "figure4"}
# The experiment whose codes are drawn (Figures A.1 and A.2), and not its scores.
SCATTER = "scatter"
# A prior's name becomes a column beside these.
TABLE_COLUMNS = {*CELL_KEYS, *NOT_PRIORS, "setting", "extractor", "source", "prior", "seeds", "status"}
TABLE_COLUMNS |= {"frechet_distance", "metric"}
# The shorter side, in pixels, of images that are the same everywhere.
SIDES = {"CIFAR10": 32, "CIFAR100": 32, "CelebA": 178, "digits": 8}


def resolve(config: dict) -> dict:
    """The config with every default filled in, after every check. Raises UserError, a line for each fault."""
    schema = read_schema()
    validator = filling_validator(schema)
    config = copy.deepcopy(config)
    if isinstance(config.get("priors"), dict):
        # Laid over another config, null takes a prior away.
        config["priors"] = {name: prior for name, prior in config["priors"].items() if prior is not None}
    # Checked as it was written, for messages that name the user's own key.
    faults = [describe_fault(error, schema) for error in validator.iter_errors(copy.deepcopy(config))]
    if not faults:
        shared = config.get("model_defaults", {})
        config["models"] = {name: neutral({**shared, **model}) for name, model in config["models"].items()}
        # Run for the defaults that it fills in.
        list(validator.iter_errors(config))
        for name, dataset in config["datasets"].items():
            if dataset["comparison_latent"] is None:
                sizes = compared_sizes(config, name) or sorted(as_list(dataset["latent"]))
                dataset["comparison_latent"] = sizes[len(sizes) // 2]
        faults = list(find_contradictions(config))
    refuse(faults)
    config["cells_per_gpu"] = dict(by_width(config["cells_per_gpu"]))
    return config


def refuse(faults: Iterable[str]) -> None:
    """Raises UserError with a line for each fault, if there are any."""
    lines = [f"  {fault}" for fault in dict.fromkeys(faults)]
    if lines:
        raise UserError("\n".join(["the config can't be used:", *lines]))


def repeated_keys(files: Iterable[str | Path]) -> Iterator[str]:
    """A line for each key that stands twice in one mapping of a config file: YAML keeps the last one without a word."""
    for file in files:
        try:
            nodes, seen = [yaml.compose(Path(file).read_text(encoding="utf-8"), Loader=yaml.SafeLoader)], set()
        except yaml.YAMLError:
            # JSON that is indented by tabs: Snakemake, which has read the file, tries JSON first.
            continue
        while nodes:
            node = nodes.pop()
            # A node that an alias names again, or an empty file.
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
                            f"{file}, line {key.start_mark.line + 1}: the key {key.value!r} is on line {lines[name]} "
                            "already. Write each key once: the last one would win."
                        )
                    lines[name] = key.start_mark.line + 1


@functools.cache
def read_schema() -> dict:
    return yaml.safe_load(SCHEMA_FILE.read_text())


def neutral(model: dict) -> dict:
    """A model without the options of a KL term that it has not: what is written for them changes and reruns nothing."""
    if model.get("variational"):
        return model
    return {**model, "beta": 0, "kl_reduction": "mean", "codes": "mean"}


def filling_validator(schema: dict) -> jsonschema.protocols.Validator:
    """A validator that fills in the defaults of the keys that are missing, as it meets them."""
    check_properties = jsonschema.Draft202012Validator.VALIDATORS["properties"]

    def fill_and_check(validator, properties, instance, subschema):
        if isinstance(instance, dict):
            for key, value in properties.items():
                if "default" in value:
                    instance.setdefault(key, copy.deepcopy(value["default"]))
        yield from check_properties(validator, properties, instance, subschema)

    def is_integer(_, value: object) -> bool:
        # JSON Schema takes 32.0 for an integer; as a part of a path it is another name than 32.
        return isinstance(value, int) and not isinstance(value, bool)

    def is_finite(_, value: object) -> bool:
        # YAML's .nan is neither below nor above any minimum.
        return is_integer(_, value) or (isinstance(value, float) and math.isfinite(value))

    types = jsonschema.Draft202012Validator.TYPE_CHECKER.redefine_many({"integer": is_integer, "number": is_finite})
    validator = jsonschema.validators.extend(
        jsonschema.Draft202012Validator, {"properties": fill_and_check}, type_checker=types
    )
    return validator(schema)


def describe_fault(error: jsonschema.ValidationError, schema: dict) -> str:
    """One line for people: the key, what is wrong with it, what to write."""
    path = join_path(error.absolute_path)
    advice = deepest_description(error.absolute_schema_path, schema)
    write = f" Write {advice}." if advice else ""
    if error.validator == "additionalProperties":
        known = list(error.schema.get("properties", {}))
        unknown = [key for key in error.instance if key not in known]
        close = difflib.get_close_matches(str(unknown[0]), known, n=1)
        guess = f" Did you mean {close[0]!r}?" if close else ""
        return f"{join_path([*error.absolute_path, unknown[0]])} is not a key.{guess} Keys here: {', '.join(known)}."
    if error.validator == "required":
        missing = next(key for key in error.validator_value if key not in error.instance)
        return f"{path or 'the config'} lacks the key {missing!r}.{write}"
    if error.validator == "enum":
        close = difflib.get_close_matches(str(error.instance), map(str, error.validator_value), n=1)
        guess = f" Did you mean {close[0]!r}?" if close else ""
        return f"{path}: {shown(error.instance)} is none of {', '.join(map(str, error.validator_value))}.{guess}"
    if isinstance(error.instance, dict | list) and not error.instance:
        return f"{path} is empty.{write}"
    hint = ""
    texts = [value for value in as_list(error.instance) if isinstance(value, str)]
    if error.validator != "pattern" and any(map(is_number, texts)):
        hint = " It is text, not a number: write it without quotes, with a point before an exponent (1.0e-3), and in a"
        hint += " file given by --configfile (numbers inside the braces of --config arrive as text)."
    text_wanted = error.validator == "type" and "string" in as_list(error.validator_value)
    if text_wanted and not isinstance(error.instance, dict | list):
        hint = " It is no text to YAML, but a number, true, false or null: write it in quotes."
    return f"{path}: {shown(error.instance)} can't be used here.{write}{hint}"


def shown(value: object) -> str:
    """A value as messages quote it: its beginning, where it is long."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def deepest_description(schema_path, schema: dict) -> str | None:
    """The last `description` on the way to the part of the schema that an error comes from."""
    node, description = schema, None
    for step in schema_path:
        # jsonschema leaves "$ref" out of its paths.
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


def find_contradictions(config: dict) -> Iterator[str]:
    """What a schema can't see: names that point nowhere, files that are missing, parts that do not fit together."""
    wrong_names = list(check_names(config))
    yield from wrong_names
    for name in config["priors"]:
        # Beside a prior's column stand those of its spread and of the paper's values.
        if name.endswith(("_sd", "_published", "_difference", "_confidence")) or name in TABLE_COLUMNS:
            yield f"priors.{name}: tables have a column of this name already. Write another name."
        if name in KINDS and config["priors"][name]["kind"] != name:
            yield f"priors.{name}: this name is the paper's prior of that kind. Write kind: {name}, or another name."
    yield from check_schedule(config["training"])
    yield from check_cells_per_gpu(config["cells_per_gpu"])
    found = cells(config, known_only=True)
    if not found and not wrong_names:
        yield (
            f"run_on: no experiment of run = {config['run']} has a cell on {', '.join(config['run_on'])}. "
            "Write a dataset that their grids name, or null for all."
        )
    used = {cell["dataset"] for cell in found}
    for name in sorted(used):
        yield from check_dataset(name, config["datasets"][name])
        yield from check_comparison(name, config["datasets"][name]["comparison_latent"], config)
    if SCATTER in config["run"]:
        yield from check_scatter(experiment_cells(config, SCATTER, known_only=True))
    if config["training"]["batch_size"] == 1:
        for name in sorted({cell["model"] for cell in found}):
            if config["models"][name]["latent_norm"] == "batch":
                yield f"training.batch_size: the model {name} normalises its codes over a batch. Write at least 2."
    weights = config["extractors"]["inception"]["weights"]
    needed = any("inception" in config["datasets"][name]["extractors"] for name in used)
    if needed and weights is not None and not Path(weights).expanduser().is_file():
        yield (
            f"extractors.inception.weights: there is no file {weights!r}. Write the path of pytorch-fid's "
            "pt_inception-2015-12-05-6726825d.pth, or null to have it downloaded."
        )


def check_names(config: dict) -> Iterator[str]:
    """Names that point nowhere, and what else is wrong with the grids."""

    def unknown(path: str, name: str, kind: str) -> str:
        close = difflib.get_close_matches(name, config[kind], n=1)
        guess = f" Did you mean {close[0]!r}?" if close else ""
        known = f"There are: {', '.join(config[kind])}."
        if kind == "datasets" and not close:
            known += " For another config's, name both behind one flag: --configfile config/demo.yaml mine.yaml"
        return f"{path}: there is no {kind.removesuffix('s')} {name!r}.{guess} {known}"

    for index, name in enumerate(config["run"]):
        if name not in config["experiments"]:
            yield unknown(f"run[{index}]", name, "experiments")
    for index, name in enumerate(config["run_on"] or []):
        if name not in config["datasets"]:
            yield unknown(f"run_on[{index}]", name, "datasets")
    for experiment, grids in config["experiments"].items():
        if experiment in PAPER_FIGURES.values() or experiment.startswith((f"{SCATTER}-", "learning_curves")):
            yield f"experiments.{experiment}: another experiment's figure has this name. Write another name."
        for index, grid in enumerate(grids):
            path = f"experiments.{experiment}[{index}]"
            for name in as_list(grid["dataset"]):
                if name not in config["datasets"]:
                    yield unknown(f"{path}.dataset", name, "datasets")
            for name in as_list(grid["model"]):
                if name not in config["models"]:
                    yield unknown(f"{path}.model", name, "models")
            for depth in as_list(grid["depth"]):
                if "0" in str(depth):
                    yield f"{path}.depth: {depth} has a stage without a convolution. Write digits from 1 to 9."


def check_comparison(dataset: str, comparison: int, config: dict) -> Iterator[str]:
    """Table 2, the figure of Gaussianity and half of the claims would be empty, days later."""
    sizes = compared_sizes(config, dataset)
    if sizes and comparison not in sizes:
        yield (
            f"datasets.{dataset}.comparison_latent: {comparison} is none of the latent sizes that run "
            f"({', '.join(map(str, sizes))}). Write one of them: Table 2 compares models there."
        )


def compared_sizes(config: dict, dataset: str) -> list[int]:
    """The latent sizes of a dataset's cells whose scores are compared."""
    experiments = [name for name in config["run"] if name != SCATTER]
    found = [cell for name in experiments for cell in experiment_cells(config, name, known_only=True)]
    return sorted({cell["latent"] for cell in found if cell["dataset"] == dataset})


def check_scatter(cells: list[dict]) -> Iterator[str]:
    """A scatter plot shows all its cells in the same two latent dimensions."""
    for dataset in sorted({cell["dataset"] for cell in cells}):
        sizes = sorted({cell["latent"] for cell in cells if cell["dataset"] == dataset})
        if len(sizes) > 1 or sizes[0] < 2:
            yield (
                f"experiments.{SCATTER}: its cells on {dataset} have the latent sizes {', '.join(map(str, sizes))}. "
                "Write the same one for all, at least 2: they are drawn in two dimensions that they share."
            )


def check_schedule(training: dict) -> Iterator[str]:
    begins = [step["epoch"] for step in training["learning_rate"]]
    if begins[0] != 0 or any(later <= earlier for earlier, later in itertools.pairwise(begins)):
        yield f"training.learning_rate: its epochs are {begins}. Write them in rising order, the first one 0."
    elif begins[-1] >= training["epochs"]:
        yield (
            f"training.learning_rate: a step begins at epoch {begins[-1]}, but training.epochs is "
            f"{training['epochs']}. Write steps that begin before the end, or more epochs."
        )


def check_crop(name: str, dataset: dict) -> Iterator[str]:
    """Of images whose size is known; `first_look` opens the others."""
    crop, side = dataset["crop"], SIDES.get(dataset[dataset["source"]].get("name"))
    if crop is not None and side is not None and crop > side:
        yield (
            f"datasets.{name}.crop: {crop} is larger than the images, of {side} pixels. "
            f"Write at most {side}, or null for the largest centred square."
        )


def by_width(cells_per_gpu: Mapping) -> list[tuple[int, int]]:
    """Pairs of a width, which a config may have as text, and its number of cells."""
    return sorted((int(width), count) for width, count in cells_per_gpu.items())


def check_cells_per_gpu(cells_per_gpu: Mapping) -> Iterator[str]:
    """A GPU has as many slots as the largest value; a cell takes a whole number of them, a wider one no fewer."""
    slots = narrower = max(cells_per_gpu.values(), default=1)
    pairs = by_width(cells_per_gpu)
    for (width, _), (other, _) in itertools.pairwise(pairs):
        if width == other:
            yield f"cells_per_gpu: {width} is there twice, as a number and as text. Write it once, without quotes."
            return
    for width, count in pairs:
        fitting = ", ".join(str(value) for value in range(1, narrower + 1) if slots % value == 0)
        if count > narrower:
            yield f"cells_per_gpu[{width}]: {count} is more than narrower cells have. Write one of {fitting}."
        elif slots % count:
            yield f"cells_per_gpu[{width}]: {count} does not divide the largest value, {slots}. Write one of {fitting}."
        narrower = min(narrower, count)


def check_dataset(name: str, dataset: dict) -> Iterator[str]:
    source = dataset["source"]
    if source not in dataset:
        yield f"datasets.{name}: its source is {source!r}, but it has no key {source!r}. Write what it is read from."
        return
    yield from check_crop(name, dataset)
    labelled = {
        "torchvision": dataset.get("torchvision", {}).get("name") != "CelebA",
        "parquet": dataset.get("parquet", {}).get("label") is not None,
        "sklearn": True,
    }.get(source)
    for split in ("train", "test"):
        if source == "parquet":
            for pattern in patterns(dataset["parquet"][split]):
                if not is_hub(pattern) and not local_files(pattern):
                    yield f"datasets.{name}.parquet.{split}: no file matches {pattern!r}."
        elif source == "folder" and dataset["folder"][split] is not None:
            folder = Path(dataset["folder"][split]).expanduser()
            if not folder.is_dir():
                yield f"datasets.{name}.folder.{split}: there is no folder {dataset['folder'][split]!r}."
            elif "classifier" in dataset["extractors"]:
                # Every job comes by here, and to list a folder of many images takes seconds on a shared disk.
                images = find_images(folder, links=True)
                first = next(images, None)
                # That it is empty is said by those who look for images.
                labelled = first and any(image.parent != folder for image in itertools.chain([first], images))
    if labelled is False and "classifier" in dataset["extractors"]:
        yield (
            f"datasets.{name}.extractors: a classifier needs labels, and this dataset has none. "
            "Write extractors: [inception], or use images in class folders or a parquet `label` column."
        )


def network_options(config: dict, cell: Mapping) -> dict:
    """The shape of a cell's network, in the words of autoencoders.network.NetworkOptions, depth as in a path.

    ``cell`` has the keys CELL_KEYS; numbers may be text, as wildcards are.
    """
    model = config["models"][cell["model"]]
    shape = ("variational", "latent_norm", "widening", "decoder_channels", "decoder_activation", "decoder_repeats")
    return {
        "size": config["datasets"][cell["dataset"]]["size"],
        "filters": int(cell["filters"]),
        "depth": cell["depth"],
        "latent": int(cell["latent"]),
        **{key: model[key] for key in shape},
    }


def image_sets(config: dict) -> list[str]:
    """The names of the image sets that a cell is scored by: decoded codes of images, and samples of every prior."""
    return ["train_recon", "test_recon", "interpolation", *config["priors"]]


def comparisons(config: dict) -> dict[str, list[str]]:
    """What each metric compares: the name of an image set, and the split whose images it is held against."""
    references = config["scoring"]["train_recon_references"]
    # The metric that is named after its set is the paper's.
    reconstructed = {"test": "train_recon", "train": "train_recon_vs_train"}
    found = {reconstructed[split]: ["train_recon", split] for split in ("test", "train") if split in references}
    return found | {name: [name, "test"] for name in image_sets(config)[1:]}
