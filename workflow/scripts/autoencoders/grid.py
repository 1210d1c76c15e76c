"""The cells of a config's experiments: what its grids stand for."""

import itertools

from autoencoders.labels import CELL_KEYS


def cells(config: dict, known_only: bool = False) -> list[dict]:
    """Every cell of the experiments in ``run``, each once: plain dicts with the keys CELL_KEYS.

    ``known_only`` leaves out grids that name what does not exist, for checks that go on after such a fault.
    """
    found = {}
    for experiment in config["run"]:
        for cell in experiment_cells(config, experiment, known_only):
            found[tuple(cell.values())] = cell
    return list(found.values())


def experiment_cells(config: dict, experiment: str, known_only: bool = False) -> list[dict]:
    """The cells of one experiment: the product of each grid's axes and of the seeds."""
    found = []
    for grid in config["experiments"].get(experiment, []) if known_only else config["experiments"][experiment]:
        for dataset, model in itertools.product(as_list(grid["dataset"]), as_list(grid["model"])):
            if known_only and (dataset not in config["datasets"] or model not in config["models"]):
                continue
            if config["run_on"] and dataset not in config["run_on"]:
                continue
            latent = as_list(grid.get("latent", config["datasets"][dataset]["latent"]))
            depth = dict.fromkeys(plain_depth(value) for value in as_list(grid["depth"]))
            for values in itertools.product(as_list(grid["filters"]), depth, latent, config["seeds"]):
                found.append(dict(zip(CELL_KEYS, (dataset, model, *values), strict=True)))
    return found


def as_list(value) -> list:
    return value if isinstance(value, list) else [value]


def plain_depth(depth: int | str) -> str:
    """A depth as a part of a path: 2222 is the same network as 2, and has its name."""
    digits = str(depth)
    return digits[0] if len(digits) == 4 and len(set(digits)) == 1 else digits
