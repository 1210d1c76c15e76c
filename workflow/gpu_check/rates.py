"""Speed and memory of training: by width, with and without recorded steps, in other number formats and layouts."""

import contextlib
import gc
import math
import traceback
from collections.abc import Iterator

import torch
import yaml
from benchmark import plan
from benchmark import training as compared
from benchmark.comparison import Row
from benchmark.loops import BATCH, FIRST, Case, pipeline_loop, steady_rate
from benchmark.machine import Machine
from gpu_check import rows
from gpu_check.sizes import Check

from autoencoders.config import settings
from autoencoders.jobs.device import peak_memory
from autoencoders.networks import training
from autoencoders.networks.network import Autoencoder
from autoencoders.networks.numerics import usable

GIB = 2**30


class Contiguous(Autoencoder):
    """The network in PyTorch's default memory layout, whatever the training asks for."""

    def to(self, device: torch.device, memory_format: torch.memory_format) -> "Contiguous":
        return super().to(device)


def default_precision() -> str:
    """The precision of the paper's run."""
    return settings.resolve(yaml.safe_load(plan.CONFIG.read_text(encoding="utf-8")))["models"]["dae"]["precision"]


@contextlib.contextmanager
def not_recorded() -> Iterator[None]:
    """Inside, steps are not recorded as CUDA graphs, so that the host launches each kernel."""
    kept, training.recorded = training.recorded, lambda step, generator: step
    try:
        yield
    finally:
        training.recorded = kept


def freed(machine: Machine) -> None:
    """Give back the memory of what was measured before."""
    gc.collect()
    if machine.gpu:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def rate(machine: Machine, case: Case, precision: str, seconds: float, kind: type[Autoencoder] = Autoencoder) -> float:
    """Images a second of steady training steps."""
    device = machine.job_device(precision)
    freed(machine)
    return steady_rate(pipeline_loop(kind(case.options, seed=0), device, precision), case.noise(), seconds)


def memory(machine: Machine, case: Case, precision: str) -> list[Row]:
    """Peak GiB of a training's first steps, which include recording, with few images on the device."""
    device = machine.job_device(precision)
    freed(machine)
    pipeline_loop(case.network(), device, precision)(case.noise()[:FIRST], 1)
    if not machine.gpu:
        return [Row(peak_memory(device) / GIB, "GiB", "of the whole process", contender="memory")]
    return [
        Row(torch.cuda.max_memory_allocated() / GIB, "GiB", contender="memory allocated"),
        Row(torch.cuda.max_memory_reserved() / GIB, "GiB", contender="memory reserved"),
    ]


def by_width(check: Check) -> Iterator[dict]:
    """Rate and memory of each case, as the pipeline trains it. One that fails leaves the others to be measured."""
    machine, precision, good = check.machine, default_precision(), True
    used = usable(precision, machine.job_device(precision))
    contender = f"this pipeline, {used}"
    for case in check.sizes.cases:
        try:
            images = rate(machine, case, used, check.sizes.seconds)
            found = [
                Row(images, "images/s", ours=True),
                Row(1000 * BATCH / images, "ms/step", f"batches of {BATCH}"),
                Row(images * case.flops / 1e12, "TFLOP/s"),
            ]
            yield from rows.measured("training", case.name, contender, found)
            yield from rows.measured("training", case.name, contender, memory(machine, case, used))
        except Exception as error:
            # Such as full memory at the largest width.
            traceback.print_exc()
            good = False
            note = f"not measured: {type(error).__name__}: {str(error).splitlines()[0][:200] if str(error) else ''}"
            yield rows.value("training", case.name, contender, math.nan, "images/s", note)
    yield rows.outcome("rates", "every width trains", good, f"{len(check.sizes.cases)} networks, in {used}")


def variants(check: Check) -> Iterator[dict]:
    """Eager steps, other number formats, layouts in float32, and the cost of repeatable algorithms."""
    machine, sizes = check.machine, check.sizes
    default = usable(default_precision(), machine.job_device())

    def row(case: Case, what: str, images: float) -> dict:
        return rows.value("variants", case.name, what, images, "images/s")

    with not_recorded():
        for case in dict.fromkeys((sizes.narrow, sizes.main)):
            yield row(case, f"eager, {default}", rate(machine, case, default, sizes.seconds))
    main = sizes.main
    if usable("tf32", machine.job_device("tf32")) == "tf32":
        yield row(main, "tf32", rate(machine, main, "tf32", sizes.seconds))
    yield row(main, "fp32, channels last", rate(machine, main, "fp32", sizes.seconds))
    yield row(main, "fp32, contiguous", rate(machine, main, "fp32", sizes.seconds, Contiguous))
    (found,) = compared.measure_nondeterministic(machine, main, default, sizes.seconds)
    yield row(main, f"not deterministic, {default}", found.value)


def compiled(check: Check) -> Iterator[dict]:
    """Recorded steps after torch.compile. A dry run leaves it out: a CPU compiles for a minute."""
    if check.dry:
        return
    default = usable(default_precision(), check.machine.job_device())
    found = compared.measure_compiled(check.machine, check.sizes.main, default, check.sizes.seconds)
    yield from rows.measured("variants", check.sizes.main.name, f"torch.compile, {default}", found)
