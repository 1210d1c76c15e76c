"""The user's settings, fonts, packages and locale change no result and stop no job."""

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from comparing import lasting_results
from running import PROJECT, append, copy_project, snakemake

WORKFLOW = PROJECT / "workflow"
SCRIPTS = WORKFLOW / "scripts"
ASCII = {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
# A picture with all that settings of matplotlib change: lines, ticks, texts and formulas.
DRAWING = """
import sys
from autoencoders.figures.page_style import STYLE, save
import matplotlib
from matplotlib.figure import Figure

with matplotlib.rc_context(STYLE):
    figure = Figure((2, 1))
    axes = figure.subplots()
    axes.plot([1, 10, 100], [1, 100, 10000])
    axes.set_yscale("log")
    axes.set_title("$d^2$")
    save(figure, *sys.argv[1:])
"""
SETTINGS = "text.usetex: True\nfont.size: 30\nlines.linewidth: 9\naxes.facecolor: red\nsavefig.bbox: tight\n"


def execute(*command: object, folder: Path, **variables: str) -> subprocess.CompletedProcess:
    """A command in ``folder``, with these environment variables added."""
    return subprocess.run([*map(str, command)], cwd=folder, env=os.environ | variables, capture_output=True)


def drawn(folder: Path, code: str = "", **variables: str) -> tuple[bytes, bytes]:
    """The bytes of the picture as PNG and PDF, drawn in ``folder`` after some code."""
    files = [folder / f"drawn.{suffix}" for suffix in ("png", "pdf")]
    done = execute(sys.executable, "-c", code + DRAWING, *files, folder=folder, PYTHONPATH=str(SCRIPTS), **variables)
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    return tuple(file.read_bytes() for file in files)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> tuple[bytes, bytes]:
    return drawn(tmp_path_factory.mktemp("undisturbed"))


@pytest.mark.parametrize("place", ["matplotlibrc", "named/matplotlibrc", "configured/matplotlibrc"])
def test_figures_ignore_the_users_settings(tmp_path, undisturbed, place):
    """Not even to refuse them, as matplotlib does if they are not UTF-8."""
    file = tmp_path / place
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"# für Vorträge\n{SETTINGS}", encoding="latin-1")
    folders = {"named": "MATPLOTLIBRC", "configured": "MPLCONFIGDIR"}
    variables = {folders[file.parent.name]: str(file.parent)} if "/" in place else {}
    assert drawn(tmp_path, **variables) == undisturbed


def test_figures_ignore_settings_that_were_read_before(tmp_path, undisturbed):
    (tmp_path / "matplotlibrc").write_text(SETTINGS, encoding="utf-8")
    assert drawn(tmp_path, "import matplotlib.pyplot") == undisturbed


def test_figures_need_no_backend_of_the_environment(tmp_path, undisturbed):
    assert drawn(tmp_path, MPLBACKEND="module://matplotlib_inline.backend_inline") == undisturbed


def test_figures_use_the_fonts_of_matplotlib(tmp_path, undisturbed):
    """Not those that its cache lists: here none."""
    (tmp_path / "cache").mkdir()
    code = (
        "import sys\nfrom matplotlib import font_manager as fonts\nfonts.fontManager.ttflist.clear()\n"
        "fonts.json_dump(fonts.fontManager, f'cache/fontlist-v{fonts.FontManager.__version__}.json')"
    )
    assert execute(sys.executable, "-c", code, folder=tmp_path).returncode == 0
    assert drawn(tmp_path, MPLCONFIGDIR=str(tmp_path / "cache")) == undisturbed


def test_previews_are_drawn_without_matplotlib(tmp_path):
    """The environment of preview_dataset has none."""
    code = "import sys; sys.modules['matplotlib'] = None; from autoencoders.figures.tiles import tile"
    done = execute(sys.executable, "-c", code, folder=tmp_path, PYTHONPATH=str(SCRIPTS))
    assert done.returncode == 0, done.stderr.decode()


# Writes where a job found the package, and what it found of the user's.
JOB = """
import json, os
from pathlib import Path
import autoencoders.config, users_own
found = {"package": autoencoders.__file__, "path": os.environ["PYTHONPATH"]}
for file in snakemake.output:
    Path(file).write_text(json.dumps(found), encoding="utf-8")
"""


def test_jobs_import_this_package_and_find_those_of_the_user(project, tmp_path, monkeypatch):
    folder = copy_project(project, tmp_path)
    own = tmp_path / "own"
    (own / "autoencoders").mkdir(parents=True)
    (own / "autoencoders" / "__init__.py").touch()
    (own / "users_own.py").touch()
    scripts = folder / "workflow" / "scripts"
    (scripts / "table1.py").write_text(JOB, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(own), str(scripts), str(own)]))
    target = "results/demo/tables/table1.csv"
    snakemake(folder, target)
    found = json.loads((folder / target).read_text(encoding="utf-8"))
    package = str(scripts / "autoencoders" / "__init__.py")
    assert found == {"package": package, "path": os.pathsep.join([str(scripts), str(own)])}


@pytest.mark.parametrize(("arguments", "value"), [([], "None"), (["--software-deployment-method", "conda"], "1")])
def test_environments_of_rules_are_without_the_users_own_packages(project, tmp_path, monkeypatch, arguments, value):
    """Snakemake removes PYTHONPATH there, but ~/.local stays on the search path unless this variable is set."""
    from environments import stand_in

    monkeypatch.delenv("PYTHONNOUSERSITE", raising=False)
    monkeypatch.setenv("PATH", str(stand_in.write_base(tmp_path / "conda")), prepend=os.pathsep)
    folder = copy_project(project, tmp_path)
    append(folder / "Snakefile", "\nprint('no user site:', os.environ.get('PYTHONNOUSERSITE'), file=sys.stderr)\n")
    done = snakemake(folder, "all_datasets", "--dry-run", *arguments)
    assert f"no user site: {value}\n" in done.stdout


def test_the_workflow_names_the_encoding_of_every_text_file():
    """Otherwise it is that of the locale. Ruff's rule sees only files whose type it can tell."""
    for file in WORKFLOW.rglob("*.py"):
        for call in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(call, ast.Call) and opens_text(call):
                assert "encoding" in {keyword.arg for keyword in call.keywords}, f"{file}, line {call.lineno}"


def opens_text(call: ast.Call) -> bool:
    if isinstance(call.func, ast.Attribute):
        return call.func.attr in ("read_text", "write_text")
    modes = [argument.value for argument in call.args[1:2] if isinstance(argument, ast.Constant)]
    return isinstance(call.func, ast.Name) and call.func.id == "open" and "b" not in "".join(modes)


def test_a_log_is_utf_8_in_every_locale(tmp_path):
    code = (
        "import logging; from autoencoders.jobs.job import job\n"
        "with job('logs/a.log'): logging.info('Fr\\xe9chet \\u2026 \\udcfc')"
    )
    done = execute(sys.executable, "-c", code, folder=tmp_path, PYTHONPATH=str(SCRIPTS), **ASCII)
    assert done.returncode == 0 and b"Logging error" not in done.stderr
    assert r"Fréchet … \udcfc" in (tmp_path / "logs" / "a.log").read_text(encoding="utf-8")


def test_the_status_is_printed_in_every_locale(tmp_path):
    variables = {"PYTHONIOENCODING": "ascii"}
    done = execute(sys.executable, WORKFLOW / "status.py", "Läufe", folder=tmp_path, **variables)
    assert done.returncode == 0, done.stderr.decode()
    assert rb"No run has results in L\xe4ufe/" in done.stdout


@pytest.mark.slow
def test_results_have_the_same_bytes_in_a_latin_1_locale(finished_project, project, tmp_path, monkeypatch):
    locale = ["localedef", "-f", "ISO-8859-1", "-i", "en_US", str(tmp_path / "en_US")]
    if not shutil.which("localedef") or subprocess.run(locale, capture_output=True).returncode:
        pytest.skip("no definitions of locales on this machine")
    for name, value in {"LOCPATH": str(tmp_path), "LC_ALL": "en_US", "PYTHONUTF8": "0"}.items():
        monkeypatch.setenv(name, value)
    folder = copy_project(project, tmp_path)
    snakemake(folder, "--notemp")
    assert lasting_results(folder / "results") == lasting_results(finished_project / "results")
