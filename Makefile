# Two commands do everything: `make demo` and `make test`. `make help` lists the rest.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DATA ?=
OUTPUT ?=
NAME ?=
QUICK ?=
RECORDS ?= $(filter-out %-quick,$(wildcard runs/recipes/*))

# Usage telemetry of dependencies stays off in everything that runs from here.
export MLFLOW_DISABLE_TELEMETRY := true
export DO_NOT_TRACK := 1
export HF_HUB_DISABLE_TELEMETRY := 1

# Compiled modules are kept: three test processes and all that they start would compile each again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help install demo test types suite format screenshots bench bench-keras recipe champion records results docs constraints clean

help:
	@echo "make demo [DATA=folder] [OUTPUT=folder]   install, then the whole path once"
	@echo "make test                                 install, then every check and test"
	@echo "make format                               format and fix what can be fixed"
	@echo "make bench                                long measurements, table and JSON (an hour or two)"
	@echo "make recipe NAME=modality [DATA=folder] [OUTPUT=folder] [QUICK=1]   a set-up of recipes/"
	@echo "make champion [DATA=folder] [OUTPUT=folder]   train and pack the bundle that ships"
	@echo "make records [RECORDS=folders]            keep the numbers of finished set-ups"
	@echo "make results                              docs/results.md from the numbers kept"
	@echo "make docs                                 the manual, into site/"
	@echo "make screenshots                          walk the web app in Chromium, pictures of every page"
	@echo "make constraints                          pin what is installed now"
	@echo "make clean                                remove the environment and caches"

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; name it: make PYTHON=python3.12 ..."; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
	  --constraint constraints.txt --editable '.[app,service,tracking,tune,tensorboard,weights,dev]'
	@touch $(STAMP)

demo: install
	$(BIN)/pneumoscope demo $(if $(DATA),--data $(DATA)) $(if $(OUTPUT),--output $(OUTPUT))

test: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	@$(MAKE) --no-print-directory --jobs 2 types suite

# Types are checked while tests wait for servers and processes.
types:
	$(BIN)/mypy

suite:
	$(BIN)/pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder

format: install
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# axe-core (MPL-2.0) is fetched for this check alone and is not part of the project.
screenshots: install
	npm install --silent --no-save --no-audit --no-fund --prefix bench/output/axe axe-core@4
	$(BIN)/python bench/app_walk.py

bench-keras:
	test -x .venv-keras/bin/python || $(PYTHON) -m venv .venv-keras
	.venv-keras/bin/python -m pip install --quiet --disable-pip-version-check \
	  tensorflow-cpu==2.21.0 pillow scipy

bench: install bench-keras
	$(BIN)/python bench/run.py $(if $(DATA),--data $(DATA))

recipe: install
	$(BIN)/python recipes/run_plan.py $(NAME) $(if $(DATA),--data $(DATA)) \
	  $(if $(OUTPUT),--output $(OUTPUT)) $(if $(QUICK),--quick)

# Trains the bundle that ships and puts it into the package; prints the digest to pin.
champion: install
	$(BIN)/python recipes/run_plan.py champion $(if $(DATA),--data $(DATA)) \
	  --output $(or $(OUTPUT),runs/recipes/champion)
	$(BIN)/python recipes/pack_champion.py $(or $(OUTPUT),runs/recipes/champion)/champion

records: install
	$(BIN)/python recipes/records.py $(RECORDS)

results: install
	$(BIN)/python recipes/results.py

docs: install
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
	  --constraint constraints.txt --editable '.[docs]'
	$(BIN)/python manual/reference.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --clean
	$(BIN)/python manual/check_site.py

constraints: install
	@head -n 1 constraints.txt > constraints.new
	@$(BIN)/python -m pip freeze --exclude-editable | grep '==' >> constraints.new
	@mv constraints.new constraints.txt

clean:
	rm -rf $(VENV) site .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
