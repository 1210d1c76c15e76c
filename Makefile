# Two commands for a newcomer: `make demo` and `make test`. Both set up everything they need in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help setup demo test lint bench soak
.DEFAULT_GOAL := help

help:
	@echo "make demo        all experiments on scikit-learn's digits, on two CPU cores, in minutes"
	@echo "make test        the tests"
	@echo "make lint        the linters and formatters, checking only"
	@echo "make bench       this pipeline's speed beside what one would use instead, on this machine, in minutes"
	@echo "make soak        an hour of killed jobs and killed runs, after which the results have to be the same"
	@echo "make setup       only the environment that these use: $(VENV)"

setup: $(VENV)/installed

$(VENV)/installed: envs/requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Python 3.11 or newer is needed, and $(PYTHON) is `$(PYTHON) --version`. Name another: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --requirement envs/requirements.txt
	@touch $@

demo: setup
	$(BIN)/snakemake --cores 2 --resources gpu=0 --configfile config/demo.yaml
	@echo
	@echo "The demo is complete. Look at"
	@echo "  results/demo/figures/contact_sheet.png        all figures on one page"
	@echo "  results/demo/tables/                          table1.md to table3.md, claims.md and others"
	@echo "  results/demo/cells/                           every cell's samples.png and reconstructions.png"
	@echo "  .venv/bin/snakemake --report report.html --configfile config/demo.yaml   puts all of it on one page"
	@echo "Next: README.md, section \"The paper's run\"."

test: setup
	$(BIN)/pytest --numprocesses 2 --dist loadfile
	@echo
	@echo "All tests passed. tests/ says what each of them shows; \`make demo\` runs the pipeline."

lint: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/snakemake --lint

bench: setup
	@$(BIN)/pip install --quiet --disable-pip-version-check -r envs/requirements.txt -r envs/benchmark.txt || \
	  echo "Pythae can't be installed; its rows will stay empty."
	$(BIN)/python workflow/benchmark

soak: setup
	$(BIN)/python tests/soak.py --minutes 60
