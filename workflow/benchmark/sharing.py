"""Images a second of several cells that train at once on one device: what `cells_per_gpu`, or more cores, gain."""

import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from threading import Barrier

from benchmark.comparison import Row, row
from benchmark.machine import job_device
from benchmark.training import BATCH, Case, Effort, pipeline_loop

# When a process trained, in seconds since the epoch, and its images a second.
Span = tuple[float, float, float]


def train_between(case: Case, precision: str, count: int, effort: Effort, all_ready: Barrier) -> Span:
    """One of ``count`` processes, which train for about the effort's seconds as soon as all of them are ready."""
    # Each takes one slot of as many: all of them on the same GPU, wherever there are several.
    device = job_device(effort.gpu, effort.threads, {case.filters: count}, case.filters, tf32=precision == "tf32")
    loop, images = pipeline_loop(case, device, precision), case.noise()
    loop(images[: 4 * BATCH], 1)
    all_ready.wait()
    # At the pace at which they all train; in one run, so that what it takes to begin one counts for nothing.
    epochs = max(1, round(effort.seconds / loop(images, 1)))
    all_ready.wait()
    began = time.time()
    seconds = loop(images, epochs)
    return began, time.time(), epochs * len(images) / seconds


def train_together(case: Case, precision: str, count: int, effort: Effort) -> list[Span]:
    """What each of ``count`` processes has to tell. Raises the first error of any."""
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager, ProcessPoolExecutor(count, mp_context=context) as pool:
        # No process takes minutes to start, or to train for an epoch.
        all_ready = manager.Barrier(count, timeout=300)
        futures = [pool.submit(train_between, case, precision, count, effort, all_ready) for _ in range(count)]
        try:
            return [future.result() for future in as_completed(futures)]
        except BaseException:
            # The others wait for this one.
            all_ready.abort()
            raise


def measure_shared(case: Case, precision: str, count: int, effort: Effort) -> list[Row]:
    """The sum over ``count`` processes that train a cell each, all at the same time."""
    spans = train_together(case, precision, count, effort)
    began, ended, rates = zip(*spans, strict=True)
    share = (min(ended) - max(began)) / (max(ended) - min(began))
    contender = f"{count} at once, {effort.threads} CPU thread(s) each"
    note = f"all together, {100 * share:.0f}% of the time at once" if count > 1 else ""
    return [row("sharing", case.name, contender, sum(rates), "images/s", ours=count == 1, note=note)]
