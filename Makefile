# squeeze-compress. The targets that CI runs, under the same names. `make help` prints each target's comment.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
RECIPE ?= pipelines/deep.yaml
PROCESSES ?= 2

.DEFAULT_GOAL := help
.PHONY: help install run test lint format wheel smoke audit gate native demo torture bench bench-native bench-rate results clean

help: ## Show the targets.
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

install: $(VENV)/installed ## Make the virtual environment with the tested versions (constraints.txt).

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check torch==$(shell sed -n 's/^torch==//p' constraints.txt) -c constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[train,dev]'
	touch $@

run: install ## Run a recipe (RECIPE=pipelines/deep.yaml), setting everything up first.
	$(BIN)/squeeze-compress run $(RECIPE)

test: install ## Run the tests, a file at a time in each of PROCESSES (2).
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses $(PROCESSES) --dist loadfile

lint: install ## Check style (ruff) and types (mypy).
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: install ## Rewrite the code in the project's style.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

wheel: install ## Build the wheel and the source archive into dist/.
	rm -rf dist
	$(BIN)/python -m build --outdir dist .

smoke: wheel ## Install the wheel in a new environment, away from the checkout, and run its commands there.
	bash .ci/smoke dist/*.whl constraints.txt

audit: ## Look for known vulnerabilities of the tested versions (constraints.txt); says so where the advisory service does not answer.
	$(PYTHON) .ci/audit constraints.txt

gate: install ## Judge the published files by artifacts/limits.yaml.
	$(BIN)/squeeze-compress check --limits artifacts/limits.yaml

native: ## Build the C decoder and runtime (native/build) and the page's module (native/web/sqz.wasm; needs clang and lld).
	$(MAKE) -C native
	$(MAKE) -C native/web

PORT ?= 8000
demo: install ## Classify pictures in the browser: artifacts/deep.sqz as a page, served on http://127.0.0.1:8000 (PORT=).
	$(BIN)/squeeze-compress export artifacts/deep.sqz --to web build/demo
	$(BIN)/python -m http.server --bind 127.0.0.1 --directory build/demo $(PORT)

bench-native: install ## Measure the C runtime beside onnxruntime and PyTorch (needs a C compiler; SQUEEZE_DATA for accuracy).
	$(BIN)/python benchmarks/inference.py

bench: install ## Measure what README states: coders, k-means, decoding, accuracy (the last needs SQUEEZE_DATA).
	$(BIN)/python benchmarks/coders.py
	$(BIN)/python benchmarks/kmeans.py
	$(BIN)/python benchmarks/decode.py artifacts/deep.sqz
	$(BIN)/python benchmarks/accuracy.py artifacts/deep.sqz artifacts/deep-imagenet.sqz
	$(BIN)/python benchmarks/accuracy.py artifacts/han.sqz artifacts/han-6bit.sqz --teacher 'net:$$SQUEEZE_DATA/../anchors/compressed_SqueezeNet.net'

bench-rate: install ## Plot the published files beside NNCodec, which gets an environment of its own (needs SQUEEZE_DATA).
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
	test -x .venv-nncodec/bin/python || $(PYTHON) -m venv .venv-nncodec
	.venv-nncodec/bin/python -m pip install --quiet --disable-pip-version-check --no-deps nncodec==2.1.3 'numpy<2' pybind11
	$(BIN)/python benchmarks/rate_accuracy.py artifacts/smallest.sqz artifacts/squeezenet11-*.sqz --nncodec .venv-nncodec/bin/python -o docs/rate-accuracy-v11
	$(BIN)/python benchmarks/rate_accuracy.py artifacts/squeezenet10-350k.sqz artifacts/han-6bit.sqz --nncodec .venv-nncodec/bin/python -o docs/rate-accuracy-v10 \
	  --teacher 'net:$$SQUEEZE_DATA/../anchors/compressed_SqueezeNet.net'

TORTURE_SECONDS ?= 0
torture: install ## Fuzz, damage files, kill runs, fill disks, encode large nets: hours (TORTURE_SECONDS=60: a sample, some minutes).
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[torture]'
	bash torture/all.sh $(TORTURE_SECONDS)

RESULTS := bypass squeeze-ratio 3x3-share deep-compression centroids

results: install ## Train, compress and measure what docs/results/ shows: hours, and it goes on where it was (needs SQUEEZE_DATA).
	for name in $(RESULTS); do $(BIN)/squeeze-compress explore $$name --runs runs/results || exit 1; done
	$(BIN)/python benchmarks/results.py --runs runs/results -o docs/results

clean: ## Remove the virtual environment, builds and caches; runs/ stays.
	rm -rf $(VENV) .venv-nncodec build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
