"""The squared norm of the decoder's Jacobian: the gradient penalty of RAE-GP (Ghosh et al. 2020), as its paper has it.

Estimated by one random projection a step: for v from N(0, I), the gradient of <D(z), v> with respect to a code has the
expected squared norm ||J||² (Frobenius). The authors' code differentiates another function, the sum of squared values,
so that its weights do not carry over.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from autoencoders.networks.objective import Step

MIN_WEIGHT = 0
# The decoder's usual three passes, one more to the code, and two to differentiate that one; the encoder has no more.
COST = 2


def penalty(step: Step, options: Mapping) -> Tensor:
    """The squared norm summed over units, mean over the batch."""
    import torch

    directions = torch.randn(step.logits.shape, generator=step.generator, device=step.logits.device)
    projected = (step.logits.sigmoid() * directions).sum()
    (slopes,) = torch.autograd.grad(projected, step.decoded, create_graph=True)
    return slopes.square().sum(1).mean()
