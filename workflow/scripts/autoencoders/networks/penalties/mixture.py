"""How far a batch's codes are from a fixed mixture of Gaussians: GMM-DAE (Saseendran et al. 2021).

The target has K equally likely components N(m_k, I), where m_k is the k-th unit vector. Two terms are each about 1 for
codes from the target: a squared distance between the distribution functions of single units, and one between
covariances. The prior `target_gmm` is the target.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from autoencoders.networks.objective import Step

OPTIONS = {
    "components": {
        "type": "integer",
        "minimum": 1,
        "default": 10,
        "description": "a whole number, at least 1 and at most the latent units",
        "by_dataset": True,
    }
}
# The covariance of few codes says little.
MIN_BATCH = 32
MIN_WEIGHT = 0
# These draw codes to another law than the mixture.
OTHER_LAWS = ("mmd", "entropy", "code_norm")


def check(options: Mapping, model: Mapping, latent: int) -> Iterator[tuple[str, str]]:
    if options["components"] > latent:
        yield (
            "components",
            f"{options['components']} unit vectors need as many latent units, but a cell has {latent}: some would be "
            f"taken twice, and the components not equally likely. Write at most {latent}, or larger latent sizes.",
        )
    if model["variational"]:
        yield (
            "kind",
            "the KL term already draws a VAE's codes to N(0, I). Write it into a model that is not variational.",
        )
    if model["latent_norm"] == "batch_plain":
        yield (
            "kind",
            "latent_norm: batch_plain gives codes the mean 0, which the mixture has not. Write latent_norm: none.",
        )
    for other in (entry["kind"] for entry in model["penalties"].values()):
        if other in OTHER_LAWS:
            yield "kind", f"{other} draws codes to another law than the mixture's. Write one of the two."


def penalty(step: Step, options: Mapping) -> Tensor:
    """A smaller last batch of an epoch keeps the weights of a full one."""
    components, latent = options["components"], step.codes.shape[1]
    ks, covariance = distances(step.codes, components)
    of_ks, of_covariance = expected(step.batch_size, components, latent)
    return ks / of_ks + covariance / of_covariance


def distances(codes: Tensor, components: int) -> tuple[Tensor, Tensor]:
    """The two terms for codes (B, z), without their weights; scalars."""
    import torch

    count, latent = codes.shape
    # In unit j, a share of the components has mean 1, and the others 0.
    share = (torch.arange(latent, device=codes.device) < components).to(codes.dtype) / components

    def normal(values: Tensor) -> Tensor:
        return 0.5 + 0.5 * torch.erf(values * 2**-0.5)

    # A code's place among the B of its unit: 1/B, ..., 1. It has no gradient.
    order = codes.detach().argsort(dim=0, stable=True)
    places = (order.argsort(dim=0) + 1).to(codes.dtype) / count
    ks = ((1 - share) * normal(codes) + share * normal(codes - 1) - places).square().mean()
    target = torch.diag(1 + share) - share[:, None] * share
    centred = codes - codes.mean(0)
    return ks, (centred.T @ centred / count - target).square().mean()


def expected(count: int, components: int, latent: int) -> tuple[float, float]:
    """The means of the two terms over batches of ``count`` codes drawn from the target, exactly.

    The authors take the means of 64 such batches. A place of a uniform order statistic has the mean squared error
    (B + 1) / 6B². For a covariance with divisor B, E(Ĉ − C)² follows from the variance of the unbiased estimate S, by
    fourth moments: Var S_ij = (m22 − C_ij² (B − 2) / (B − 1) + C_ii C_jj / (B − 1)) / B.
    """
    share = 1 / components

    def error(fourth: float, covariance: float, variances: float) -> float:
        spread = (fourth - covariance**2 * (count - 2) / (count - 1) + variances / (count - 1)) / count
        return ((count - 1) / count) ** 2 * spread + (covariance / count) ** 2

    # A mean of 1 or 0 in a unit, less its mean: moments of 2, 4, and of two such units together.
    second = share * (1 - share)
    fourth = share * (1 - share) ** 4 + (1 - share) * share**4
    together = 2 * share * (1 - share) ** 2 * share**2 + (1 - 2 * share) * share**4
    with_mean, without = components, latent - components
    total = with_mean * error(fourth + 6 * second + 3, 1 + second, (1 + second) ** 2)
    total += with_mean * (with_mean - 1) * error(together + 2 * second + 1, -(share**2), (1 + second) ** 2)
    total += 2 * with_mean * without * error(second + 1, 0, 1 + second)
    total += without * error(3, 1, 1) + without * (without - 1) * error(1, 0, 1)
    return (count + 1) / (6 * count**2), total / latent**2
