"""Two tiers of modules: those that scripts' results depend on are tracked, and jobs/ cannot change a result."""

import ast
import subprocess
import sys

import pytest
from running import rerun_table

from autoencoders.jobs import kinds
from autoencoders.jobs.tracked_modules import PACKAGE, direct_imports, imported_modules

FOLDERS = ("config", "data", "networks", "latent", "scores", "evidence", "figures")


def names(files) -> set[str]:
    return {file.relative_to(PACKAGE).as_posix() for file in files}


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ("from autoencoders.networks.weights import load_weights", {"networks/weights.py"}),
        ("from autoencoders.networks import weights", {"networks/weights.py"}),
        ("import autoencoders.networks.weights as w", {"networks/weights.py"}),
        ("def late():\n    from autoencoders.networks.weights import load_weights", {"networks/weights.py"}),
        ("import os\nimport numpy.files", set()),
        ("if TYPE_CHECKING:\n    from autoencoders.networks.weights import load_weights", set()),
    ],
)
def test_every_form_of_import_is_found(tmp_path, lines, found):
    script = tmp_path / "script.py"
    script.write_text(f"{lines}\n", encoding="utf-8")
    assert names(direct_imports(script)) == found
    followed = {"networks/weights.py", "networks/network.py"} if found else set()
    assert names(imported_modules(script)) == followed
    if found:
        untracked = {f"jobs/{name}.py" for name in ("errors", "files", "tensor_files")}
        assert names(imported_modules(script, untracked=True)) == followed | untracked


@pytest.mark.parametrize("start", [b"\xef\xbb\xbf", b"# -*- coding: latin-1 -*-\n# \xe9\n"])
def test_a_file_is_read_as_python_reads_it(tmp_path, start):
    script = tmp_path / "script.py"
    script.write_bytes(start + b"import autoencoders.networks.weights\n")
    assert names(direct_imports(script)) == {"networks/weights.py"}


def test_what_is_found_includes_what_python_imports(project):
    """Run a script in a fresh process, and compare with its sys.modules."""
    script = project / "workflow" / "scripts" / "train.py"
    code = (
        f"import runpy, sys; sys.path.insert(0, {str(script.parent)!r}); runpy.run_path({str(script)!r});"
        "print(*(m.__file__ for n, m in sys.modules.items() if n.startswith('autoencoders.')), sep='\\n')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    found = {line for line in done.stdout.split() if not line.endswith("__init__.py")}
    assert found and found <= {str(file) for file in imported_modules(script, untracked=True)}


def test_folders_import_no_later_folder_and_jobs_none():
    """So what cannot change a result depends on nothing that can, and only evidence/ and figures/ know the paper."""
    order = {name: index for index, name in enumerate(FOLDERS)}
    for file in PACKAGE.rglob("*.py"):
        for module in direct_imports(file):
            importer, imported = (path.relative_to(PACKAGE).parts[0] for path in (file, module))
            assert imported == "jobs" or (importer != "jobs" and order[imported] <= order[importer]), (file, module)


def test_only_scripts_and_rules_know_snakemake_and_packages_hold_no_code():
    """An edit of an __init__.py reruns nothing. That of figures/ keeps settings of the user's out of matplotlib."""
    for file in PACKAGE.rglob("*.py"):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            assert not (isinstance(node, ast.Name) and node.id == "snakemake"), file
            if isinstance(node, ast.Import | ast.ImportFrom):
                imported = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
                assert not any(name.split(".")[0] == "snakemake" for name in imported), file
        if file.name == "__init__.py" and file.parent != PACKAGE / "figures":
            allowed = ["import gc", "gc.set_threshold"] if file.parent == PACKAGE else []
            assert [ast.unparse(statement).split("(")[0] for statement in tree.body[1:]] == allowed, file


def test_the_table_of_reruns_names_every_module_and_the_rules_that_use_it(project):
    """By imports; tests/test_reruns.py asks Snakemake."""
    users = {}
    for script in (project / "workflow" / "scripts").glob("*.py"):
        for module in names(imported_modules(script)):
            users.setdefault(module, set()).add(script.stem)
    # Kinds and what they import are inputs of the rules that use them.
    rules_of_kinds = {"sources": {"download_dataset", "prepare_dataset"}, "penalties": {"train"}}
    rules_of_kinds |= {"priors": {"fit_prior", "sample", "redraw"}}
    rules_of_kinds |= {"extractors": {"reference", "score", "redraw", "score_external"}}
    rules_of_kinds |= {"measures": {"reference", "score", "score_external"}}
    for group, rules in rules_of_kinds.items():
        for kind in kinds.names(group):
            file, module = kinds.find(group, kind), kinds.load(group, kind)
            makers = {"download_extractor"} if hasattr(module, "URL") else set()
            makers |= {"redraw"} if kind == "frechet" else set()
            makers |= {"prepare_external"} if kind in ("folder", "parquet") else set()
            makers |= {"train_extractor"} if group == "extractors" and hasattr(module, "train") else set()
            for used in names([file, *imported_modules(file)]):
                users.setdefault(used, set()).update(rules | makers)
    table = rerun_table(project)
    assert set(table) == names(PACKAGE.rglob("*.py"))
    for module, rules in table.items():
        if module.startswith("jobs/"):
            assert not rules, module
        elif module.startswith(("scores/extractors/", "scores/measures/")):
            assert users.get(module, set()) <= rules, module
        else:
            assert rules == users.get(module, set()), module
