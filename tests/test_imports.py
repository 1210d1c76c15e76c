"""Which modules a script depends on: what reruns when one is edited."""

import ast
import sys

import pytest

from autoencoders.jobs.tracking import PACKAGE, direct_imports, imported_modules


@pytest.mark.parametrize(
    "line",
    [
        "from autoencoders.jobs.files import atomic",
        "from autoencoders import files",
        "import autoencoders.jobs.files",
        "import autoencoders.jobs.files as f",
        "def late():\n    from autoencoders.jobs.files import atomic",
    ],
)
def test_every_form_of_import_is_seen(tmp_path, line):
    script = tmp_path / "script.py"
    script.write_text(f"import os\nimport numpy.files\n{line}\n")
    assert direct_imports(script) == {"files"}


def test_imports_of_imports_count(tmp_path):
    script = tmp_path / "script.py"
    script.write_text("from autoencoders.networks.weights import load_weights\n")
    names = {file.stem for file in imported_modules(script)}
    assert names == {"weights", "errors", "files", "network"}


def test_what_is_found_is_what_python_imports(project):
    """Independent of the parser: import each script in a fresh process and look at sys.modules."""
    import subprocess

    scripts = project / "workflow" / "scripts"
    # Modules that a function imports when it is called are inputs too, and may be missing here.
    for name in ("train", "score", "figure", "prepare_dataset", "fit_prior"):
        code = (
            f"import runpy, sys; sys.path.insert(0, {str(scripts)!r}); runpy.run_path({str(scripts / name)!r} + '.py');"
            "print(*(m.split('.')[1] for m in sys.modules if m.startswith('autoencoders.')))"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert set(done.stdout.split()) <= {file.stem for file in imported_modules(scripts / f"{name}.py")}, name


def test_the_package_file_itself_holds_nothing_that_a_result_depends_on():
    """It is no input of any rule: an edit to it reruns nothing."""
    docstring, *statements = ast.parse((PACKAGE / "__init__.py").read_text()).body
    assert isinstance(docstring, ast.Expr) and isinstance(docstring.value, ast.Constant)
    assert [ast.unparse(statement).split("(")[0] for statement in statements] == ["import gc", "gc.set_threshold"]
