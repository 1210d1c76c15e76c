"""Work on a device in batches: in smaller ones where its memory is full."""

import logging
from collections.abc import Callable

import torch

from autoencoders.jobs.errors import MORE_MEMORY, UserError, out_of_memory

logger = logging.getLogger(__name__)


def in_batches(work: Callable[[slice], None], count: int, batch_size: int) -> None:
    """Call ``work`` with the slices of ``count`` images, ``batch_size`` of them at a time.

    Where that runs out of memory, with half as many from there on, and so on down to one: ``work`` must leave nothing
    behind when it fails. Raises UserError where the memory is too small for a single one.
    """
    start, asked = 0, batch_size
    while start < count:
        batch = slice(start, min(start + batch_size, count))
        try:
            work(batch)
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            if batch.stop - batch.start == 1:
                raise UserError(f"out of memory with a batch of a single image ({error}). {MORE_MEMORY}.") from error
            full = True
        else:
            full = False
        # Not where the exception is caught: it holds on to the tensors of the batch that failed.
        if full:
            batch_size = (batch.stop - batch.start) // 2
            if torch.cuda.is_initialized():
                torch.cuda.empty_cache()
            continue
        if batch_size < asked:
            logger.warning("the memory is full: on with batches of %d images instead of %d", batch_size, asked)
            asked = batch_size
        start = batch.stop
