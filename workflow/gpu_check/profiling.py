"""Which kernels a training step spends its time in."""

from collections.abc import Iterator

import torch
from benchmark.loops import FIRST, pipeline_loop
from gpu_check import rows
from gpu_check.rates import default_precision
from gpu_check.sizes import Check
from torch.profiler import ProfilerActivity, profile

from autoencoders.jobs.files import atomic
from autoencoders.networks.numerics import usable

SHOWN = 8


def profiled(check: Check) -> Iterator[dict]:
    """The kernels of a short training by their share of its time on the device; all of them go into profile.txt."""
    machine, case = check.machine, check.sizes.main
    device = machine.job_device()
    precision = usable(default_precision(), device)
    loop, images = pipeline_loop(case.network(), device, precision), case.noise()[: 4 * FIRST]
    # The first run loads libraries.
    loop(images[:FIRST], 1)
    with profile(activities=[ProfilerActivity.CUDA if machine.gpu else ProfilerActivity.CPU]) as found:
        loop(images, 1)
        if machine.gpu:
            torch.cuda.synchronize()
    attribute = "self_device_time_total" if machine.gpu else "self_cpu_time_total"
    kernels = found.key_averages()
    with atomic(check.folder / "profile.txt") as file:
        sort = "self_cuda_time_total" if machine.gpu else "self_cpu_time_total"
        file.write_text(kernels.table(sort_by=sort, row_limit=60, max_name_column_width=110), encoding="utf-8")
    times = {kernel.key: getattr(kernel, attribute) for kernel in kernels}
    total = sum(times.values())
    for name in sorted(times, key=times.get, reverse=True)[:SHOWN]:
        yield rows.value("profile", name[:90], "", 100 * times[name] / total, "%")
