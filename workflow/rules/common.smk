# What several rules' files share: the checked config, and the functions that rules name.
import hashlib
import json
import math
import os
import re
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

SCRIPTS = Path(str(workflow.current_basedir)).parent / "scripts"
if not SCRIPTS.is_dir():
    # Scripts import a package that lies beside them, which Snakemake does not fetch from elsewhere.
    raise WorkflowError(
        "this workflow runs from a clone: clone it, and name its Snakefile's path instead of an address"
    )
sys.path.insert(0, str(SCRIPTS))

from autoencoders import estimates, first_look, gpus, imports, labels, locations, provenance, settings, workload
from autoencoders.errors import UserError

try:
    # Files are opened by the main process alone, not by each job's.
    if workflow.is_main_process:
        settings.refuse(settings.repeated_keys(workflow.configfiles))
    config.update(settings.resolve(config))
    if workflow.is_main_process:
        settings.refuse(first_look.find_misfits(config))
except UserError as error:
    raise WorkflowError(str(error)) from None

CONSTRAINTS = {
    "dataset": "|".join(map(re.escape, config["datasets"])),
    "model": "|".join(map(re.escape, config["models"])),
    "filters": r"[1-9][0-9]*",
    "depth": r"[1-9]|[1-9]{4}",
    "latent": r"[1-9][0-9]*",
    "seed": r"0|[1-9][0-9]*",
}

# The folder of one cell, below <results>/cells.
CELL = "{dataset}/{model}/f{filters}-d{depth}-z{latent}-s{seed}"
# The same with its constraints: Snakemake applies `wildcard_constraints` before it expands pathvars.
CONSTRAINED_CELL = re.sub(r"{(\w+)}", lambda match: f"{{{match[1]},{CONSTRAINTS[match[1]]}}}", CELL)
CELLS = settings.cells(config)
IMAGE_SETS = settings.image_sets(config)
COMPARISONS = settings.comparisons(config)
# The splits that something is compared with; test always is.
REFERENCES = sorted({split for _, split in COMPARISONS.values()})
USED_DATASETS = sorted({cell["dataset"] for cell in CELLS})
# The experiment of every figure of scores.
FIGURES = {settings.PAPER_FIGURES.get(name, name): name for name in config["run"] if name != settings.SCATTER}


wildcard_constraints:
    dataset=CONSTRAINTS["dataset"],
    prior="|".join(map(re.escape, config["priors"])),
    extractor="inception|classifier",
    split="train|test",
    figure="|".join(map(re.escape, FIGURES)) or "(?!)",


def modules(script):
    """The modules that a rule's script imports, as inputs of the rule: an edit reruns what depends on it.

    Relative to the working directory, so that a project that is moved as a whole is not computed again; local, so that
    the prefix of a workflow that uses this one as a module does not move them.
    """
    return local([os.path.relpath(file) for file in imports.imported_modules(SCRIPTS / f"{script}.py")])


def digest(settings):
    """Stands for many settings among the params of a rule: Snakemake prints these whole where they have changed."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]


def for_cells(pattern, cells=CELLS):
    """The paths that ``pattern`` stands for, one for every cell, by default of the experiments that run."""
    return [pattern.replace("<cell>", CELL.format(**cell)) for cell in cells]


def for_dataset(pattern):
    """An input function: the paths that ``pattern`` stands for, one for every cell that runs on the dataset."""

    def found(wildcards):
        cells = [cell for cell in CELLS if cell["dataset"] == wildcards.dataset]
        if not cells:
            raise WorkflowError(f"no experiment that runs has a cell on {wildcards.dataset}")
        return for_cells(pattern, cells)

    return found


def cell_identity(wildcards):
    """The cell's wildcards as table columns, numbers as numbers."""
    numbers = ("filters", "latent", "seed")
    return {
        key: int(value) if key in numbers else value for key, value in wildcards.items() if key in settings.CELL_KEYS
    }


def dataset_options(wildcards):
    """What the preparation of a dataset depends on: not the cells or extractors that use it."""
    dataset = config["datasets"][wildcards.dataset]
    source = dataset[dataset["source"]]
    used = ["source", dataset["source"], "limit", "crop", "size"]
    if dataset["source"] == "sklearn" or source.get("test", "official") is None:
        used.append("test_fraction")
    return {key: dataset[key] for key in used}


def network_options(wildcards):
    return settings.network_options(config, dict(wildcards.items()))


def training_slots(wildcards):
    """How many slots of a GPU a cell's training takes: a resource, and no param, so that it retrains nothing."""
    return gpus.training_slots(config["cells_per_gpu"], int(wildcards.filters))


def training_images(wildcards):
    """How many images the dataset trains on, or about that before it is prepared."""
    info = Path(config["pathvars"]["results"], "datasets", wildcards.dataset, "dataset.json")
    return estimates.training_images(config["datasets"][wildcards.dataset], info)


def minutes(amount):
    """The resource ``runtime`` of a rule: so many minutes, and twice as many after the first attempt.

    Not more with each: a training goes on from its checkpoint, and a partition's limit would soon be passed.
    """

    def asked(wildcards, attempt):
        return min(attempt, 2) * (amount(wildcards) if callable(amount) else amount)

    return asked


def megabytes(process, images=0, codes=0):
    """The resource ``mem_mb`` of a rule, twice as much after the first attempt.

    That is ``process`` for the programs themselves, and so many times the size of the dataset's images, and of the
    cell's codes in float64.
    """

    def asked(wildcards, attempt):
        total = process
        if images or codes:
            count, size = training_images(wildcards), config["datasets"][wildcards.dataset]["size"]
            # A third of the images are for testing, or fewer.
            total += images * 1.5 * estimates.image_megabytes(count, size)
        if codes:
            total += codes * estimates.code_megabytes(count, int(wildcards.latent))
        return min(attempt, 2) * math.ceil(total)

    return asked


def training_flops(wildcards):
    """Floating point operations of training a cell, for an image."""
    return workload.training_flops(network_options(wildcards), config["models"][wildcards.model]["frozen_latent"])


def training_minutes(wildcards):
    images, epochs = training_images(wildcards), config["training"]["epochs"]
    return estimates.training_minutes(training_flops(wildcards), images, epochs)


def prior_minutes(wildcards):
    return estimates.prior_minutes(prior_options(wildcards), training_images(wildcards), int(wildcards.latent))


def objective_options(wildcards):
    """What is minimised, in the words of autoencoders.objective.Objective."""
    model = config["models"][wildcards.model]
    return {key: model[key] for key in ("beta", "kl_reduction", "noise")}


def recorded_jobs(dag):
    """What a run is about, in the words of autoencoders.run_record: the jobs of its plan that leave files."""
    from autoencoders.run_record import Job

    results, jobs = Path(config["pathvars"]["results"]), []
    for job in dag.jobs:
        if not (job.output and job.log and job.benchmark):
            continue
        name, variant = job.rule.name, job.wildcards.get("prior", job.wildcards.get("extractor", ""))
        cell, work = None, 0
        if set(settings.CELL_KEYS) <= set(job.wildcards.keys()):
            cell = results / "cells" / CELL.format(**dict(job.wildcards.items()))
            if name == "train":
                work = training_flops(job.wildcards)
            elif name == "fit_prior" and config["priors"][variant]["kind"] == "gmm":
                work = config["priors"][variant]["components"] * int(job.wildcards.latent) ** 2
        files = Path(job.benchmark), Path(job.log[0])
        dataset = job.wildcards.get("dataset", "")
        jobs.append(Job(name, variant, dataset, cell, *files, work, dag.needrun(job)))
    return jobs


def priors_of_kind(kind):
    """The file of the paper's prior of a kind, which has the kind's name, else of another; in a list, that may be empty."""
    names = sorted(name for name, options in config["priors"].items() if options["kind"] == kind)
    chosen = [kind] if kind in names else names[:1]
    return [f"<results>/cells/<cell>/priors/{name}.npz" for name in chosen]


def prior_options(wildcards):
    return config["priors"][wildcards.prior]


def prior_slots(wildcards):
    """How many slots of a GPU the fit of a prior takes: one for a mixture, the others need no GPU."""
    return 1 if prior_options(wildcards)["kind"] == "gmm" else 0


def extractor_weights(wildcards):
    """The file that holds an extractor's network: the pipeline's own classifier, or Inception's weights."""
    if wildcards.extractor == "classifier":
        return f"<results>/extractors/classifier-{wildcards.dataset}.safetensors"
    weights = config["extractors"]["inception"]["weights"]
    if weights:
        return local(os.path.expanduser(weights))
    return "<resources>/inception/pt_inception-2015-12-05-6726825d.pth"


def classifier_record(wildcards):
    """What the pipeline's own classifier is worth; nothing for another extractor."""
    return [] if wildcards.extractor != "classifier" else "<results>/extractors/classifier-{dataset}.json"


def dataset_source(wildcards):
    """Where a dataset comes from, and nothing else: a new crop downloads nothing again."""
    dataset = config["datasets"][wildcards.dataset]
    return {"source": dataset["source"], dataset["source"]: dataset[dataset["source"]]}


def dataset_files(wildcards):
    """The files that a dataset is prepared from: a download's manifest, and local parquet files."""
    dataset = config["datasets"][wildcards.dataset]
    files = [f"<resources>/datasets/{wildcards.dataset}.json"] if locations.is_remote(dataset) else []
    if dataset["source"] == "parquet":
        for split in ("train", "test"):
            for pattern in locations.patterns(dataset["parquet"][split]):
                files += [] if locations.is_hub(pattern) else local(list(map(str, locations.local_files(pattern))))
    return files


def folder_fingerprints(wildcards):
    return locations.fingerprints(config["datasets"][wildcards.dataset])


SCORES = [
    f"<results>/cells/{CELL}/scores/{extractor}.parquet".format(**cell)
    for cell in CELLS
    for extractor in config["datasets"][cell["dataset"]]["extractors"]
]
PUBLISHED = local(os.path.relpath(SCRIPTS.parents[1] / "config" / "published_fid.csv"))
# The report's menu sorts these by name, and shows a category without subcategories at once.
CATEGORIES = {
    "claims": "1. Claims",
    "figures": "2. Figures",
    "tables": "3. Tables",
    "samples": "4. Samples",
    "reconstructions": "5. Reconstructions",
    "datasets": "6. Datasets",
    "costs": "7. Costs and provenance",
}


def cells_of(experiment):
    """The cells of one experiment, where it runs; none where it does not."""
    return settings.experiment_cells(config, experiment) if experiment in config["run"] else []


def figure_scores(wildcards):
    """The scores of the cells that a figure shows, and of no others."""
    experiment = FIGURES[wildcards.figure]
    found = [
        f"<results>/cells/{CELL.format(**cell)}/scores/{wildcards.extractor}.parquet"
        for cell in cells_of(experiment)
        if wildcards.extractor in config["datasets"][cell["dataset"]]["extractors"]
    ]
    if not found:
        raise WorkflowError(f"no dataset of the experiment {experiment} has the extractor {wildcards.extractor}")
    return found


def score_figures():
    """Every figure of scores as "{figure}-{extractor}": the extractors are those of its cells' datasets."""
    found = []
    for figure, experiment in sorted(FIGURES.items()):
        datasets = {cell["dataset"] for cell in cells_of(experiment)}
        extractors = sorted({extractor for name in datasets for extractor in config["datasets"][name]["extractors"]})
        found += [f"{figure}-{extractor}" for extractor in extractors]
    return found


def scatter_cells(dataset):
    """The cells whose codes one scatter plot shows: one seed's, in the order of the grid."""
    cells = cells_of(settings.SCATTER)
    return [cell for cell in cells if cell["dataset"] == dataset and cell["seed"] == config["seeds"][0]]


def scatter_codes(wildcards):
    cells = scatter_cells(wildcards.dataset)
    if not cells:
        raise WorkflowError(f"the experiment {settings.SCATTER} has no cell on {wildcards.dataset}, or does not run")
    return for_cells("<results>/cells/<cell>/codes.npy", cells)


def scatter_models(wildcards):
    """A label and whether it is a VAE, for every cell of a scatter plot; the label says what differs."""
    cells = scatter_cells(wildcards.dataset)
    named = [key for key in ("filters", "depth") if len({cell[key] for cell in cells}) > 1]
    found = []
    for cell in cells:
        differences = [f"{key} {cell[key]}" for key in named]
        label = ", ".join([labels.model_label(cell["model"]), *differences])
        found.append((label, config["models"][cell["model"]]["variational"]))
    return found


def scatter_title(wildcards):
    """The paper's number where the paper has the figure."""
    number = {"cifar10": "Figure A.1: ", "celeba": "Figure A.2: "}.get(wildcards.dataset, "")
    return f"{number}codes of {labels.dataset_label(wildcards.dataset)}"


FIGURE_FILES = [
    *score_figures(),
    *(f"scatter-{dataset}" for dataset in USED_DATASETS if scatter_cells(dataset)),
    "latent_statistics",
    *(f"learning_curves-{dataset}" for dataset in USED_DATASETS),
]
FIGURE_TITLES = {
    **{f"scatter-{name}": f"Codes of {labels.dataset_label(name)}" for name in USED_DATASETS},
    **{f"learning_curves-{name}": f"Learning curves, {labels.dataset_label(name)}" for name in USED_DATASETS},
    "figure1": "Figure 1: width",
    "figure2_5": "Figure 2 (and 5): depth",
    "figure3": "Figure 3: frozen latent layer",
    "figure4": "Figure 4: normalisation of codes",
    "noise": "Noise (section 4)",
    "scatter-cifar10": "Figure A.1: codes",
    "scatter-celeba": "Figure A.2: codes",
    "latent_statistics": "Gaussianity of codes",
}


def figure_title(name):
    """The title of a figure on the contact sheet; that of one of scores says whose features they are in."""
    if name in FIGURE_TITLES:
        return FIGURE_TITLES[name]
    figure, _, extractor = name.rpartition("-")
    return f"{FIGURE_TITLES.get(figure, figure)}, {extractor}"


COMPARISON_LATENT = {name: config["datasets"][name]["comparison_latent"] for name in USED_DATASETS}


# Labels of the report's pictures, one each: of several, Snakemake 9.27 may make a switch, and its page stays empty where a
# picture has no counterpart. A search shows one result for all that have the same label under the same header.


def score_figure_label(wildcards):
    return {"figure": figure_title(f"{wildcards.figure}-{wildcards.extractor}")}


def scatter_label(wildcards):
    return {"figure": figure_title(f"scatter-{wildcards.dataset}")}


def learning_curves_label(wildcards):
    return {"figure": figure_title(f"learning_curves-{wildcards.dataset}")}


def samples_label(wildcards):
    return {f"samples, {labels.dataset_label(wildcards.dataset)}": cell_title(wildcards)}


def reconstructions_label(wildcards):
    return {f"reconstructions, {labels.dataset_label(wildcards.dataset)}": cell_title(wildcards)}


def cell_title(wildcards):
    """A cell of a dataset. The report sorts it as text: numbers are filled up with spaces as wide as a digit."""
    filters, latent = (number.rjust(3, "\u2007") for number in (wildcards.filters, wildcards.latent))
    model = labels.model_label(wildcards.model)
    return f"{model}: {filters} filters, depth {wildcards.depth}, {latent} latent, seed {wildcards.seed}"


def report_subcategory(wildcards):
    return f"{labels.dataset_label(wildcards.dataset)}, {labels.model_label(wildcards.model)}"


def table_files(name, label, category="tables"):
    """A table's output files, by their formats; the HTML page is the report's."""
    files = {suffix: f"<results>/tables/{name}.{suffix}" for suffix in ("parquet", "csv", "md", "tex")}
    page = report(
        f"<results>/tables/{name}.html",
        caption=f"../report/{name}.rst",
        category=CATEGORIES[category],
        labels={"table": label},
    )
    return files | {"html": page}
