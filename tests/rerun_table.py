"""Every edit of workflow/README.md's table, made and planned by Snakemake: `pytest tests/rerun_table.py`, some minutes.

Snakemake ignores a mere time stamp of a small input, so that each file really changes.
"""

from pathlib import Path

import pytest
from planning import plan_after_an_edit, rerun_table, what_follows
from running import PROJECT, copy_project, snakemake

from autoencoders.jobs import kinds

TABLE = rerun_table(PROJECT)
# What of a kind the demo uses; an edit of another kind runs nothing there.
USED = {
    "data/sources/sklearn.py": {"prepare_dataset": 1},
    "networks/penalties/kl.py": {"train": 1},
    "latent/priors/standard_normal.py": {"fit_prior": 2, "sample": 2},
    "latent/priors/mvg.py": {"fit_prior": 2, "sample": 2},
    "latent/priors/gmm.py": {"fit_prior": 2, "sample": 2},
    "scores/extractors/classifier.py": {"train_extractor": 1, "reference": 2, "score": 2},
    "scores/measures/frechet.py": {"reference": 2, "score": 2},
}
# What follows from their rules, but not from them: codes are measured under fitted priors alone.
NOT_AFTER = {"latent/priors/standard_normal.py": {"latent_statistics", "collect_latent_statistics", "latent_figure"}}
KINDS = [f"{folder.relative_to(kinds.PACKAGE).as_posix()}/" for folder in kinds.FOLDERS.values()]
# Of the Hub and of downloads, which the demo has none of.
UNUSED = {"download_dataset", "download_extractor"}
UNUSED_MODULES = {"data/downloads.py"}


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A project in which everything has been made once, image sets kept."""
    folder = copy_project(PROJECT, tmp_path_factory.mktemp("finished"))
    snakemake(folder, "--notemp")
    return folder


def test_what_the_table_says_runs_nothing_runs_nothing(finished):
    """All at once: together they run nothing, so that each of them does not."""
    modules = [module for module, rules in TABLE.items() if not rules]
    assert len(modules) > 25 and "jobs/files.py" in modules
    assert plan_after_an_edit(finished, *modules) == {}


@pytest.mark.parametrize("module", sorted(module for module, rules in TABLE.items() if rules))
def test_an_edit_runs_what_the_table_says(finished, module):
    jobs = plan_after_an_edit(finished, module)
    direct = TABLE[module] - UNUSED
    if module in UNUSED_MODULES or (any(module.startswith(folder) for folder in KINDS) and module not in USED):
        direct = set()
    if module in USED:
        direct = set(USED[module])
        assert {rule: jobs[rule] for rule in direct} == USED[module]
    follows = what_follows(finished, direct) if direct else set()
    assert set(jobs) == direct | (follows - NOT_AFTER.get(module, set()))


def test_another_format_makes_all_again_that_is_stored(finished):
    jobs = plan_after_an_edit(finished, "jobs/files.py", added="FORMAT = 2")
    stored = {"prepare_dataset": 1, "train": 2, "encode": 2, "fit_prior": 6, "sample": 2}
    stored |= {"train_extractor": 1, "reference": 2, "score": 2}
    assert {rule: jobs.get(rule) for rule in stored} == stored
