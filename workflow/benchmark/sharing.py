"""Images a second of several cells that train on one device at once: the gain from `cells_per_gpu` or more cores."""

import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor, wait
from threading import Barrier, BrokenBarrierError

from benchmark.comparison import Row
from benchmark.loops import FIRST, Case, pipeline_loop
from benchmark.machine import Machine

# When a process trained, in seconds since the epoch, and its images a second.
Span = tuple[float, float, float]


def train_between(machine: Machine, case: Case, precision: str, count: int, seconds: float, ready: Barrier) -> Span:
    """One of ``count`` processes, which train for about ``seconds`` as soon as all of them are ready."""
    # Each takes one of ``count`` slots, so that all use the same GPU even if there are several.
    device = machine.job_device(precision, {case.filters: count}, case.filters)
    loop, images = pipeline_loop(case.network(), device, precision), case.noise()
    first = images[:FIRST]
    loop(first, 1)
    ready.wait()
    # The first steps and the pace are timed while the other processes train too.
    beginning = loop(first, 1)
    epochs = max(2, round(seconds / loop(images, 1)))
    ready.wait()
    began = time.time()
    spent = loop(images, epochs) - beginning
    return began, time.time(), (epochs * len(images) - len(first)) / spent


def train_together(machine: Machine, case: Case, precision: str, count: int, seconds: float) -> list[Span]:
    """The spans of ``count`` processes. Raises the error of one that failed, not of those that waited for it."""
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager, ProcessPoolExecutor(count, mp_context=context) as pool:
        # No process takes minutes to start, or to train for an epoch; if one fails, the others stop waiting.
        ready = manager.Barrier(count, timeout=300)
        futures = [pool.submit(train_between, machine, case, precision, count, seconds, ready) for _ in range(count)]
        for future in futures:
            future.add_done_callback(lambda done: done.exception() and ready.abort())
        wait(futures)
        for future in futures:
            if future.exception() and not isinstance(future.exception(), BrokenBarrierError):
                raise future.exception()
        return [future.result() for future in futures]


def measure_shared(machine: Machine, case: Case, precision: str, count: int, seconds: float) -> list[Row]:
    """The sum over ``count`` processes, each of which trains a cell."""
    began, ended, rates = zip(*train_together(machine, case, precision, count, seconds), strict=True)
    together = 100 * (min(ended) - max(began)) / (max(ended) - min(began))
    note = f"{machine.threads} CPU thread(s) each"
    if count > 1:
        note += f"; sum over all, {together:.0f}% of the time at once"
    return [Row(sum(rates), "images/s", note, ours=count == 1)]
