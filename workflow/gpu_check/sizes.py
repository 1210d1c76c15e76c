"""How large the check's measurements are: the paper's sizes on a GPU, and tiny ones in a dry run without one."""

from dataclasses import dataclass
from pathlib import Path

from benchmark import plan
from benchmark.loops import Case
from benchmark.machine import Machine


@dataclass(frozen=True)
class Sizes:
    """``cases`` are the networks whose rates are measured, for about ``seconds`` each; ``narrow`` and ``main`` are the
    two of them that variants of the loop are compared on.

    ``batches`` and ``epochs`` are those of each training in the comparison of bits; ``inception`` is the number of
    images and the batch size, ``features`` is (N, D), and ``codes`` are (N, z, EM iterations). The jobs of ``grid``, a
    config, are planned. The cell has at most ``images`` training images, and ``scored`` images in each set that is
    scored; ``training`` is the least and the most seconds that its training should take.
    """

    cases: tuple[Case, ...]
    narrow: Case
    main: Case
    seconds: float
    batches: int
    epochs: int
    inception: tuple[int, int]
    features: tuple[int, int]
    codes: tuple[tuple[int, int, int], ...]
    grid: Path
    images: int
    scored: int
    training: tuple[float, float]


CASES = tuple(plan.ON_A_GPU.cases)
ON_A_GPU = Sizes(
    cases=CASES,
    narrow=CASES[0],
    main=CASES[2],
    seconds=2,
    batches=20,
    epochs=5,
    inception=(2_500, 250),
    features=(10_000, 2048),
    codes=((50_000, 128, 20), (50_000, 512, 4)),
    grid=plan.CONFIG,
    images=50_000,
    scored=10_000,
    training=(15, 60),
)
TINY = Case("cifar10-shaped, f=2, z=4", 32, 2, 4, 640)
DRY_RUN = Sizes(
    cases=(TINY,),
    narrow=TINY,
    main=TINY,
    seconds=0.2,
    batches=1,
    epochs=2,
    inception=(4, 2),
    features=(200, 32),
    codes=((500, 4, 3),),
    grid=plan.CONFIG.with_name("demo.yaml"),
    images=640,
    scored=4,
    training=(8, 8),
)


@dataclass(frozen=True)
class Check:
    """What a section is given: the machine (without a GPU in a dry run), the sizes, the folder of its results, its
    limit in seconds, and the rows that were measured before it.
    """

    machine: Machine
    sizes: Sizes
    folder: Path
    seconds: float
    earlier: tuple[dict, ...] = ()

    @property
    def dry(self) -> bool:
        return not self.machine.gpu
