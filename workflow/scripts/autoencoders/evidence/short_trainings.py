"""The sentence beside the pictures, curves and scores of cells that were trained for too few steps."""

from collections.abc import Iterable, Mapping

from autoencoders.networks.steps import FEW_STEPS, training_steps


def steps_of(record: Mapping) -> int:
    """The optimiser steps of a cell's training, by its cell.json."""
    training = record["training"]
    return training_steps(record["training_images"], training["epochs"], training["batch_size"])


def short_training_note(steps: Iterable[int]) -> str:
    """A sentence for cells that were trained for so many ``steps`` each; "" if none of them is below FEW_STEPS."""
    steps = set(steps)
    short = {count for count in steps if count < FEW_STEPS}
    if not short:
        return ""
    counts = " to ".join(f"{count:,}" for count in sorted({min(short), max(short)}))
    unit = "step" if short == {1} else "steps"
    who = "Trained" if short == steps else "Some cells were trained"
    return f"{who} for {counts} {unit} only: below {FEW_STEPS}, pictures and scores mean little."
