# The validated config, and the functions that the rules call.
import functools
import hashlib
import json
import math
import os
import re
import shlex
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.settings.types import DeploymentMethod

SCRIPTS = Path(str(workflow.current_basedir)).parent / "scripts"
if not SCRIPTS.is_dir():
    # Scripts import the package beside them, which Snakemake would not fetch from a URL.
    raise WorkflowError(
        "this workflow runs from a clone: clone it, and write the path of its Snakefile instead of a URL"
    )
# Snakemake 9.27 formats the paths of `conda:`, and expands pathvars in those of `input:`, which are relative.
if {"{", "}"} & set(str(SCRIPTS)) or {"<", ">"} & set(os.path.relpath(SCRIPTS)):
    raise WorkflowError(f"Snakemake interprets {{}}<> in the path of a workflow: move or rename {SCRIPTS.parents[1]}")
# Snakemake 9.27 writes the path of Python into the shell commands of its jobs, without quotes for spaces and the like.
# With them the path is no longer absolute: where this file is read twice, as by two modules, they are added once.
if os.path.isabs(sys.executable):
    sys.executable = shlex.quote(sys.executable)
sys.path.insert(0, str(SCRIPTS))

from autoencoders.config import checks, external, grid, tuning
from autoencoders.config import settings
from autoencoders.data import first_look
from autoencoders.evidence import display_names
from autoencoders.jobs import fingerprints, gpu_memory, gpu_slots, kinds, provenance, resources
from autoencoders.jobs import search_path, tracked_modules
from autoencoders.jobs.errors import UserError
from autoencoders.jobs.files import FORMAT
from autoencoders.networks import flop_count, memory_count

search_path.put_first(SCRIPTS, conda=DeploymentMethod.CONDA in workflow.deployment_settings.deployment_method)

try:
    # Only the main process opens config files and images, not each job.
    if workflow.is_main_process:
        settings.refuse(settings.repeated_keys(workflow.configfiles))
    # Each job reads this file again, with the same options of the command line.
    config.update(settings.resolve(config, workflow.config_settings.config))
except UserError as error:
    # A module has the config of the workflow that uses it.
    elsewhere = os.path.lexists(CONFIGS[0]) and not workflow.modifier.skip_configfile
    note = ""
    if elsewhere and os.path.realpath(CONFIGS[0]) != os.path.realpath(CONFIGS[1]):
        note = f"\n(config/config.yaml was read in {os.getcwd()}; to run in another folder, use --directory)"
    raise WorkflowError(f"{error}{note}") from None


def one_of(names):
    """The constraint of a wildcard that has one of some names."""
    return "|".join(map(re.escape, names)) or "(?!)"


CONSTRAINTS = {
    "dataset": one_of(config["datasets"]),
    "model": one_of(config["models"]),
    "filters": r"[1-9][0-9]*",
    "depth": r"[1-9]|[1-9]{4}",
    "latent": r"[1-9][0-9]*",
    "seed": r"0|[1-9][0-9]*",
}

# The folder of one cell, below <results>/cells.
CELL = "{dataset}/{model}/f{filters}-d{depth}-z{latent}-s{seed}"
# The same with constraints, since Snakemake applies `wildcard_constraints` before it expands pathvars.
CONSTRAINED_CELL = re.sub(r"{(\w+)}", lambda match: f"{{{match[1]},{CONSTRAINTS[match[1]]}}}", CELL)
CELLS = grid.cells(config)
PRIORS = grid.running(config, "priors")
MEASURES = grid.running(config, "measures")
# Measures that prepare something from references; the others need only their features.
PREPARING = {
    name: entry for name, entry in MEASURES.items() if hasattr(kinds.load("measures", entry["kind"]), "prepare")
}
# Measures that need the features of all training images.
OF_TRAINING = {
    name: entry
    for name, entry in MEASURES.items()
    if hasattr(kinds.load("measures", entry["kind"]), "prepare_training")
}
# Measures of class logits.
OF_CLASSES = [
    name for name, entry in MEASURES.items() if kinds.needs(kinds.load("measures", entry["kind"]), "OF_CLASSES", False)
]
IMAGE_SETS = grid.image_sets(config)
# The splits that image sets are compared with, always including test.
REFERENCES = sorted({split for _, split in grid.comparisons(config).values()})
# Cells with a native prior beside the priors of all models, as CONSTRAINED_CELL.
NATIVE_MODELS = [model for model in config["models"] if grid.extra_prior(config, model)]
NATIVE_CELL = CONSTRAINED_CELL.replace(f"{{model,{CONSTRAINTS['model']}}}", f"{{model,{one_of(NATIVE_MODELS)}}}")
# The reference of all training images, of whose split a subset is compared.
TRAINING = "training"
USED_DATASETS = sorted({cell["dataset"] for cell in CELLS})
# The datasets that are compared with the paper, and those whose test images are held out of others' training images.
TESTED = grid.tested_datasets(config)
VALIDATION = [name for name in config["datasets"] if name not in TESTED]
# The cells that weights are chosen by.
TUNING = grid.tuning_cells(config)
SETTINGS = tuning.described_settings(config)
# The images made elsewhere that are scored.
EXTERNAL = external.running_external(config)
# The experiment of each figure of scores. Those that compare methods or tune weights have figures of their own.
FIGURES = {
    grid.PAPER_FIGURES.get(name, name): name
    for name in config["run"]
    if name not in (grid.SCATTER, grid.BASELINES) and not grid.tuning_grids(config, [name])
}
# The user's own files.
CONTENTS = fingerprints.Contents(Path(config["pathvars"]["results"], "fingerprints.json"))


try:
    if workflow.is_main_process:
        used = {grid.images_of(config, name): None for name in USED_DATASETS}
        used = {name: config["datasets"][name] for name in used}
        settings.refuse(
            [
                *first_look.find_misfits(used, config["pathvars"], CONTENTS),
                *first_look.find_external_misfits(EXTERNAL, config["datasets"], config["pathvars"], CONTENTS),
            ]
        )
        settings.refuse(checks.find_unusable(checks.used_extractors(config, USED_DATASETS)))
except UserError as error:
    raise WorkflowError(str(error)) from None


wildcard_constraints:
    dataset=CONSTRAINTS["dataset"],
    prior=one_of(config["priors"]),
    extractor=one_of(config["extractors"]),
    split=f"train|test|{TRAINING}",
    measure=one_of(name for name in MEASURES if name != "frechet"),
    figure=one_of(FIGURES),
    external=one_of(config["external"]),


def modules(script, kinds_of=None):
    """The modules that a rule's results depend on, as inputs of the rule, so that an edit reruns the rule.

    These are the modules that its script imports. ``kinds_of`` maps wildcards to pairs (group, kind): the kinds that a
    job uses, which are inputs together with their imports. Paths are relative to the working directory, so that moving
    the whole project reruns nothing, and local, so that the prefix of an outer workflow does not apply to them.
    """
    file = SCRIPTS / f"{script}.py"
    if kinds_of is None:
        return local(tracked_files(file))
    return lambda wildcards: local(tracked_files(file, *sorted(set(kinds_of(wildcards)))))


@functools.cache
def tracked_files(script, *used):
    files = [kinds.find(group, kind) for group, kind in used]
    return [
        os.path.relpath(file) for file in dict.fromkeys([*tracked_modules.imported_modules(script, *files), *files])
    ]


def own_files(kinds_of):
    """A param: changes with the contents of the user's own kinds and weights that a job uses, and with the options that
    an extractor's features depend on.

    Files are inputs too, but a file replaced by an older one has an older time stamp. Options have no param of their own
    because a new param would rerun all old jobs.
    """

    def found(wildcards):
        files = [kinds.find(group, kind) for group, kind in sorted(set(kinds_of(wildcards))) if kinds.is_file(kind)]
        options = {}
        if "extractor" in wildcards.keys():
            entry = extractor_entry(wildcards)
            files += [os.path.expanduser(entry["weights"])] if entry.get("weights") else []
            options = kinds.without_new(kinds.feature_options(entry), kinds.options(extractor_module(wildcards)))
        found = CONTENTS.fingerprint({str(file): file for file in files}) if files else ""
        return f"{found} {json.dumps(options, sort_keys=True)}" if options else found

    return found


def digest(settings):
    """A hash: Snakemake prints changed params in full."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]


def for_cells(pattern, cells=CELLS):
    """The path ``pattern`` for each cell; by default, for each cell of the experiments that run."""
    return [pattern.replace("<cell>", CELL.format(**cell)) for cell in cells]


def for_models(pattern, key, values):
    """The path ``pattern`` for each cell that runs and, as its wildcard ``key``, each of ``values(config, model)``."""
    return [
        path for cell in CELLS for path in expand(for_cells(pattern, [cell]), **{key: values(config, cell["model"])})
    ]


def for_dataset(pattern):
    """An input function: the path ``pattern`` for each cell that runs on the dataset with a model that the config
    describes.
    """

    def found(wildcards):
        cells = [cell for cell in CELLS if cell["dataset"] == wildcards.dataset and cell["model"] in MODELS]
        if not cells:
            raise WorkflowError(f"no experiment that runs has a cell on {wildcards.dataset}")
        return for_cells(pattern, cells)

    return found


def redrawn_cell(wildcards):
    """The cell of the dataset whose samples are drawn again, as table columns."""
    cell = grid.redrawn_cell(config, wildcards.dataset)
    if cell is None:
        raise WorkflowError(f"no experiment that runs has a cell on {wildcards.dataset}")
    return cell


def of_redrawn_cell(pattern):
    """An input function: the path ``pattern`` of that cell; for all priors that run, if it has the wildcard prior."""

    def found(wildcards):
        (path,) = for_cells(pattern, [redrawn_cell(wildcards)])
        return expand(path, prior=PRIORS) if "{prior}" in path else path

    return found


def redrawn_precision(wildcards):
    return config["models"][redrawn_cell(wildcards)["model"]]["precision"]


def cell_identity(wildcards):
    """The cell's wildcards as table columns, with numbers as int."""
    numbers = ("filters", "latent", "seed")
    return {key: int(value) if key in numbers else value for key, value in wildcards.items() if key in grid.CELL_KEYS}


def source_of(wildcards):
    """The kind of a dataset's source, its module, and its options."""
    dataset = config["datasets"][wildcards.dataset]
    return dataset["source"], kinds.load("sources", dataset["source"]), dataset[dataset["source"]]


def source_kind(wildcards):
    return [("sources", source_of(wildcards)[0])]


def source_options(wildcards):
    """The options of a dataset's source, without those at their ``before`` value (`jobs.kinds.options`)."""
    kind, source, options = source_of(wildcards)
    return {kind: kinds.without_new(options, kinds.options(source))}


def dataset_options(wildcards):
    """The options that the preparation of a dataset depends on."""
    _, source, options = source_of(wildcards)
    dataset = config["datasets"][wildcards.dataset]
    used = ["source", "limit", "crop", "size"]
    if hasattr(source, "has_test") and not source.has_test(options):
        used.append("test_fraction")
    return {key: dataset[key] for key in used} | source_options(wildcards)


def of_images(pattern):
    """An input function: the path ``pattern`` of the dataset that a validation dataset is held out of."""
    return lambda wildcards: pattern.replace("{dataset}", grid.images_of(config, wildcards.dataset))


def validation_options(wildcards):
    """The options that a validation dataset depends on, besides the images that it is held out of."""
    dataset = config["datasets"][wildcards.dataset]
    return {key: dataset[key] for key in ("validation_of", "test_fraction")} | {"limit": dataset["limit"]["test"]}


def options_of(definition, options):
    """Options of a part of the config's schema, without those at their ``before`` value."""
    return kinds.without_new(options, settings.read_schema()["$defs"][definition]["properties"])


def network_options(wildcards):
    return options_of("model", grid.network_options(config, dict(wildcards.items())))


def training_options(wildcards):
    return options_of("training", grid.training_options(config, wildcards.model))


def training_slots(wildcards):
    """The number of GPU slots of a cell's training: a resource, not a param, so that changing it retrains nothing."""
    return gpu_slots.training_slots(config["cells_per_gpu"], int(wildcards.filters))


def counted_images(wildcards, count=resources.training_images):
    """The number of training images of the dataset, by one of two functions of `jobs.resources`."""
    info = Path(config["pathvars"]["results"], "datasets", wildcards.dataset, "dataset.json")
    dataset = config["datasets"][wildcards.dataset]
    # Another source of the dataset may know the number: copies have as many images as the official archive.
    named = sorted(
        (kind for kind in kinds.names("sources") if kind in dataset), key=lambda kind: kind != dataset["source"]
    )
    sources = [(kinds.load("sources", kind), dataset[kind]) for kind in named]
    counts = [source.training_images(options) for source, options in sources if hasattr(source, "training_images")]
    return count(dataset, counts[0] if counts else None, info)


def training_images(wildcards):
    """The number of training images of the dataset; an upper estimate before it is prepared."""
    return counted_images(wildcards)


def minutes(amount):
    """The resource ``runtime`` of a rule: this many minutes, and twice as many after the first attempt.

    It does not grow with each attempt: training resumes from its checkpoint, and partitions limit the time of jobs.
    """

    def asked(wildcards, attempt):
        return min(attempt, 2) * (amount(wildcards) if callable(amount) else amount)

    return asked


def megabytes(process, images=0, codes=0, more=None):
    """The resource ``mem_mb`` of a rule, doubled after the first attempt.

    This is the sum of ``process`` for the programs, ``images`` times the size of the dataset's images, ``codes`` times
    the size of the cell's codes in float64, and ``more``, a function of wildcards.
    """

    def asked(wildcards, attempt):
        total = process
        if images or codes:
            count, size = training_images(wildcards), config["datasets"][wildcards.dataset]["size"]
            # At most a third of the images are test images.
            total += images * 1.5 * resources.image_megabytes(count, size)
        if codes:
            total += codes * resources.code_megabytes(count, int(wildcards.latent))
        if more:
            total += more(wildcards)
        return min(attempt, 2) * math.ceil(total)

    return asked


def training_work(wildcards):
    """What `memory_count.training_bytes` is given for a cell."""
    return grid.training_work(config, dict(wildcards.items()), counted_images(wildcards, resources.known_images))


def training_gpu_megabytes(wildcards):
    """The memory that a cell's training takes on a GPU: a resource, so that a change retrains nothing."""
    return math.ceil(memory_count.training_bytes(*training_work(wildcards)) / 1e6)


def refuse_small_gpu(dag):
    """Raises UserError if no GPU of this machine has the memory for one of the run's trainings.

    Each is compared alone, even if cells share a GPU. Each checks the GPU that it gets, too: on a cluster, or a smaller
    one of this machine.
    """
    allowed = workflow.global_resources.get("gpu")
    if not workflow.local_exec or (allowed is not None and allowed.value == 0):
        return
    trainings = [job.wildcards for job in dag.jobs if job.rule.name == "train" and dag.needrun(job)]
    gpu = gpu_memory.largest_gpu() if trainings else None
    if gpu is None:
        return
    too_large = {}
    for wildcards in trainings:
        if (needed := memory_count.training_bytes(*training_work(wildcards))) > gpu.memory:
            too_large[CELL.format(**dict(wildcards.items())).rpartition("-s")[0]] = needed, wildcards
    if too_large:
        largest = max(too_large, key=lambda cell: too_large[cell][0])
        raise UserError(
            f"the GPU is too small for {len(too_large)} of the networks to train. The largest, {largest}: "
            f"{memory_count.shortage(*training_work(too_large[largest][1]), *gpu)}. Change the config, or choose other "
            "experiments (`run`)"
        )


def training_flops(wildcards):
    """Floating point operations per image of training a cell; each penalty multiplies them by its COST."""
    network = grid.network_options(config, dict(wildcards.items()))
    flops = flop_count.training_flops(network, config["models"][wildcards.model]["frozen_latent"])
    return flops * kinds.cost(grid.penalty_kinds(config, wildcards.model))


def training_operations(wildcards):
    """Floating point operations of training a cell on all images in all epochs."""
    return training_flops(wildcards) * training_images(wildcards) * config["training"]["epochs"]


def training_minutes(wildcards):
    images, epochs = training_images(wildcards), config["training"]["epochs"]
    found = resources.measured()
    same = found and found["precision"] == config["models"][wildcards.model]["precision"]
    return resources.training_minutes(training_flops(wildcards), images, epochs, found["training"] if same else ())


def objective_options(wildcards):
    """The options of the training objective, without those at their ``before`` value."""
    options = grid.objective_options(config, wildcards.model, wildcards.dataset)
    return options_of("model", options | {"penalties": entry_options("penalties", options["penalties"])})


def penalty_kinds(wildcards):
    """The kinds of a model's penalties, including the KL divergence of a variational model."""
    return [("penalties", kind) for kind in grid.penalty_kinds(config, wildcards.model)]


def entry_options(group, entries):
    """Priors, measures or penalties of the config, without options at their ``before`` value."""
    return {
        name: kinds.without_new(entry, kinds.options(kinds.load(group, entry["kind"])))
        for name, entry in entries.items()
    }


def recorded_jobs(dag):
    """The run's jobs that write a log and a benchmark file, for `jobs.run_status`."""
    from autoencoders.jobs.run_status import Job

    counts, jobs = {"train": training_operations, "fit_prior": prior_operations}, []
    for job in dag.jobs:
        if job.log and job.benchmark:
            wildcards, rule = job.wildcards, job.rule.name
            cell = CELL.format(**dict(wildcards.items())) if set(grid.CELL_KEYS) <= set(wildcards.keys()) else ""
            name = os.path.relpath(job.log[0], Path(config["pathvars"]["results"], "logs")).removesuffix(".log")
            kind = name.replace(os.sep + cell, "") if cell else name
            work = counts[rule](wildcards) if rule in counts else 0
            jobs.append(Job(name, kind, cell, max(work, 1), dag.needrun(job)))
    return jobs


def writes_below(dag, folder):
    """Whether a job of the run writes a file below a folder."""
    folder = Path(folder)
    return any(dag.needrun(job) and any(folder in Path(file).parents for file in job.output) for job in dag.jobs)


LIKELIHOOD_PRIORS = grid.likelihood_priors(config)


def own_kinds(wildcards):
    """The user's own kinds that the run uses."""
    return grid.own_kinds(config)


OWN_KINDS = local(sorted({os.path.relpath(kinds.find(group, kind)) for group, kind in grid.own_kinds(config)}))


def prior_module(wildcards):
    return kinds.load("priors", config["priors"][wildcards.prior]["kind"])


def prior_kind(wildcards):
    return [("priors", config["priors"][wildcards.prior]["kind"])]


def prior_options(wildcards):
    entry = grid.prior_options(config, wildcards.prior, wildcards.dataset)
    return kinds.without_new(entry, kinds.options(prior_module(wildcards)))


def cell_priors(wildcards):
    """The fitted priors of a cell."""
    priors = grid.model_priors(config, wildcards.model)
    return expand("<results>/cells/<cell>/priors/{prior}.npz", prior=priors, allow_missing=True)


def shown_priors(wildcards):
    """The names of a cell's priors, in the order of tables."""
    return sorted(grid.model_priors(config, wildcards.model), key=display_names.comparison_order)


def cell_images(wildcards):
    """The image sets of a cell."""
    return expand(
        "<results>/cells/<cell>/images/{name}.npy", name=grid.image_sets(config, wildcards.model), allow_missing=True
    )


def cell_comparisons(wildcards):
    return grid.comparisons(config, wildcards.model)


def decoding(wildcards):
    """The options of a model that its image sets depend on, as words: precision and, unless it is the means, what
    reconstructions are decoded from.

    They are one param: Snakemake compares params without their names, so the single word is the param of before there
    were others, and a second param would rerun all old jobs.
    """
    model = config["models"][wildcards.model]
    return " ".join(options_of("model", {key: model[key] for key in ("precision", "reconstructions")}).values())


def sampled_kinds(wildcards):
    """The kinds of the priors that run for a cell; for redraws, of those that run for every model."""
    priors = grid.model_priors(config, wildcards.model) if "model" in wildcards.keys() else PRIORS
    return [("priors", entry["kind"]) for entry in priors.values()]


def prior_slots(wildcards):
    """The number of GPU slots that fitting a prior takes."""
    return 1 if kinds.needs(prior_module(wildcards), "GPU", False) else 0


def prior_operations(wildcards, images=None):
    """Floating point operations of fitting a prior to the codes of ``images`` images (default: the dataset's)."""
    count = kinds.needs(prior_module(wildcards), "operations", lambda *_: 0)
    images = training_images(wildcards) if images is None else images
    return count(grid.prior_options(config, wildcards.prior, wildcards.dataset), images, int(wildcards.latent))


def prior_minutes(wildcards):
    return resources.prior_minutes(prior_operations(wildcards), resources.measured().get("float64"))


def prior_megabytes(wildcards):
    """The memory that a prior's kind says its fit needs; by default six times the codes in float64."""
    sizes = training_images(wildcards), int(wildcards.latent)
    need = kinds.needs(prior_module(wildcards), "megabytes", lambda *_: 6 * resources.code_megabytes(*sizes))
    return need(grid.prior_options(config, wildcards.prior, wildcards.dataset), *sizes)


def extractor_entry(wildcards):
    return config["extractors"][wildcards.extractor]


def extractor_module(wildcards):
    return kinds.load("extractors", extractor_entry(wildcards)["kind"])


def extractor_weights(wildcards):
    """The file of an extractor's network: trained on the dataset, the user's own, or downloaded."""
    entry = extractor_entry(wildcards)
    if hasattr(extractor_module(wildcards), "train"):
        return f"<results>/extractors/{wildcards.extractor}-{wildcards.dataset}.safetensors"
    if entry["weights"]:
        return local(os.path.expanduser(entry["weights"]))
    return f"<resources>/{entry['kind']}/{downloaded_weights(entry)}"


def downloaded_weights(entry):
    """The name of an extractor's downloaded file: entries with the same weights share it."""
    kind = kinds.load("extractors", entry["kind"])
    return os.path.basename(kind.URL) if hasattr(kind, "URL") else kind.file_name(entry)


def extractor_environment(wildcards):
    """The environment of the jobs that use an extractor: its kind's own, or that of all others."""
    return f"../../envs/{kinds.needs(extractor_module(wildcards), 'ENVIRONMENT', 'score')}.yaml"


def extractor_record(wildcards):
    """The record of an extractor's training on the dataset; nothing for extractors that are not trained."""
    trained = hasattr(extractor_module(wildcards), "train")
    return f"<results>/extractors/{wildcards.extractor}-{wildcards.dataset}.json" if trained else []


def extractor_kind(wildcards):
    return [("extractors", extractor_entry(wildcards)["kind"])]


def extractor_options(wildcards):
    parts = kinds.options(extractor_module(wildcards))
    options = {name: value for name, value in extractor_entry(wildcards).items() if name in parts}
    return kinds.without_new(options, parts)


def extractor_slots(wildcards):
    """The number of GPU slots that training an extractor takes."""
    return 1 if kinds.needs(extractor_module(wildcards), "GPU", True) else 0


def extractor_minutes(wildcards):
    return kinds.needs(extractor_module(wildcards), "MINUTES", 30)


def scoring_measures(wildcards, measures=MEASURES):
    """Those of ``measures`` that an extractor's features have: measures of classes need an extractor with classes."""
    if hasattr(extractor_module(wildcards), "classes"):
        return measures
    return {name: entry for name, entry in measures.items() if name not in OF_CLASSES}


def scoring_options(wildcards):
    return entry_options("measures", scoring_measures(wildcards))


def scoring_kinds(wildcards):
    """The extractor, and the measures that run."""
    measures = scoring_measures(wildcards).values()
    return [*extractor_kind(wildcards), *(("measures", entry["kind"]) for entry in measures)]


def preparing_kinds(wildcards):
    """The extractor, and the measures that prepare something from a reference."""
    prepared = preparing_measures(wildcards).values()
    return [*extractor_kind(wildcards), *(("measures", entry["kind"]) for entry in prepared)]


def preparing_measures(wildcards):
    return OF_TRAINING if wildcards.split == TRAINING else scoring_measures(wildcards, PREPARING)


def preparing_options(wildcards):
    return entry_options("measures", preparing_measures(wildcards))


def reference_split(wildcards):
    """The images of a reference."""
    return f"<results>/datasets/{wildcards.dataset}/{'train' if wildcards.split == TRAINING else wildcards.split}.npz"


def reference_count(wildcards):
    """How many of these images: None for all."""
    return None if wildcards.split == TRAINING else config["scoring"]["images"]


def test_reference(wildcards):
    """The test images' features, for what measures prepare from all training images."""
    is_training = wildcards.split == TRAINING
    return f"<results>/reference/{wildcards.dataset}/{wildcards.extractor}-test.npz" if is_training else []


def feature_seconds(wildcards):
    """Seconds of one CPU core for an extractor's features of all training images."""
    seconds = kinds.needs(extractor_module(wildcards), "cpu_seconds", lambda _: 0)
    return seconds(extractor_entry(wildcards)) * training_images(wildcards) / 1000


def reference_minutes(wildcards):
    """Inception's features of a thousand training images take about a minute on one CPU core; two are asked for."""
    return scoring_minutes(wildcards) + (training_images(wildcards) // 500 if wildcards.split == TRAINING else 0)


def notices_of_features(dag):
    """What to tell before a run without a GPU: how long features of all training images will take."""
    for job in dag.jobs:
        wildcards = job.wildcards
        if job.rule.name == "reference" and wildcards.split == TRAINING and dag.needrun(job) and not job.resources.gpu:
            named = wildcards.extractor, wildcards.dataset, training_images(wildcards)
            if notice := resources.notice_of_features(*named, feature_seconds(wildcards)):
                yield notice


def redrawing_kinds(wildcards):
    """The extractor, the Fréchet distance, and the priors that run."""
    return [*extractor_kind(wildcards), ("measures", MEASURES["frechet"]["kind"]), *sampled_kinds(wildcards)]


def scoring_minutes(wildcards):
    measures = [kinds.needs(kinds.load("measures", entry["kind"]), "MINUTES", 0) for entry in MEASURES.values()]
    return 15 + kinds.needs(extractor_module(wildcards), "SCORING_MINUTES", 0) + sum(measures)


def dataset_manifest(wildcards):
    """The manifest of a dataset's download. Local files are no inputs: their contents count, not their time stamps."""
    return [f"<resources>/datasets/{wildcards.dataset}.json"] if is_remote(wildcards) else []


def is_remote(wildcards):
    _, source, options = source_of(wildcards)
    return hasattr(source, "is_remote") and source.is_remote(options)


def dataset_source(wildcards):
    """The source of a dataset and nothing else, so that a new crop downloads nothing again."""
    return {"source": source_of(wildcards)[0]} | source_options(wildcards)


def fingerprint(wildcards):
    """Changes with the local files of a dataset."""
    return first_look.fingerprint(config["datasets"][wildcards.dataset], CONTENTS)


SCORES = [
    f"<results>/cells/{CELL}/scores/{extractor}.parquet".format(**cell)
    for cell in CELLS
    for extractor in config["datasets"][cell["dataset"]]["extractors"]
]


def external_scores(datasets, extractors):
    """The scores of the images made elsewhere for these datasets, by those of the extractors that a dataset uses."""
    return [
        f"<results>/external/{name}/scores/{extractor}.parquet"
        for name, entry in EXTERNAL.items()
        for extractor in config["datasets"][entry["dataset"]]["extractors"]
        if entry["dataset"] in datasets and extractor in extractors
    ]


EXTERNAL_SCORES = external_scores(USED_DATASETS, config["extractors"])


def of_its_dataset(function):
    """A function of the wildcard dataset, for a rule that has the wildcard external instead."""

    @functools.wraps(function)
    def found(wildcards, **more):
        dataset = config["external"][wildcards.external]["dataset"]
        return function(type(wildcards)(fromdict={**dict(wildcards.items()), "dataset": dataset}), **more)

    return found


def external_source(wildcards):
    return external.as_dataset(config["external"][wildcards.external])


def external_kind(wildcards):
    return [("sources", external_source(wildcards)["source"])]


def external_references(wildcards):
    """The test images' features and, if a measure needs them, those of all training images."""
    splits = ["test", *[TRAINING] * bool(OF_TRAINING)]
    return [f"<results>/reference/{wildcards.dataset}/{wildcards.extractor}-{split}.npz" for split in splits]


def external_fingerprint(wildcards):
    """Changes with the files."""
    return first_look.fingerprint(external_source(wildcards), CONTENTS)


def cell_scores(wildcards):
    """The scores of a cell by each extractor of its dataset."""
    return expand(
        "<results>/cells/<cell>/scores/{extractor}.parquet", extractor=cell_extractors(wildcards), allow_missing=True
    )


# The places of every scored image's nearest training image, where measures of copies run: an output of the rule score.
NEIGHBOURS = {"neighbours": "<results>/cells/<cell>/neighbours/{extractor}.npz"} if OF_TRAINING else {}


def cell_extractors(wildcards):
    return config["datasets"][wildcards.dataset]["extractors"]


def cell_neighbours(wildcards):
    """These files of a cell, for each extractor of its dataset."""
    return expand(
        "<results>/cells/<cell>/neighbours/{extractor}.npz", extractor=cell_extractors(wildcards), allow_missing=True
    )


# The noise of drawing, measured once for each extractor of the datasets that the paper's tables show. Not a part of
# `all_scores`.
REDRAWS = [
    f"<results>/redraws/{dataset}-{extractor}.parquet"
    for dataset in USED_DATASETS
    if dataset in TESTED
    for extractor in config["datasets"][dataset]["extractors"]
]
PUBLISHED = local(os.path.relpath(SCRIPTS.parents[1] / "config" / "published_fid.csv"))
# The report's menu sorts categories by name.
CATEGORIES = {
    "claims": "1. Claims",
    "figures": "2. Figures",
    "tables": "3. Tables",
    "samples": "4. Samples",
    "reconstructions": "5. Reconstructions and interpolations",
    "datasets": "6. Datasets",
    "costs": "7. Costs and provenance",
}


def cells_of(experiment):
    """The cells of an experiment; none if it does not run."""
    return grid.experiment_cells(config, experiment) if experiment in config["run"] else []


def figure_cells(wildcards):
    """The cells that a figure shows."""
    experiment = FIGURES[wildcards.figure]
    found = [
        cell
        for cell in cells_of(experiment)
        if wildcards.extractor in config["datasets"][cell["dataset"]]["extractors"]
    ]
    if not found:
        raise WorkflowError(f"no dataset of the experiment {experiment} uses the extractor {wildcards.extractor}")
    return found


def figure_scores(wildcards):
    return for_cells(f"<results>/cells/<cell>/scores/{wildcards.extractor}.parquet", figure_cells(wildcards))


def figure_external(wildcards):
    """The scores of images made elsewhere, of the datasets that a figure shows."""
    return external_scores({cell["dataset"] for cell in figure_cells(wildcards)}, [wildcards.extractor])


def figure_records(wildcards):
    return for_cells("<results>/cells/<cell>/cell.json", figure_cells(wildcards))


def score_figures():
    """Every figure of scores as "{figure}-{extractor}", for the extractors of its cells' datasets."""
    found = []
    for figure, experiment in sorted(FIGURES.items()):
        datasets = {cell["dataset"] for cell in cells_of(experiment)}
        extractors = sorted({extractor for name in datasets for extractor in config["datasets"][name]["extractors"]})
        found += [f"{figure}-{extractor}" for extractor in extractors]
    return found


def scatter_cells(dataset):
    """The cells of a scatter plot, in the order of the grid; of several seeds, the first."""
    return grid.first_seeds(cell for cell in cells_of(grid.SCATTER) if cell["dataset"] == dataset)


def scatter_codes(wildcards):
    cells = scatter_cells(wildcards.dataset)
    if not cells:
        raise WorkflowError(f"the experiment {grid.SCATTER} has no cell on {wildcards.dataset}, or does not run")
    return for_cells("<results>/cells/<cell>/codes.npy", cells)


def scatter_records(wildcards):
    return for_cells("<results>/cells/<cell>/cell.json", scatter_cells(wildcards.dataset))


def scatter_seed(wildcards):
    """The seed that chooses the two latent dimensions of a scatter plot: that of its first cell."""
    return scatter_cells(wildcards.dataset)[0]["seed"]


def scatter_clouds(wildcards):
    """For each cell of a scatter plot, a label that names what differs, its model, and whether this is a VAE."""
    cells = scatter_cells(wildcards.dataset)
    named = [key for key in ("filters", "depth") if len({cell[key] for cell in cells}) > 1]
    found = []
    for cell in cells:
        differences = [f"{key} {cell[key]}" for key in named]
        label = ", ".join([display_names.model_label(cell["model"]), *differences])
        found.append((label, cell["model"], config["models"][cell["model"]]["variational"]))
    return found


# The models that the config describes, which have the same looks in all figures of our own.
MODELS = grid.described_models(config)
# What tables say of those that run.
METHODS = {
    model: {
        "native_prior": config["models"][model]["native_prior"],
        "untuned": grid.untuned_datasets(config, model),
    }
    for model in MODELS
    if model in {cell["model"] for cell in CELLS}
}


def scatter_models(wildcards):
    """None for the paper's own scatter plots, which have its colours."""
    return None if wildcards.dataset in display_names.DATASETS else MODELS


COMPARISON_LATENT = {name: config["datasets"][name]["comparison_latent"] for name in USED_DATASETS}


def compared_cells(extractor):
    """The cells of depth 1 at their dataset's comparison latent size that an extractor scores by test images."""
    return [
        cell
        for cell in CELLS
        if cell["dataset"] in TESTED
        and cell["depth"] == "1"
        and cell["latent"] == COMPARISON_LATENT[cell["dataset"]]
        and extractor in config["datasets"][cell["dataset"]]["extractors"]
    ]


def compared_scores(wildcards):
    cells = compared_cells(wildcards.extractor)
    if not cells:
        raise WorkflowError(f"no cell of depth 1 that runs is scored with {wildcards.extractor}")
    return for_cells(f"<results>/cells/<cell>/scores/{wildcards.extractor}.parquet", cells)


def compared_external(wildcards):
    datasets = {cell["dataset"] for cell in compared_cells(wildcards.extractor)}
    return external_scores(datasets, [wildcards.extractor])


# The pairs of dataset and extractor by which weights are chosen.
TUNED = sorted(
    {(cell["dataset"], extractor) for cell in TUNING for extractor in config["datasets"][cell["dataset"]]["extractors"]}
)


def tuning_scores(wildcards):
    """The scores that weights are chosen by: of the wildcards dataset and extractor, if there are any."""
    return [
        f"<results>/cells/{CELL}/scores/{extractor}.parquet".format(**cell)
        for cell in TUNING
        for extractor in config["datasets"][cell["dataset"]]["extractors"]
        if (cell["dataset"], extractor)
        == (wildcards.get("dataset", cell["dataset"]), wildcards.get("extractor", extractor))
    ]


def tuning_title(wildcards):
    return figure_title(f"tuning-{wildcards.dataset}-{wildcards.extractor}")


def precision_recall_title(wildcards):
    return figure_title(f"precision_recall-{wildcards.extractor}")


def baseline_cells(extractor):
    """The cells of the experiment that compares methods, which the figure shows."""
    cells = [tuple(cell.values()) for cell in cells_of(grid.BASELINES)]
    return [cell for cell in compared_cells(extractor) if tuple(cell.values()) in cells]


def baseline_scores(wildcards):
    cells = baseline_cells(wildcards.extractor)
    if not cells:
        raise WorkflowError(
            f"the experiment {grid.BASELINES} has no cell of depth 1 at the comparison latent size that "
            f"{wildcards.extractor} scores, or does not run"
        )
    return for_cells(f"<results>/cells/<cell>/scores/{wildcards.extractor}.parquet", cells)


def baselines_title(wildcards):
    return figure_title(f"{grid.BASELINES}-{wildcards.extractor}")


FIGURE_FILES = [
    *score_figures(),
    *(f"{grid.BASELINES}-{extractor}" for extractor in config["extractors"] if baseline_cells(extractor)),
    *(
        f"precision_recall-{extractor}"
        for extractor in config["extractors"]
        if {"precision", "recall"} <= {*MEASURES} and compared_cells(extractor)
    ),
    *(f"scatter-{dataset}" for dataset in USED_DATASETS if scatter_cells(dataset)),
    "latent_statistics",
    *(f"learning_curves-{dataset}" for dataset in USED_DATASETS),
    *(f"tuning-{dataset}-{extractor}" for dataset, extractor in TUNED),
]
FIGURE_TITLES = {
    **{f"scatter-{name}": f"Codes of {display_names.dataset_label(name)}" for name in USED_DATASETS},
    **{f"learning_curves-{name}": f"Learning curves, {display_names.dataset_label(name)}" for name in USED_DATASETS},
    **{f"tuning-{name}-{other}": f"Tuning, {display_names.dataset_label(name)}, {other}" for name, other in TUNED},
    "figure1": "Figure 1: width",
    "figure2_5": "Figure 2 (and 5): depth",
    "figure3": "Figure 3: frozen latent layer",
    "figure4": "Figure 4: normalisation of codes",
    "noise": "Noise (section 4)",
    "precision_recall": "Precision and recall",
    "seeds": "Five seeds",
    "scale": "Wider networks, lower rates",
    "baselines": "Methods beside a plain autoencoder",
    "scatter-cifar10": "Figure A.1: codes",
    "scatter-celeba": "Figure A.2: codes",
    "latent_statistics": "Gaussianity of codes",
}


def caption(name):
    """The file of a caption of the report, as an input: a figure's page shows it below the figure."""
    return local(os.path.relpath(SCRIPTS.parent / "report" / f"{name}.rst"))


def figure_title(name):
    """The title of a figure on its page and on the contact sheet; for scores, it includes the extractor."""
    if name in FIGURE_TITLES:
        return FIGURE_TITLES[name]
    # Both parts may have hyphens.
    figure, extractor = next(
        (name.removesuffix(f"-{extractor}"), extractor)
        for extractor in config["extractors"]
        if name.removesuffix(f"-{extractor}") in (*FIGURES, "precision_recall", grid.BASELINES)
    )
    return f"{FIGURE_TITLES.get(figure, figure)}, {extractor}"


# Labels of the report's pictures. Each picture has one: Snakemake 9.27 may turn several into a switch, and shows an
# empty page for a picture without a counterpart. A search shows pictures of the same label and header as one result.


def score_figure_title(wildcards):
    title = figure_title(f"{wildcards.figure}-{wildcards.extractor}")
    return f"{title}, {wildcards.measure}" if "measure" in wildcards.keys() else title


def scatter_title(wildcards):
    return figure_title(f"scatter-{wildcards.dataset}")


def learning_curves_title(wildcards):
    return figure_title(f"learning_curves-{wildcards.dataset}")


def figure_label(title):
    """The label of a figure's page, given the function of its title: a function of its wildcards."""

    def label(wildcards):
        return {"figure": title(wildcards)}

    return label


def picture_label(name):
    """The label of a cell's picture: a function of its wildcards."""

    def label(wildcards):
        return {f"{name}, {display_names.dataset_label(wildcards.dataset)}": cell_title(wildcards)}

    return label


def cell_title(wildcards):
    """A cell's label. The report sorts labels as text, so numbers are padded with spaces of a digit's width."""
    filters, latent = (number.rjust(3, "\u2007") for number in (wildcards.filters, wildcards.latent))
    model = display_names.model_label(wildcards.model)
    return f"{model}: {filters} filters, depth {wildcards.depth}, {latent} latent, seed {wildcards.seed}"


def report_subcategory(wildcards):
    return f"{display_names.dataset_label(wildcards.dataset)}, {display_names.model_label(wildcards.model)}"


def table_files(name, label, category="tables", caption=None):
    """A table's output files by format; the report shows the HTML page, with a ``caption`` of another name if given."""
    files = {suffix: f"<results>/tables/{name}.{suffix}" for suffix in ("parquet", "csv", "md", "tex")}
    page = report(
        f"<results>/tables/{name}.html",
        caption=f"../report/{caption or name}.rst",
        category=CATEGORIES[category],
        labels={"table": label},
    )
    return files | {"html": page}
