"""Work in batches on a device; smaller ones when its memory is full."""

import logging
from collections.abc import Callable

import torch

from autoencoders.jobs.errors import MORE_MEMORY, UserError, out_of_memory

logger = logging.getLogger(__name__)


def in_batches(work: Callable[[slice], None], count: int, batch_size: int) -> None:
    """Call ``work`` with the slices of ``count`` images, ``batch_size`` of them at a time.

    When memory runs out, continue with batches of half the size, down to one image; ``work`` must be safe to repeat.
    Raises UserError if a single image does not fit.
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
        # Not in the except block: the exception keeps the failed batch's tensors alive.
        if full:
            batch_size = (batch.stop - batch.start) // 2
            if torch.cuda.is_initialized():
                torch.cuda.empty_cache()
            continue
        if batch_size < asked:
            logger.warning("memory is full: continuing with batches of %d images instead of %d", batch_size, asked)
            asked = batch_size
        start = batch.stop
