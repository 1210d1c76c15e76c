"""How many slots of a GPU a job takes.

A rule's resource ``gpu`` counts slots. Each GPU has as many slots as its smallest cells fit in (config key
``cells_per_gpu``). Snakemake counts how many slots are taken, but not on which GPU: each job locks its own
(`jobs.gpu_locks`). Snakemake's own process imports this module, so it needs nothing but the standard library.
"""

from collections.abc import Mapping


def slots_per_gpu(cells_per_gpu: Mapping[int, int]) -> int:
    """How many slots a GPU has: one for each of its smallest cells, and one without any entry."""
    return max(cells_per_gpu.values(), default=1)


def training_slots(cells_per_gpu: Mapping[int, int], filters: int) -> int:
    """How many slots the training of a cell takes; all slots of a GPU if the cell is wider than every entry."""
    slots = slots_per_gpu(cells_per_gpu)
    widths = [width for width in cells_per_gpu if width >= filters]
    return slots // cells_per_gpu[min(widths)] if widths else slots
