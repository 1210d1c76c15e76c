"""A training step as a CUDA graph: recorded once, replayed by one call instead of some hundred kernel launches.

A small network's kernels take less time than Python needs to launch them, so the GPU would wait for the host.
"""

import contextlib
import warnings
from collections import Counter
from collections.abc import Callable

import torch
from torch import Tensor

# How often a step runs before it is recorded: libraries and the optimiser allocate persistent memory in the first runs.
WARM_UP = 3


class GraphedStep:
    """A step on a batch's indices, (B,) int64: recorded as one CUDA graph per B, and replayed from then on.

    Apart from ``indices``, ``step`` may read only tensors on the device and ``generator``, which draws the same
    numbers with and without the graph. Construct and call it inside ``side_stream``.
    """

    def __init__(self, step: Callable[[Tensor], None], generator: torch.Generator) -> None:
        self.step, self.generator = step, generator
        self.calls: Counter[int] = Counter()
        self.recorded: dict[int, tuple[Tensor, torch.cuda.CUDAGraph]] = {}
        # All batch sizes share one memory pool: two steps never run at once.
        self.pool = torch.cuda.graph_pool_handle()

    def __call__(self, indices: Tensor) -> None:
        size = len(indices)
        self.calls[size] += 1
        if self.calls[size] <= WARM_UP:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", ".*capturable=True")  # Adam's, about steps that are not recorded.
                self.step(indices)
            return
        if size not in self.recorded:
            self.recorded[size] = self.record(indices)
        buffer, graph = self.recorded[size]
        buffer.copy_(indices)
        graph.replay()

    def record(self, indices: Tensor) -> tuple[Tensor, torch.cuda.CUDAGraph]:
        """(buffer from which the graph reads the indices, graph). Recording computes nothing."""
        buffer, graph = indices.clone(), torch.cuda.CUDAGraph()
        with warnings.catch_warnings():
            # PyTorch 2.11 needs this; 2.14 finds the graph's generators itself, and warns.
            warnings.simplefilter("ignore")
            graph.register_generator_state(self.generator)
        with torch.cuda.graph(graph, pool=self.pool, stream=torch.cuda.current_stream()):
            self.step(buffer)
        return buffer, graph


def side_stream(device: torch.device) -> contextlib.AbstractContextManager:
    """A CUDA stream other than the default one, as recording requires; does nothing on other devices."""
    if device.type != "cuda":
        return contextlib.nullcontext()
    torch.cuda.synchronize(device)
    return torch.cuda.stream(torch.cuda.Stream(device))


def recorded(step: Callable[[Tensor], None], generator: torch.Generator) -> Callable[[Tensor], None]:
    """``step`` as a ``GraphedStep`` if its generator is on a CUDA device, else unchanged."""
    return GraphedStep(step, generator) if generator.device.type == "cuda" else step
