"""Adam (Kingma and Ba 2015) as one call of PyTorch's fused kernel.

That is what `torch.optim.Adam(fused=True)` computes, to the bit. The class itself imports PyTorch's compiler on its
first use, which takes over a second in each job, and warns of steps that run before one is recorded.
"""

from collections.abc import Iterable

import torch
from torch import Tensor


class Adam:
    """Minimises by the gradients of ``parameters``. ``rate`` is a 0-dimensional float32 tensor on their device, and may
    be filled with another rate between steps.
    """

    def __init__(self, parameters: Iterable[Tensor], rate: Tensor, betas: tuple[float, float], eps: float) -> None:
        self.parameters, self.rate = list(parameters), rate
        self.options = {"beta1": betas[0], "beta2": betas[1], "eps": eps}
        self.first_moments = [torch.zeros_like(parameter) for parameter in self.parameters]
        self.second_moments = [torch.zeros_like(parameter) for parameter in self.parameters]
        self.steps = [torch.zeros((), device=rate.device) for _ in self.parameters]

    def state_dict(self) -> dict[str, Tensor]:
        """What it remembers from step to step, by name: the tensors themselves, to be read or filled."""
        kinds = {"first_moments": self.first_moments, "second_moments": self.second_moments, "steps": self.steps}
        return {f"{kind}.{index}": tensor for kind, tensors in kinds.items() for index, tensor in enumerate(tensors)}

    def zero_grad(self) -> None:
        for parameter in self.parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self) -> None:
        torch._foreach_add_(self.steps, 1)
        torch._fused_adam_(
            self.parameters,
            [parameter.grad for parameter in self.parameters],
            self.first_moments,
            self.second_moments,
            [],
            self.steps,
            lr=self.rate,
            weight_decay=0.0,
            amsgrad=False,
            maximize=False,
            **self.options,
        )
