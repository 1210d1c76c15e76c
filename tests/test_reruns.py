"""What Snakemake would rerun after edits of modules and of the config, against the table of workflow/README.md.

Snakemake compares checksums of small inputs, so each test really changes the file.
"""

import functools
import os
import re
import shutil
from pathlib import Path

import pytest
from running import PROJECT, planned, rerun_table, snakemake

from autoencoders.jobs import kinds

pytestmark = pytest.mark.slow

TABLE = rerun_table(PROJECT)
# The demo's kinds, and the jobs that run after an edit.
USED = {
    "data/sources/sklearn.py": {"prepare_dataset": 1},
    "networks/penalties/kl.py": {"train": 1},
    "latent/priors/standard_normal.py": {"fit_prior": 2, "sample": 2, "redraw": 1},
    "latent/priors/mvg.py": {"fit_prior": 2, "sample": 2, "redraw": 1},
    "latent/priors/gmm.py": {"fit_prior": 2, "sample": 2, "redraw": 1},
    "scores/extractors/classifier.py": {"train_extractor": 1, "reference": 2, "score": 2, "redraw": 1},
    "scores/measures/frechet.py": {"reference": 2, "score": 2, "redraw": 1},
}
# What follows from these rules, but not from this module: codes are measured under fitted priors alone, and samples of
# a DAE are drawn again.
NOT_AFTER = {
    "latent/priors/standard_normal.py": {"latent_statistics", "collect_latent_statistics", "latent_figure"},
    "networks/penalties/kl.py": {"redraw"},
}
KINDS = tuple(f"{folder.relative_to(kinds.PACKAGE).as_posix()}/" for folder in kinds.FOLDERS.values())
# The demo downloads nothing, and has no images made elsewhere (tests/test_external.py).
UNUSED = {"download_dataset", "download_extractor", "prepare_external", "score_external"}
# And tests compare Fréchet distances alone (tests/test_measures.py).
UNUSED |= {"precision_recall", "draw_neighbours"}
# No cited method runs (tests/test_methods.py).
UNUSED |= {"methods_figure", "sample_native"}
# Weights are chosen in tests/test_tuning.py.
UNUSED |= {"prepare_validation", "tuning", "tuning_figure"}
UNUSED_MODULES = {"data/downloads.py", "data/model_downloads.py", "data/validation_split.py", "evidence/tuning.py"}
UNUSED_MODULES |= {f"figures/{name}.py" for name in ("precision_recall", "methods", "tuning_figure")} | {
    module for module in TABLE if module.startswith(KINDS) and module not in USED
}
# Their edits rerun every rule at least once. test_tracking.py compares the rows of all modules with the imports.
EDITED = ("config/grid.py", "config/seeds.py", "networks/objective.py", "networks/network.py", "latent/gaussianity.py")
EDITED += ("evidence/table_files.py", "evidence/claims.py", "evidence/provenance_page.py", "figures/page_style.py")
EDITED += ("figures/tiles.py", *USED)


@pytest.fixture(scope="module")
def finished(finished_project, tmp_path_factory) -> Path:
    return Path(shutil.copytree(finished_project, tmp_path_factory.mktemp("reruns") / "project"))


def plan_after_an_edit(folder: Path, *modules: str, added: str = "# edited") -> dict[str, int]:
    """The number of jobs by rule that would run after a line is added to modules."""
    files = [folder / "workflow" / "scripts" / "autoencoders" / module for module in modules]
    before = [(file, file.read_text(encoding="utf-8"), file.stat()) for file in files]
    try:
        for file, text, _ in before:
            file.write_text(f"{text}\n{added}\n", encoding="utf-8")
        return planned(snakemake(folder, "-n").stdout)
    finally:
        for file, text, stamps in before:
            file.write_text(text, encoding="utf-8")
            os.utime(file, ns=(stamps.st_atime_ns, stamps.st_mtime_ns))


@functools.cache
def rule_graph(folder: Path) -> list[tuple[str, str]]:
    """Pairs (rule, rule that uses its outputs)."""
    graph = snakemake(folder, "--forceall", "--rulegraph", "dot").stdout
    names = dict(re.findall(r'(\d+)\[label = "(\w+)', graph))
    edges = [(names[source], names[target]) for source, target in re.findall(r"(\d+) -> (\d+)", graph)]
    assert edges
    return edges


def what_follows(folder: Path, rules: set[str]) -> set[str]:
    """The rules that use the outputs of these rules, directly or through others."""
    found = set()
    while new := {target for source, target in rule_graph(folder) if source in rules | found} - found:
        found |= new
    return found


def test_edits_that_rerun_nothing(finished):
    """All of them at once, with those of kinds that the demo does not use."""
    modules = [module for module, rules in TABLE.items() if not rules or module in UNUSED_MODULES]
    assert len(modules) > 25 and "jobs/files.py" in modules
    assert plan_after_an_edit(finished, *modules) == {}


def test_the_edits_below_rerun_every_rule():
    assert set.union(*TABLE.values()) - UNUSED == set.union(*(TABLE[module] for module in EDITED)) - UNUSED


@pytest.mark.parametrize("module", EDITED)
def test_an_edit_reruns_what_the_table_says(finished, module):
    jobs = plan_after_an_edit(finished, module)
    direct = set(USED.get(module, TABLE[module])) - UNUSED
    assert {rule: jobs[rule] for rule in USED.get(module, ())} == USED.get(module, {})
    assert set(jobs) == direct | (what_follows(finished, direct) - NOT_AFTER.get(module, set()))


def test_another_format_rebuilds_everything_stored(finished):
    jobs = plan_after_an_edit(finished, "jobs/files.py", added="FORMAT = 2")
    stored = {"prepare_dataset": 1, "train": 2, "encode": 2, "fit_prior": 6, "sample": 2}
    stored |= {"train_extractor": 1, "reference": 2, "score": 2}
    assert {rule: jobs.get(rule) for rule in stored} == stored


AFTER_TRAINING = {"encode", "fit_prior", "latent_statistics", "sample", "score"}


@pytest.mark.parametrize(
    ("change", "rules"),
    [
        (
            "{scoring: {batch_size: 7}, pathvars: {resources: elsewhere}, run_on: [digits], checkpoint_minutes: 1, "
            "cells_per_gpu: {1: 8}}",
            set(),
        ),
        # Options of a KL term in a model without one, and an option with the value of before it existed.
        ("models: {dae: {beta: 5, codes: sample, reconstructions: sample, penalties: {}}}", None),
        ("models: {vae-diverges: {codes: sample}}", AFTER_TRAINING),
        ("models: {vae-diverges: {reconstructions: sample}}", {"sample", "score"}),
        ("model_defaults: {frozen_latent: true}", {"train", *AFTER_TRAINING}),
        ("extractors: {classifier: {epochs: 3}}", {"train_extractor", "reference", "score"}),
        ("run_priors: [standard_normal, mvg]", {"latent_statistics", "sample", "score", "redraw"}),
        ("priors: {gmm: {components: 4}}", {"fit_prior", "latent_statistics", "sample", "score"}),
        # Measures of codes stay with the paper's priors.
        ("priors: {gmm4: {kind: gmm, components: 4}}", {"fit_prior", "sample", "score"}),
        ("scoring: {train_recon_references: [test]}", {"score"}),
    ],
)
def test_a_changed_config_reruns_what_depends_on_it_alone(finished, change, rules):
    (finished / "change.yaml").write_text(change, encoding="utf-8")
    jobs = set(planned(snakemake(finished, "-n", configs=("config/demo.yaml", "tiny.yaml", "change.yaml")).stdout))
    if rules is None:
        assert not jobs
    else:
        not_after = NOT_AFTER["latent/priors/standard_normal.py"] - rules if "latent_statistics" not in rules else set()
        # Samples of the DAE are drawn again.
        not_after |= {"redraw"} if change.startswith("models: {vae") else set()
        follows = what_follows(finished, rules) - not_after if rules else set()
        # The record of the config follows any change.
        assert jobs == rules | follows | {"provenance", "provenance_page", "all"}


def test_pictures_and_tables_are_rebuilt_without_deleted_image_sets(finished):
    """Last, since it deletes them."""
    for file in finished.glob("results/demo/cells/*/*/*/images/*.npy"):
        file.unlink()
    for module in ("evidence/claims.py", "figures/cell_pictures.py"):
        direct = TABLE[module] - UNUSED
        assert set(plan_after_an_edit(finished, module)) == direct | what_follows(finished, direct)
