"""The tests that need a GPU, by pytest."""

import importlib.util
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from benchmark.jobs import PROJECT
from gpu_check import rows
from gpu_check.sizes import Check

FILES = ("test_graphs", "test_checkpoints", "test_priors", "test_encode_decode")
# Without a GPU, all of the selected tests are skipped.
SELECTED = "(cuda or gpu or trains_to_the_same_bits) and not apple"
NAME = "tests that need a GPU"
# Each process needs memory and seconds to start.
MOST_PROCESSES = 8


def outcome_of(report: Path) -> tuple[bool | None, str]:
    """Whether all tests of a JUnit report passed, with their numbers; None if none ran."""
    suites = ElementTree.parse(report).getroot().iter("testsuite")
    counts = [[int(suite.get(key)) for key in ("tests", "failures", "errors", "skipped")] for suite in suites]
    tests, failures, errors, skipped = map(sum, zip(*counts, strict=True))
    bad, ran = failures + errors, tests - skipped
    return (bad == 0 if ran else None), f"{ran - bad} passed, {bad} failed, {skipped} skipped"


def gpu_tests(check: Check) -> Iterator[dict]:
    if importlib.util.find_spec("pytest") is None:
        yield rows.outcome("tests", NAME, None, "pytest is not installed")
        return
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--color=no", "--maxfail=8"]
    processes = min(MOST_PROCESSES, check.machine.threads)
    if check.machine.gpu and processes > 1 and importlib.util.find_spec("xdist") is not None:
        command += [f"--numprocesses={processes}", "--dist=load"]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command += [f"--junitxml={report}", "-k", SELECTED, *(f"tests/{name}.py" for name in FILES)]
        done = subprocess.run(command, cwd=PROJECT, env=environment)
        if not report.exists():
            yield rows.outcome("tests", NAME, False, f"pytest ended with {done.returncode}, without a report")
            return
        passed, note = outcome_of(report)
    # 5: pytest found no test.
    if done.returncode not in (0, 5) and passed is not False:
        passed, note = False, f"pytest ended with {done.returncode}; {note}"
    yield rows.outcome("tests", NAME, passed, note)
