# The commands of the project. `make` lists them.
PYTHON ?= python3
# The CPU build: PyPI's own default build brings several GB of CUDA libraries that only the export could use.
TORCH ?= torch==2.13.0
# The pinned versions of everything else; /dev/null takes the newest that pyproject.toml allows.
CONSTRAINTS ?= constraints.txt
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install lock lint test demo up down status bench bench-load clean

help: ## List the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

$(INSTALLED): pyproject.toml setup.py $(wildcard inference_server/native/*)
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v < (3, 15) else f"Python 3.11 to 3.14 is needed, {sys.executable} is {v[0]}.{v[1]}: say make PYTHON=python3.11 …")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --constraint "$(CONSTRAINTS)" "$(TORCH)"
	$(BIN)/python -m pip install --quiet --constraint "$(CONSTRAINTS)" --editable ".[all]" --group dev
	$(BIN)/python -m pip install --quiet --no-deps kronos-model-arch==0.1.0
	@$(BIN)/python -c 'from inference_server.engine import native_operators; native_operators.library()'
	@touch $@

$(INSTALLED): constraints.txt

install: $(INSTALLED) ## Make the environment in .venv

lint: $(INSTALLED) ## Ruff, mypy, and which part may import which
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint ## The whole check: lint, types, and every test
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(PYTEST)

demo: $(INSTALLED) ## Export, serve, load candles, forecast, show; DATA=folder for your own candles
	$(BIN)/python -m flows.demo $(if $(DATA),--data $(DATA))

up: $(INSTALLED) ## Start everything on this machine, with schedules; DATA=folder for your own candles
	@$(BIN)/kronos up $(if $(DATA),--data $(DATA))

down: $(INSTALLED) ## Stop everything that `make up` started
	@$(BIN)/kronos down

status: $(INSTALLED) ## What runs, the last and the next runs, and what is wrong
	@$(BIN)/kronos status

# Packages of a torch build or of one platform stay free; onnxruntime and onnxruntime-gpu share their versions.
lock: $(INSTALLED) ## Write constraints.txt from the environment
	@$(BIN)/python -c 'import sys; sys.exit(0 if sys.version_info[:2] == (3, 11) else "lock with Python 3.11, the oldest: the newest versions for a newer Python may not run on it")'
	$(BIN)/python -m pip freeze --all --exclude-editable --exclude torch --exclude kronos-model-arch \
		--exclude pip > $(VENV)/frozen.txt
	{ grep '^#' constraints.txt; awk -F '==' '/ @ |^(nvidia-|cuda-|triton==)/ { next } \
		$$1 ~ /^onnxruntime(-gpu)?$$/ { print "onnxruntime==" $$2; print "onnxruntime-gpu==" $$2; next } \
		{ print }' $(VENV)/frozen.txt; } > $(VENV)/constraints.txt
	mv $(VENV)/constraints.txt constraints.txt
	@touch $(INSTALLED)

bench: $(INSTALLED) ## Every benchmark; writes docs/performance.md and benchmarks/RESULTS.md
	$(BIN)/python -m benchmarks

bench-load: $(INSTALLED) ## The server under load and with faults, for an hour; LOAD="soak --soak 60" for a part
	$(BIN)/python -m pip install --quiet --group load
	$(BIN)/python -m benchmarks.load $(LOAD)

clean: ## Remove the environment, caches and the demo's data
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .data build *.egg-info \
		inference_server/engine/_operators*.so
