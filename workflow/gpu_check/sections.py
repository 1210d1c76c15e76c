"""The sections of the check, in order, with their limits in seconds and what each of them checks."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from gpu_check import cell, gpu_tests, profiling, rates, same_bits, scoring, surroundings
from gpu_check.sizes import Check

# Eight minutes.
TOTAL = 480
# A CPU needs longer for the tiny sizes of a dry run than a GPU for the paper's.
DRY_RUN_FACTOR = 6


@dataclass(frozen=True)
class Section:
    """``run`` yields the rows as they are measured, in a process which is ended after ``limit`` seconds. Each of
    ``checks`` is the case of one row with an outcome.
    """

    name: str
    limit: float
    run: Callable[[Check], Iterator[dict]]
    checks: tuple[str, ...] = ()


SECTIONS = (
    Section("machine", 20, surroundings.surroundings, (surroundings.NAME,)),
    Section("tests", 75, gpu_tests.gpu_tests, (gpu_tests.NAME,)),
    Section("rates", 55, rates.by_width, ("every width trains",)),
    Section("equal bits", 30, same_bits.same_bits, same_bits.NAMES),
    Section("scores", 35, scoring.distances, (scoring.INCEPTION, scoring.DISTANCE)),
    Section("mixtures", 30, scoring.fit_mixtures, (scoring.MIXTURE,)),
    Section("start and plan", 40, scoring.start_and_plan),
    Section("variants", 35, rates.variants),
    Section("compiled", 35, rates.compiled),
    Section("profile", 15, profiling.profiled),
    # Takes the time that the others left, too.
    Section("cell", 110, cell.whole_cell, cell.NAMES),
)
