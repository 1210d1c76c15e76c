"""The optimiser steps of a training, without PyTorch."""

# Fewer steps are too few: encoding and decoding use batch normalisation's running statistics, which follow those of the
# batches by a hundredth a step (momentum 0.01). They lag a hundred steps behind weights that still change fast, and it
# takes 500 steps until less than a hundredth of their initial values is left (0.99^500 = 0.007).
FEW_STEPS = 500


def batch_bounds(count: int, batch_size: int) -> list[tuple[int, int]]:
    """(start, stop) of every batch of ``count`` images; the last batch may be smaller.

    A single leftover image joins the batch before it: batch normalisation of codes needs two.
    """
    bounds = [(start, min(start + batch_size, count)) for start in range(0, count, batch_size)]
    if len(bounds) > 1 and count - bounds[-1][0] == 1:
        bounds[-2:] = [(bounds[-2][0], count)]
    return bounds


def training_steps(images: int, epochs: int, batch_size: int) -> int:
    """The optimiser steps of ``epochs`` epochs of ``images`` images; a training that diverges ends before them."""
    return epochs * len(batch_bounds(images, batch_size))
