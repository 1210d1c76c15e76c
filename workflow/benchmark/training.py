"""Images a second of training: this pipeline's loop, a plain PyTorch loop and Pythae's."""

import math
import os
import tempfile

import torch
from benchmark.comparison import Row
from benchmark.loops import BATCH, Case, pipeline_loop, plain_loop, steady_rate
from benchmark.machine import Machine

from autoencoders.networks.numerics import usable


def measure_pipeline(machine: Machine, case: Case, precision: str, default: str, seconds: float) -> list[Row]:
    """Images a second of our loop, and the same in TFLOP/s. ``default`` is the config's precision."""
    device = machine.job_device(precision)
    if usable(precision, device) != precision:
        note = f"not measured: this {device.type} has no fast {precision} products; the pipeline uses fp32 instead"
        return [Row(math.nan, note=note)]
    rate = steady_rate(pipeline_loop(case.network(), device, precision), case.noise(), seconds)
    ours = precision == usable(default, device)
    return [Row(rate, "images/s", ours=ours), Row(rate * case.flops / 1e12, "TFLOP/s", ours=ours)]


def measure_nondeterministic(machine: Machine, case: Case, precision: str, seconds: float) -> list[Row]:
    """Our loop with the fastest algorithms, repeatable or not: shows the cost of repeatability."""
    device = machine.job_device(precision)
    torch.set_deterministic_debug_mode("default")
    torch.backends.cudnn.benchmark = True
    rate = steady_rate(pipeline_loop(case.network(), device, precision), case.noise(), seconds)
    return [Row(rate, "images/s", usable(precision, device))]


def measure_compiled(machine: Machine, case: Case, precision: str, seconds: float) -> list[Row]:
    """Our loop with torch.compile, and the seconds of its first two steps, most of which are the compilation."""
    device, network, images = machine.job_device(precision), case.network(), case.noise()
    network.encoder.compile()
    network.decoder.compile()
    loop = pipeline_loop(network, device, precision)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        # An empty cache, so that no earlier compilation is reused.
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = folder
        compilation = loop(images[: 2 * BATCH], 1)
        rate = steady_rate(loop, images, seconds)
    return [
        Row(rate, "images/s", usable(precision, device)),
        Row(compilation, "s", "the first two steps, most of it the compilation"),
    ]


def measure_plain(machine: Machine, case: Case, seconds: float) -> list[Row]:
    loop = plain_loop(case.network(), machine.default_device())
    return [Row(steady_rate(loop, case.noise(), seconds), "images/s")]


def measure_pythae(machine: Machine, case: Case, seconds: float) -> list[Row]:
    # Imported here: it may be missing.
    from benchmark.pythae_loop import pythae_loop

    loop = pythae_loop(case.network(), machine.default_device())
    return [Row(steady_rate(loop, case.noise(), seconds), "images/s", "its BaseTrainer, with our network and loss")]
