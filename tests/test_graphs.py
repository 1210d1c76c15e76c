"""Steps recorded as CUDA graphs: what is recorded and replayed when, and on a GPU, that it changes no number."""

import contextlib
import dataclasses

import numpy as np
import own_penalties
import pytest
import torch

from autoencoders.networks import cuda_graphs, training
from autoencoders.networks.network import Autoencoder, NetworkOptions, parse_depth
from autoencoders.networks.numerics import repeatable
from autoencoders.networks.objective import Objective
from autoencoders.networks.training import TrainingOptions, train


class PretendedGraph:
    """A CUDA graph on the CPU: collects what runs while it records, and runs it when replayed."""

    recording = None

    def __init__(self):
        self.work, self.generators = [], []

    def register_generator_state(self, generator):
        self.generators.append(generator)

    def replay(self):
        for work in self.work:
            work()

    @classmethod
    @contextlib.contextmanager
    def graph(cls, graph, pool, stream):
        cls.recording = graph
        yield
        cls.recording = None


@pytest.fixture
def pretended_cuda(monkeypatch):
    monkeypatch.setattr(torch.cuda, "CUDAGraph", PretendedGraph)
    monkeypatch.setattr(torch.cuda, "graph", PretendedGraph.graph)
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: "pool")
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: "stream")


def test_a_step_is_recorded_for_each_size_and_then_replayed_with_the_current_indices(pretended_cuda):
    seen = []

    def step(indices):
        if PretendedGraph.recording is None:
            seen.append(indices.tolist())
        else:
            PretendedGraph.recording.work.append(lambda: seen.append(indices.tolist()))

    generator = torch.Generator()
    graphed = cuda_graphs.GraphedStep(step, generator)
    batches = [torch.arange(start, min(start + 4, 10)) for _ in range(6) for start in range(0, 10, 4)]
    for batch in batches:
        graphed(batch)
    # Every batch once and in order, whether it ran as it is, was recorded or replayed.
    assert seen == [batch.tolist() for batch in batches]
    assert set(graphed.recorded) == {4, 2}
    assert all(graph.generators == [generator] for _, graph in graphed.recorded.values())
    assert graphed.calls == {4: 12, 2: 6}
    # Nothing is recorded before the libraries have warmed up.
    short = cuda_graphs.GraphedStep(step, generator)
    for _ in range(cuda_graphs.WARM_UP):
        short(torch.arange(4))
    assert not short.recorded


def test_a_step_on_the_cpu_is_left_as_it_is():
    def step(indices):
        pass

    assert cuda_graphs.recorded(step, torch.Generator()) is step


GPU = torch.device("cuda")
DATA = np.random.default_rng(0).integers(0, 256, (300, 3, 32, 32), dtype=np.uint8)
PENALTIES = {
    **{kind: {"kind": kind, "weight": 1e-3} for kind in ("mmd", "code_norm", "entropy", "decoder_gradient")},
    "decoder_decay": {"kind": "decoder_decay", "weight": 1e-6, "dense": True},
    "mixture": {"kind": "mixture", "weight": 1e-3, "components": 10},
}
TRAININGS = [
    *((objective, []) for objective in (Objective(), Objective(beta=0.01), Objective(noise=0.5))),
    # One of them draws random numbers, and another takes a gradient within the loss.
    (Objective(beta=0.01), list(own_penalties.OWN)),
    (Objective(penalties=PENALTIES), []),
]


@pytest.mark.gpu
@pytest.mark.parametrize("latent_norm", ["none", "batch", "batch_plain", "spectral", "spectral_all"])
@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16"])
@pytest.mark.parametrize(("objective", "own"), TRAININGS, ids=str)
def test_a_recorded_step_trains_to_the_same_bits(monkeypatch, tmp_path, objective, own, precision, latent_norm):
    """With a smaller last batch, which is recorded as well, and with random numbers drawn inside the graph."""
    for name in own:
        (tmp_path / name).mkdir()
    penalties = {name: own_penalties.entry(tmp_path / name, name) for name in own}
    objective = dataclasses.replace(objective, penalties={**objective.penalties, **penalties})
    options = TrainingOptions(
        8, 64, ((0, 1e-4), (1, 1e-3), (6, 1e-4)), frozen_latent=latent_norm == "batch", precision=precision
    )
    repeatable(1, tf32=precision == "tf32")
    found = []
    for recorded in (True, False, True):
        if not recorded:
            monkeypatch.setattr(training, "recorded", lambda step, generator: step)
        shape = NetworkOptions(32, 8, parse_depth("1"), 16, objective.beta > 0, latent_norm)
        network = Autoencoder(shape, seed=0)
        result = train(network, DATA, options, objective, 0, GPU)
        found.append((result.history, [tensor.cpu() for tensor in network.state_dict().values()]))
        monkeypatch.undo()
    for history, weights in found[1:]:
        assert history == found[0][0]
        assert all(torch.equal(value, first) for value, first in zip(weights, found[0][1], strict=True))


@pytest.mark.gpu
def test_float32_on_the_gpu_is_the_cpus_within_rounding():
    options = TrainingOptions(1, 300, ((0, 1e-4),))
    losses = []
    for place in (torch.device("cpu"), GPU):
        network = Autoencoder(NetworkOptions(32, 8, parse_depth("1"), 16), seed=0)
        losses.append(train(network, DATA, options, Objective(), 0, place).history[0]["loss"])
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
