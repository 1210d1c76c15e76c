"""Whether a training gives equal bits: recorded, recorded again, and not recorded."""

import contextlib
import dataclasses
import hashlib
from collections.abc import Iterator

import numpy as np
from benchmark.loops import BATCH, RATE
from gpu_check import rows
from gpu_check.rates import default_precision, not_recorded
from gpu_check.sizes import Check

from autoencoders.networks.network import Autoencoder
from autoencoders.networks.objective import Objective
from autoencoders.networks.training import TrainingOptions, train

PENALTIES = {
    **{kind: {"kind": kind, "weight": 1e-3} for kind in ("mmd", "code_norm", "entropy", "decoder_gradient")},
    "decoder_decay": {"kind": "decoder_decay", "weight": 1e-6, "dense": True},
    "mixture": {"kind": "mixture", "weight": 1e-3, "components": 2},
}
# Options of the network, and objective, for each kind of step.
KINDS = {
    "dae": ({}, Objective()),
    "vae": ({"variational": True}, Objective(beta=0.01)),
    "spectral norm": ({"latent_norm": "spectral"}, Objective()),
    "batch norm with noise": ({"latent_norm": "batch"}, Objective(noise=0.5)),
    "penalties with spectral norm": ({"latent_norm": "spectral_all"}, Objective(penalties=PENALTIES)),
}
NAMES = tuple(f"equal bits, {kind}" for kind in KINDS)
# Images of the last batch, which is recorded on its own.
REST = 80


def result(check: Check, kind: str, recorded: bool) -> str:
    """The SHA-256 of the trained weights and of the losses. Raises ArithmeticError if these are not finite."""
    options, objective = KINDS[kind]
    case, device = check.sizes.main, check.machine.job_device()
    network = Autoencoder(dataclasses.replace(case.options, **options), seed=0)
    shape = (check.sizes.batches * BATCH + REST, 3, case.size, case.size)
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    how = TrainingOptions(check.sizes.epochs, BATCH, ((0, RATE),), precision=default_precision())
    with contextlib.nullcontext() if recorded else not_recorded():
        done = train(network, images, how, objective, 0, device)
    if done.status != "ok":
        raise ArithmeticError(f"the training of {kind} ended as {done.status}")
    digest = hashlib.sha256(repr(done.history).encode())
    for tensor in network.state_dict().values():
        digest.update(tensor.numpy(force=True).tobytes())
    return digest.hexdigest()


def same_bits(check: Check) -> Iterator[dict]:
    for kind, name in zip(KINDS, NAMES, strict=True):
        found = {"recorded": result(check, kind, True), "recorded again": result(check, kind, True)}
        found["not recorded"] = result(check, kind, False)
        first = found["recorded"]
        differ = [how for how, digest in found.items() if digest != first]
        note = f"{' and '.join(differ)}: other bits than recorded" if differ else ""
        yield rows.outcome("equal bits", name, not differ, note or "eager three times" * check.dry)
