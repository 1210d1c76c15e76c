"""Tuning of weights: validation splits held out of training images, and models with multiplied weights.

Snakemake's own process imports this module, so it may import only packages that Snakemake depends on.
"""

import copy
from collections.abc import Iterator, Mapping

import yaml

from autoencoders.config.grid import (
    as_list,
    factor_model,
    images_of,
    native_prior,
    tested_datasets,
    tuned_settings,
    tuning_cells,
)
from autoencoders.jobs import kinds

# The keys that a validation dataset may have of its own.
OWN_KEYS = ("validation_of", "test_fraction", "latent", "comparison_latent", "extractors")


def complete_validation(config: dict) -> Iterator[str]:
    """Gives each dataset with `validation_of` the keys of the dataset that it is held out of, in place, before defaults
    are filled in. Yields a message for each that can't be completed.

    The share of test images is not one of them: it may be that of another split before.
    """
    datasets = config["datasets"]
    for name, dataset in list(datasets.items()):
        if "validation_of" not in dataset:
            continue
        place, base = f"datasets.{name}", dataset["validation_of"]
        others = [other for other, entry in datasets.items() if "validation_of" not in entry]
        write = f"Write one of {', '.join(others)}." if others else "Describe the dataset that it is held out of."
        if base not in datasets:
            yield f"{place}.validation_of: there is no dataset {base!r}. {write}"
        elif base not in others:
            what = "itself" if base == name else f"{base}, which is a validation split too"
            yield f"{place}.validation_of: its images can't be held out of {what}. {write}"
        elif foreign := [key for key in dataset if key not in OWN_KEYS]:
            yield (
                f"{place}.{foreign[0]}: a validation dataset has the images of {base}, prepared as there. Remove this "
                f"key, or write it in datasets.{base}. Keys here: {', '.join(OWN_KEYS)}."
            )
        else:
            inherited = {key: value for key, value in datasets[base].items() if key != "test_fraction"}
            datasets[name] = copy.deepcopy(inherited) | dataset


def add_settings(config: dict) -> Iterator[str]:
    """Adds the models of all grids with `weight_factors` to a config with its defaults, in place. Yields a message for
    each fault of these grids.
    """
    made = {}
    for experiment, grids in config["experiments"].items():
        for index, grid in enumerate(grids):
            if "weight_factors" in grid:
                place = f"experiments.{experiment}[{index}]"
                yield from grid_faults(place, grid, config["datasets"], config["models"])
                for model in filter(config["models"].get, as_list(grid["model"])):
                    made |= {
                        factor_model(model, factor): scaled(config["models"][model], factor)
                        for factor in grid["weight_factors"]
                    }
    config["models"] = config["models"] | made


def grid_faults(place: str, grid: Mapping, datasets: Mapping, models: Mapping) -> Iterator[str]:
    """Faults of a grid with `weight_factors`, given what the config describes; unknown names are none."""
    factors = grid["weight_factors"]
    if 1 not in factors:
        yield f"{place}.weight_factors: {factors} lacks 1, the weights as they are described. Add it."
    if len({factor_model("", factor) for factor in factors}) < len(factors):
        yield f"{place}.weight_factors: {factors} has two factors with the same six digits. Remove one."
    for name in as_list(grid["dataset"]):
        if name in datasets and "validation_of" not in datasets[name]:
            yield (
                f"{place}.dataset: weights would be chosen by the test images of {name}. Describe and write a dataset "
                f"that is held out of its training images: {{{name}-validation: {{validation_of: {name}}}}}."
            )
    for name in as_list(grid["model"]):
        if name in models and not weights(models[name]):
            yield f"{place}.model: {name} has no weight to tune. Leave it out."
        for other in (factor_model(name, factor) for factor in factors if factor != 1):
            if other in models:
                yield f"models.{other}: {place} has another model of this name. Rename yours."


def weights(model: Mapping) -> dict[str, object]:
    """The weights of a complete model's objective, by the name of their penalty: numbers, or numbers by dataset; "beta"
    is that of a variational model.
    """
    found = {"beta": model["beta"]} if model["variational"] else {}
    return found | {name: entry["weight"] for name, entry in model["penalties"].items()}


def scaled(model: Mapping, factor: float) -> dict:
    """A complete model with all its weights multiplied."""
    model = copy.deepcopy(dict(model))
    if model["variational"]:
        model["beta"] = times(model["beta"], factor)
    for entry in model["penalties"].values():
        entry["weight"] = times(entry["weight"], factor)
    return model


def times(weight: float | Mapping[str, float], factor: float) -> float | dict[str, float]:
    """A weight, or one for each dataset, times a factor, to 12 significant digits: 3 times 0.02 is 0.06."""
    if factor == 1:
        return weight
    if isinstance(weight, Mapping):
        return {dataset: times(value, factor) for dataset, value in weight.items()}
    return float(f"{weight * factor:.12g}")


def described_settings(config: dict) -> list[dict]:
    """What the table of tuning says of each dataset and model of its cells: dataset, setting (the model's name in a
    cell), model (which is described), factor, prior (by which weights are chosen), weights, and the line of config that
    writes them.
    """
    settings, found = tuned_settings(config), []
    for dataset, name in sorted({(cell["dataset"], cell["model"]) for cell in tuning_cells(config)}):
        model, factor = settings[name]
        options, images = config["models"][name], images_of(config, dataset)
        texts = {"weights": weights_text(options, images), "line": config_line(config, model, options, images)}
        row = {"dataset": dataset, "setting": name, "model": model, "factor": float(factor)}
        found.append({**row, "prior": native_prior(config, model), **texts})
    return found


def weights_text(model: Mapping, dataset: str) -> str:
    """The weights of a complete model on a dataset: "norm 0.003, decay 3e-06"."""
    found = {name: kinds.of_dataset({"weight": value}, {}, dataset)["weight"] for name, value in weights(model).items()}
    return ", ".join(f"{name} {value:g}" for name, value in found.items())


def config_line(config: Mapping, name: str, model: Mapping, dataset: str) -> str:
    """The line of YAML that gives the model ``name`` of a resolved config the weights of ``model`` on a dataset, and
    says that they were chosen there.

    Penalties keep their weights on the config's other datasets. A VAE's beta is one for all.
    """
    recipe, others = config["models"][name], [other for other in tested_datasets(config) if other != dataset]

    def written(key: str) -> object:
        old, new = recipe["penalties"][key]["weight"], model["penalties"][key]["weight"]
        if isinstance(new, Mapping):
            return {dataset: new[dataset]}
        return {dataset: new, **dict.fromkeys(others, old)} if others else new

    penalties = {key: {"weight": written(key)} for key in model["penalties"]}
    changed = {"beta": model["beta"]} if model["variational"] else {}
    if penalties:
        changed |= {"penalties": penalties, "tuned_on": sorted({*recipe["tuned_on"], dataset})}
    line = yaml.safe_dump({name: changed}, default_flow_style=True, width=float("inf"), sort_keys=False)
    return f"models: {line.strip()}"
