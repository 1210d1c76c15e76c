# Two commands for a newcomer: `make demo` and `make test`. Both set up everything they need in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
BROKEN = { echo "$(VENV) is broken: it was moved, its Python was upgraded or removed, or its installation was interrupted."; \
  echo "Remove it, and run the same command again: rm -r $(VENV)"; exit 1; }

.PHONY: help setup demo report status test test-all lint bench gpu-check estimates soak rulegraph
.DEFAULT_GOAL := help

help:
	@echo "make demo        all experiments on scikit-learn's digits, on two CPU cores, in minutes"
	@echo "make report      tables, figures and claims of the demo on one page; CONFIG=mine.yaml of another run"
	@echo "make status      the state of every run with results below results/"
	@echo "make test        the everyday tests, in five minutes"
	@echo "make test-all    all tests: killed jobs, full disks, the README's commands, a browser, a cluster, environments"
	@echo "make lint        the linters and formatters, checking only"
	@echo "make bench       the speed of this pipeline and its alternatives on this machine, in minutes"
	@echo "make gpu-check   does this GPU do what it should: tests, speed, memory, a cell; in eight minutes"
	@echo "make estimates   what the paper's run and other experiments take on one GPU; CONFIG=mine.yaml of another run"
	@echo "make soak        an hour of killed jobs and killed runs, after which the results must be the same"
	@echo "make rulegraph   redraw the graph of the rules in workflow/README.md; needs Graphviz"
	@echo "make setup       only the environment that all of these use: $(VENV)"

# Runs each time: a file that exists says nothing about the programs beside it.
setup: $(VENV)/installed
	@{ $(BIN)/pip --version && $(BIN)/python -c "import importlib.util; importlib.util.find_spec('snakemake').name"; \
	} > /dev/null 2>&1 || $(BROKEN)

$(VENV)/installed: envs/requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Python 3.11 or newer is needed, but $(PYTHON) is `$(PYTHON) --version`: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@echo "Installing PyTorch and the other packages once: on Linux a download of 3 GB, which takes some minutes."
	$(PYTHON) -m venv $(VENV) $(if $(shell ls -d $(VENV) 2> /dev/null),|| $(BROKEN))
	@$(BIN)/pip --version > /dev/null 2>&1 || $(BROKEN)
	$(BIN)/pip install --quiet --disable-pip-version-check --requirement envs/requirements.txt
	@touch $@

demo: setup
	$(BIN)/snakemake --cores 2 --resources gpu=0 --configfile config/demo.yaml --rerun-incomplete || { \
	  echo "If the folder was locked and no other run is active: $(BIN)/snakemake --unlock, then make demo"; exit 1; }
	@echo
	@echo "The demo is complete. Look at"
	@echo "  results/demo/figures/contact_sheet.png        all figures on one page"
	@echo "  results/demo/tables/                          table1.md to table3.md, claims.md and others"
	@echo "  results/demo/cells/                           every cell's samples.png and interpolations.png"
	@echo "  make report                                   puts all of it on one page"
	@echo "Next: README.md, sections \"Change something\" and \"The paper's run\"."

# CONFIG="config/demo.yaml mine.yaml" overrides one config with another. REPORT=results/report.zip, for hundreds of
# cells, writes a page beside its pictures.
report: CONFIG ?= config/demo.yaml
report: REPORT ?= results/report-$(basename $(notdir $(lastword $(CONFIG)))).html
report: setup
	@for file in $(CONFIG); do test -e "$$file" || { echo "There is no config $$file."; exit 1; }; done
	@plan=$$($(BIN)/snakemake all --dry-run --configfile $(CONFIG) 2>&1) || { echo "$$plan"; exit 1; }; \
	case "$$plan" in *"Nothing to be done"*) ;; *) echo "$$plan" | sed -n '/^Job stats:/,/^total/p'; \
	  echo "These jobs would run, since results are missing, or config or code have changed; to list them:"; \
	  echo "  snakemake all -n --configfile $(CONFIG)"; \
	  echo "A report can show outdated results, but none may be missing."; esac
	$(BIN)/snakemake --report '$(REPORT)' --report-stylesheet workflow/report/style.css --configfile $(CONFIG) || { \
	  echo "If results are missing, first run: snakemake all --cores 2 --resources gpu=0 --configfile $(CONFIG)"; \
	  echo "If a run is active (see \`make status\`), wait for it, and leave its incomplete files alone."; exit 1; }
	@echo "The report is $(REPORT): open it in a browser (of a .zip, unpacked, the report.html in it)."

# Needs no environment, and no sound one. `make status RESULTS=results/demo` shows one run, or another folder.
status: export RESULTS ?= results
status:
	@python=$(BIN)/python; $$python -c "" 2> /dev/null || python=$(PYTHON); $$python workflow/status.py "$$RESULTS"

test: setup
	$(BIN)/pytest --numprocesses 2 --dist loadfile -m "not slow"
	@echo
	@echo "All everyday tests passed. tests/README.md says what they show; \`make demo\` runs the pipeline."

# The conda environments need 9 GB of disk; SLURM and the browser are skipped where they are missing.
test-all: test
	$(BIN)/pytest --numprocesses 2 --dist loadfile -m slow

lint: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/snakemake --lint

bench: setup
	@$(BIN)/pip install --quiet --disable-pip-version-check -r envs/requirements.txt -r envs/benchmark.txt || \
	  echo "Pythae can't be installed; its rows will be empty."
	PYTHONPATH=workflow:workflow/scripts $(BIN)/python -m benchmark

# DRY_RUN=yes tries the check itself, without a GPU.
gpu-check: setup
	@PYTHONPATH=workflow:workflow/scripts $(BIN)/python -m gpu_check $(if $(filter-out yes,$(DRY_RUN)),$(error write DRY_RUN=yes, or leave it out))$(if $(DRY_RUN),--dry-run)

estimates: setup
	@PYTHONPATH=workflow:workflow/scripts $(BIN)/python -m gpu_check.estimates $(CONFIG)

soak: setup
	SOAK_MINUTES=60 $(BIN)/pytest --capture=no tests/test_soak.py

# tred removes redundant arrows; Snakemake's colours mean nothing.
rulegraph: setup
	$(BIN)/snakemake --rulegraph --forceall > workflow/pictures/rules.dot
	sed -i.bak 's/color = "[^"]*"/color = "#3b6ea5"/' workflow/pictures/rules.dot
	tred workflow/pictures/rules.dot > workflow/pictures/rules.dot.bak
	dot -Tsvg workflow/pictures/rules.dot.bak -o workflow/pictures/rules.svg
	rm workflow/pictures/rules.dot*
