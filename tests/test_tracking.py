"""Two tiers: which modules a script's results depend on, and that nothing which alters a result is left out."""

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
    "line",
    [
        "from autoencoders.networks.weights import load_weights",
        "from autoencoders.networks import weights",
        "import autoencoders.networks.weights",
        "import autoencoders.networks.weights as w",
        "def late():\n    from autoencoders.networks.weights import load_weights",
    ],
)
def test_every_form_of_import_is_seen(tmp_path, line):
    script = tmp_path / "script.py"
    script.write_text(f"import os\nimport numpy.files\n{line}\n")
    assert names(direct_imports(script)) == {"networks/weights.py"}


def test_imports_of_imports_count_but_for_those_that_alter_no_result(tmp_path):
    script = tmp_path / "script.py"
    script.write_text("from autoencoders.networks.weights import load_weights\n")
    assert names(imported_modules(script)) == {"networks/weights.py", "networks/network.py"}
    everything = names(imported_modules(script, untracked=True))
    assert everything == {"networks/weights.py", "networks/network.py", "jobs/errors.py", "jobs/files.py"}


def test_what_only_type_checkers_read_does_not_count(tmp_path):
    script = tmp_path / "script.py"
    script.write_text("if TYPE_CHECKING:\n    from autoencoders.networks.weights import load_weights\n")
    assert not direct_imports(script)


def test_what_is_found_is_what_python_imports(project):
    """Independent of the parser: import each script in a fresh process and look at sys.modules."""
    scripts = project / "workflow" / "scripts"
    # Modules that a function imports when it is called are inputs too, and may be missing here.
    for name in ("train", "score", "figure", "prepare_dataset", "fit_prior"):
        code = (
            f"import runpy, sys; sys.path.insert(0, {str(scripts)!r}); runpy.run_path({str(scripts / name)!r} + '.py');"
            "print(*(m.__file__ for n, m in sys.modules.items() if n.startswith('autoencoders.')), sep='\\n')"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        found = {line for line in done.stdout.split() if not line.endswith("__init__.py")}
        assert found <= {str(file) for file in imported_modules(scripts / f"{name}.py", untracked=True)}, name


def test_what_alters_no_result_imports_nothing_that_does():
    for file in (PACKAGE / "jobs").glob("*.py"):
        assert all(module.parent.name == "jobs" for module in direct_imports(file)), file


def test_there_is_no_circle_of_imports():
    done, open_now = set(), []

    def visit(file):
        assert file not in open_now, [*open_now, file]
        if file not in done:
            open_now.append(file)
            for module in direct_imports(file):
                visit(module)
            done.add(open_now.pop())

    for file in PACKAGE.rglob("*.py"):
        visit(file)


def test_only_evidence_knows_the_paper():
    """Folders stand in the order of the data's way, and none imports a later one."""
    order = {name: index for index, name in enumerate(FOLDERS)}
    for name in FOLDERS:
        for file in (PACKAGE / name).rglob("*.py"):
            for module in direct_imports(file):
                folder = module.relative_to(PACKAGE).parts[0]
                assert folder == "jobs" or order[folder] <= order[name], (file, module)


def test_only_scripts_and_rules_know_snakemake():
    for file in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            assert not (isinstance(node, ast.Name) and node.id == "snakemake"), file
            if isinstance(node, ast.Import | ast.ImportFrom):
                named = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
                assert not any(name.split(".")[0] == "snakemake" for name in named), file


def test_packages_themselves_hold_nothing_that_a_result_depends_on():
    """They are no inputs of any rule: an edit to them reruns nothing."""
    for file in PACKAGE.rglob("__init__.py"):
        docstring, *statements = ast.parse(file.read_text()).body
        assert isinstance(docstring, ast.Expr) and isinstance(docstring.value, ast.Constant)
        allowed = ["import gc", "gc.set_threshold"] if file.parent == PACKAGE else []
        assert [ast.unparse(statement).split("(")[0] for statement in statements] == allowed


def test_the_table_of_reruns_names_every_module_and_the_rules_that_use_it(project):
    """By imports; tests/rerun_table.py asks Snakemake itself."""
    scripts = sorted((project / "workflow" / "scripts").glob("*.py"))
    users = {}
    for script in scripts:
        for module in names(imported_modules(script)):
            users.setdefault(module, set()).add(script.stem)
    # Kinds, and what they import, are inputs of the rules that use them.
    rules_of_kinds = {
        "sources": {"download_dataset", "prepare_dataset"},
        "penalties": {"train"},
        "priors": {"fit_prior", "sample"},
        "extractors": {"reference", "score"},
        "measures": {"reference", "score"},
    }
    for group, rules in rules_of_kinds.items():
        for kind in kinds.names(group):
            file, module = kinds.find(group, kind), kinds.load(group, kind)
            makers = {"download_extractor"} if hasattr(module, "URL") else set()
            makers |= {"train_extractor"} if group == "extractors" and hasattr(module, "train") else set()
            for used in names([file, *imported_modules(file)]):
                users.setdefault(used, set()).update(rules | makers)
    table = rerun_table(project)
    modules = names(PACKAGE.rglob("*.py"))
    assert set(table) == modules
    for module in modules:
        if module.startswith("jobs/"):
            assert not table[module]
        elif module.startswith("scores/extractors/"):
            assert users.get(module, set()) <= table[module], module
        else:
            assert table[module] == users.get(module, set()), module
