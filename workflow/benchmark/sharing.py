"""Images a second of several cells that train at once on one device: what `cells_per_gpu`, or more cores, gain."""

import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor

from benchmark.comparison import Row, row
from benchmark.training import BATCH, Case, Effort, pipeline_loop

from autoencoders import device as devices

# Until every process has imported PyTorch, warmed up and recorded its step.
WARM_UP = 30.0


def train_between(case: Case, precision: str, effort: Effort, start: float) -> float:
    """Images a second of one process, from ``start`` (seconds since the epoch) on for the effort's seconds."""
    loop = pipeline_loop(case, devices.setup(effort.gpu, effort.threads, {}), precision)
    images = case.noise()
    loop(images[: 4 * BATCH], 2)
    time.sleep(max(0.0, start - time.time()))
    began, done = time.perf_counter(), 0
    while (spent := time.perf_counter() - began) < effort.seconds:
        loop(images, 1)
        done += len(images)
    return done / spent


def measure_shared(case: Case, precision: str, count: int, effort: Effort) -> list[Row]:
    """The sum over ``count`` processes that train a cell each, all at the same time."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(count, mp_context=context) as pool:
        start = time.time() + WARM_UP
        futures = [pool.submit(train_between, case, precision, effort, start) for _ in range(count)]
        rates = [future.result() for future in futures]
    cells = "1 cell" if count == 1 else f"{count} cells at once"
    threads = f", {effort.threads} CPU thread(s) each"
    return [row("sharing", case.name, cells + threads, sum(rates), "images/s", ours=count == 1, note="all together")]
