# The environment is made once in .venv; `make` itself is only a shorthand (README gives the same lines without it).
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
PEERS  := $(VENV)/.peers
DOCS   := $(VENV)/.docs
BENCH  := .venv-bench

.PHONY: demo test torture wheel-test check format docs bench bench-gpu clean
.DELETE_ON_ERROR:

demo: $(READY)  ## digits, taught and fine-tuned, beside the same model from random values, in minutes on 2 cores
	$(BIN)/vitascope demo --out runs/demo

test: $(PEERS)  ## all tests
	$(BIN)/python -m pytest

torture: $(READY)  ## damaged files, hostile requests and kills by the thousand; SEED and COUNT say which and how many
	$(BIN)/python tests/faults/torture.py --seed $(or $(SEED),0) --count $(or $(COUNT),2000)

wheel-test:  ## the wheel, installed alone in a new environment: demo, serve, exports; needs a network, or what pip and npm keep
	$(PYTHON) tests/wheel.py

check: $(READY)  ## lint, format, types; the direction of imports is a test
	$(BIN)/ruff check src tests benchmarks docs/site
	$(BIN)/ruff format --check src tests benchmarks docs/site
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/test_architecture.py

format: $(READY)  ## mend what can be mended automatically
	$(BIN)/ruff check --fix src tests benchmarks docs/site
	$(BIN)/ruff format src tests benchmarks docs/site

docs: $(DOCS)  ## the site of the documentation in build/docs/html, made without a network; fails at a link that leads nowhere
	$(BIN)/python docs/site/build.py

# torch is installed first and alone, at the version of constraints.txt, so that nothing replaces it later. On Linux
# the default index may serve a GPU build of several gigabytes: PIP_EXTRA_INDEX_URL set to PyTorch's CPU index avoids it.
$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev,serve]"
	touch $@

# timm, transformers and torchvision serve parity tests only, and those tests skip, visibly, without them; so does the
# test of the extra tensorboard. Playwright drives a browser that the machine has, for the tests of the page.
$(PEERS): $(READY)
	-$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev,serve,peers,tensorboard]"
	-$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[browser]"
	-$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[heic]"
	-$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[onnx]"
	-$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[openvino]"
	-$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[clients]"
	-$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[docs,notebooks]"
	touch $@

$(DOCS): $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[docs]"
	touch $@

# The peers get an environment of their own, so that no package of theirs changes what the tests see.
$(BENCH)/.ready: pyproject.toml constraints.txt benchmarks/requirements.txt
	test -x $(BENCH)/bin/python || $(PYTHON) -m venv $(BENCH)
	$(BENCH)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BENCH)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e . -r benchmarks/requirements.txt
	touch $@

bench: $(BENCH)/.ready  ## every speed row that a CPU can measure, beside its peers; about an hour, with nothing else running
	$(BENCH)/bin/python benchmarks/bench.py

bench-gpu: $(BENCH)/.ready  ## the rows for a GPU
	$(BENCH)/bin/python benchmarks/bench.py --gpu

clean:  ## remove the environment and caches, never runs/
	rm -rf $(VENV) $(BENCH) .mypy_cache .ruff_cache .pytest_cache build dist
