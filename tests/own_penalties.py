"""Penalties in files of a user's own."""

from pathlib import Path

# Draws random numbers.
RANDOM = """
import torch

OPTIONS = {"spread": {"type": "number", "description": "a number"}}


def penalty(step, options):
    noise = torch.randn(step.codes.shape, generator=step.generator, device=step.codes.device)
    return (step.codes - options["spread"] * noise).square().mean()
"""
# Reads weights.
WEIGHTS = """
def penalty(step, options):
    return sum(parameter.square().sum() for parameter in step.network.decoder.parameters())
"""
# A gradient that training differentiates again.
GRADIENT = """
import torch


def penalty(step, options):
    (slopes,) = torch.autograd.grad(step.logits.square().sum(), step.decoded, create_graph=True)
    return slopes.square().mean()
"""
# Source, weight and options.
OWN = {"random": (RANDOM, 0.5, {"spread": 2.0}), "weights": (WEIGHTS, 0.01, {}), "gradient": (GRADIENT, 1e-4, {})}


def entry(folder: Path, name: str) -> dict:
    """A config's entry for one of ``OWN``, which is written to mine.py in ``folder``."""
    source, weight, options = OWN[name]
    path = folder / "mine.py"
    path.write_text(source, encoding="utf-8")
    return {"kind": str(path), "weight": weight, **options}
