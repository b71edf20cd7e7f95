# Everything a person or CI runs. `make help` lists it.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
TRITON := .venv-triton
AIRFLOW := .venv-airflow
# How long the demo's service stays up: make demo SERVE_SECONDS=inf
SERVE_SECONDS ?= 20

.DEFAULT_GOAL := help
.PHONY: help setup triton airflow demo test test-all check format bench results grid screenshots lock clean

help: ## what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

setup: $(STAMP) ## the environment in .venv, from the lock file

# PyTorch goes first and alone: other packages would otherwise pull in a build of their own choice.
$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11))" || { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/it"; exit 1; }
	@echo "setting up $(VENV) (about two minutes the first time)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check "$$(grep '^torch==' requirements.lock)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

triton: $(TRITON)/.installed ## the Triton server in .venv-triton, for its tests (CPU, Python backend)

# An environment of its own: the server's wheel holds numpy below 2. Its stub runs models in this environment too.
$(TRITON)/.installed: deploy/triton/requirements.lock
	@echo "setting up $(TRITON) (about two minutes the first time)"
	@test -x $(TRITON)/bin/python || $(PYTHON) -m venv $(TRITON)
	@$(TRITON)/bin/python -m pip install --quiet --disable-pip-version-check "$$(grep '^torch==' $<)"
	@$(TRITON)/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

airflow: $(AIRFLOW)/.installed ## Airflow in .venv-airflow, for its tests

# An environment of its own: it only calls our command.
$(AIRFLOW)/.installed: deploy/airflow/requirements.lock
	@echo "setting up $(AIRFLOW) (about two minutes the first time)"
	@test -x $(AIRFLOW)/bin/python || $(PYTHON) -m venv $(AIRFLOW)
	@$(AIRFLOW)/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

demo: setup ## train, evaluate, inspect and serve on the synthetic fab (seven to ten minutes on two cores)
	@$(BIN)/waferlens demo --out runs/demo --serve-seconds $(SERVE_SECONDS)

test: setup ## the tests, without the slow ones
	@$(BIN)/python -m pytest -m "not slow"

test-all: setup triton airflow ## all tests; some need HAProxy, Chromium and Prometheus (Debian: haproxy, chromium, prometheus, prometheus-alertmanager, faketime)
	@$(BIN)/python -m pytest

check: setup ## ruff and mypy
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: setup ## format the code
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

TRANSISTOR := $(or $(WAFERLENS_DATA),../shared/data)/mvtec-transistor-256

bench: setup runs/bench/training.json runs/bench/engines.json runs/bench/gpu.json ## speed on this machine, into runs/bench
	@ls -l runs/bench

results: bench ## docs/results.md again (hours: five seeds on every set; MVTec AD transistor in WAFERLENS_DATA)
	@test -d $(TRANSISTOR) || { echo "MVTec AD transistor is not in WAFERLENS_DATA"; exit 1; }
	@$(BIN)/waferlens benchmark $(TRANSISTOR) --recipe recipes/transistor.toml --out runs/benchmark/transistor
	@$(BIN)/waferlens benchmark $(TRANSISTOR) --recipe recipes/transistor-pixel.toml --out runs/benchmark/transistor-pixel
	@$(BIN)/waferlens benchmark $(TRANSISTOR) --recipe recipes/transistor.toml --normals 20 --out runs/benchmark/transistor-20
	@test -f runs/data/fab/manifest.csv || $(BIN)/python bench/datasets.py fab runs/data/fab
	@$(BIN)/waferlens benchmark runs/data/fab --recipe recipes/small-defects.toml --recipe recipes/pixel.toml --out runs/benchmark/fab
	@test -f runs/data/fab-moved/manifest.csv || $(BIN)/python bench/datasets.py fab runs/data/fab-moved --jitter 8 --rotation 2
	@$(BIN)/waferlens benchmark runs/data/fab-moved --recipe recipes/small-defects.toml --recipe recipes/pixel.toml --out runs/benchmark/fab-moved
	@test ! -f runs/data/cells/manifest.csv || $(BIN)/waferlens benchmark runs/data/cells --normals 300 --out runs/benchmark/cells
	@$(BIN)/python bench/results.py

runs/bench/training.json: | setup
	@$(BIN)/python bench/training_throughput.py --out $@

runs/bench/gpu.json: | setup
	@$(BIN)/python bench/gpu.py --out $@

runs/bench/engines.json: | setup
	@mkdir -p runs/bench
	@test -f runs/demo/bundle/manifest.json || $(MAKE) --no-print-directory demo
	@$(BIN)/waferlens bench runs/demo/bundle --out $@

grid: setup ## the picture of the synthetic fab in the README
	@$(BIN)/python -m waferlens.images.synth.grid docs/img/synthetic-fab.png

screenshots: setup ## the station's pages in docs/screenshots, from the demo (needs Chromium)
	@test -f runs/demo/bundle/manifest.json || $(MAKE) --no-print-directory demo
	@WAFERLENS_SCREENSHOTS=$(CURDIR)/docs/screenshots $(BIN)/python -m pytest -q tests/web/station/test_station_screenshots.py \
		tests/web/station/test_station_rollout.py

lock: setup ## write requirements.lock from what is installed
	@$(BIN)/python -m pip freeze --all --exclude pip --exclude-editable | sed 's/+cpu//' > requirements.lock

clean: ## remove results and caches of the tools, keep .venv
	@rm -rf runs .pytest_cache .mypy_cache .ruff_cache build
