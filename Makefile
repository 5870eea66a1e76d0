# make test   set everything up and run the tests
# make demo   set everything up and run two experts on a real model
# With a GPU: CMAKE_ARGS=-DGGML_CUDA=ON make test
# Both need Python 3.10 or newer, a C++ compiler and cmake, and nothing else.

PYTHON ?= python3
VENV := .venv
SCRIPTS := $(if $(filter Windows_NT,$(OS)),Scripts,bin)
BIN := $(VENV)/$(SCRIPTS)
BASE := .demo/SmolLM2-135M-Instruct.Q4_1.gguf
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: FORCE test demo check check-workflows wheel docs dist sbom audit fuzz-server evaluate bench bench-device bench-experts bench-real-size bench-serving bench-grammars train clean

# The tests start hundreds of programs, each of which would compile the package again.
test: export PYTHONDONTWRITEBYTECODE =

# worksteal: where a worker process crashes, other modes lose the other tests of its file.
test: $(VENV)/.ready $(BASE)
	$(BIN)/python -m pytest -n auto --dist worksteal --cov --cov-report=term:skip-covered

demo: $(VENV)/.ready $(BASE)
	@$(BIN)/python examples/demo.py --base $(BASE)

check: $(VENV)/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	rm -rf build/typed build/lib build/bdist* && $(BIN)/python -m pip install --quiet --no-deps --target build/typed .
	MYPYPATH=build/typed $(BIN)/python -m mypy -p hivellm_lite
	MYPYPATH=build/typed $(BIN)/python -m mypy -p hivellm_lite \
		--platform win32 --cache-dir .mypy_cache/win32  # what Windows lacks

# What GitHub would run. actionlint fetches its program from GitHub when it is installed.
check-workflows: build/workflow-tools/.ready
	build/workflow-tools/$(SCRIPTS)/zizmor --offline --quiet --persona=pedantic .github
	build/workflow-tools/$(SCRIPTS)/actionlint

build/workflow-tools/.ready: pyproject.toml
	$(PYTHON) -m venv build/workflow-tools
	build/workflow-tools/$(SCRIPTS)/python -m pip install --quiet \
		$$($(PYTHON) scripts/requirements_of.py workflows)
	touch $@

# The wheel, installed where nothing else is, and its commands run from there.
wheel: $(VENV)/.ready $(BASE)
	rm -rf dist build/lib build/empty && $(BIN)/python -m build --wheel --outdir dist .
	$(PYTHON) -m venv build/empty
	$(PYTHON) scripts/install_llama_cpp.py build/empty
	build/empty/$(SCRIPTS)/python -m pip install --quiet dist/*.whl
	cd build && empty/$(SCRIPTS)/hivellm-lite --version && empty/$(SCRIPTS)/hivellm-lite doctor
	cd build && empty/$(SCRIPTS)/hivellm-lite inspect ../examples/experts/sql.expert
	cd build && for command in $$(empty/$(SCRIPTS)/python -c \
		"from hivellm_lite.cli import cli; print(*cli.list_commands(None))"); do \
		empty/$(SCRIPTS)/hivellm-lite $$command --help > /dev/null || exit 1; done
	cd build && empty/$(SCRIPTS)/hivellm-lite run ../examples/experts/sql.expert \
		"How many users are there?" --schema "CREATE TABLE users (id INT)" --base ../$(BASE)

# The documentation as a site, in build/site: open build/site/index.html. It needs no server.
docs: $(VENV)/.ready
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	rm -rf build/site && $(BIN)/python -m sphinx --quiet --fail-on-warning --keep-going -b html docs build/site

# What is published: the wheel and the source archive, as PyPI wants them.
dist: build/release-tools/.ready
	rm -rf dist build/lib && build/release-tools/$(SCRIPTS)/python -m build --outdir dist .
	build/release-tools/$(SCRIPTS)/python -m twine check --strict dist/*

# What an installation brings, as CycloneDX: the environment that `make wheel` made.
sbom: build/release-tools/.ready
	test -d build/empty || $(MAKE) wheel
	build/release-tools/$(SCRIPTS)/cyclonedx-py environment --pyproject pyproject.toml \
		--output-reproducible --output-file build/sbom.cdx.json build/empty/$(SCRIPTS)/python

# Known vulnerabilities in the same environment. An index that PyPI's advisories are not
# asked through makes every package one that "could not be audited".
audit: build/release-tools/.ready
	test -d build/empty || $(MAKE) wheel
	build/release-tools/$(SCRIPTS)/pip-audit --path \
		$$(build/empty/$(SCRIPTS)/python -c "import sysconfig; print(sysconfig.get_path('purelib'))")

build/release-tools/.ready: pyproject.toml
	$(PYTHON) -m venv build/release-tools
	build/release-tools/$(SCRIPTS)/python -m pip install --quiet \
		$$($(PYTHON) scripts/requirements_of.py release)
	touch $@

evaluate: $(VENV)/.ready $(BASE)
	$(BIN)/python examples/evaluate.py --base $(BASE)

bench: $(VENV)/.ready $(BASE)
	$(BIN)/python -m benchmarks.run --base $(BASE)

# The goals on a machine with a GPU, in a few minutes.
bench-device: $(VENV)/.ready
	$(BIN)/python -m benchmarks.device

bench-experts: $(VENV)/.ready $(BASE)
	$(BIN)/python -m benchmarks.experts --base $(BASE)

# Qwen3-0.6B's shape with random weights (2 GB in build/qwen3), ten minutes on two idle cores.
bench-real-size: $(VENV)/.ready
	$(BIN)/python scripts/build_llama_server.py build/llama-server
	test -f build/qwen3/lora-19.expert || \
		$(BIN)/python scripts/make_qwen3_shape.py build/qwen3/hf --loras 20
	$(BIN)/python -m benchmarks.real_size build/qwen3 \
		--llama-server build/llama-server/build/bin/llama-server

bench-serving: $(VENV)/.ready $(BASE)
	$(BIN)/python scripts/build_llama_server.py build/llama-server
	$(BIN)/python -m benchmarks.serving --base $(BASE) \
		--llama-server build/llama-server/build/bin/llama-server

# Whatever the OpenAPI document allows and forbids, sent to a server for so many seconds.
SECONDS ?= 600
fuzz-server: $(VENV)/.ready
	$(BIN)/python -m tests.server.fuzzing --seconds $(SECONDS)

bench-grammars: $(VENV)/.ready $(BASE)
	$(BIN)/python -m benchmarks.grammars --base $(BASE)

train: $(BASE)
	$(PYTHON) -m venv .training-venv
	.training-venv/$(SCRIPTS)/python -m pip install --quiet -r examples/training/requirements.txt
	.training-venv/$(SCRIPTS)/python -m pip install --quiet --no-deps .  # packs what was trained
	cd examples && for expert in sql json cypher; do \
		../.training-venv/$(SCRIPTS)/python -m training.train --expert $$expert \
			--base-gguf ../$(BASE) --out experts || exit 1; done

clean:
	rm -rf $(VENV) .training-venv .demo build dist *.egg-info .coverage .mypy_cache .ruff_cache .pytest_cache

# Other CMAKE_ARGS are another build of llama.cpp. Without any, the build that is there stays.
$(VENV)/.cmake-args: FORCE
	@mkdir -p $(VENV)
	@test -e $@ -a -z "$$CMAKE_ARGS" || echo "$$CMAKE_ARGS" | cmp -s - $@ || \
		echo "$$CMAKE_ARGS" > $@

FORCE:

$(VENV)/.llama: scripts/install_llama_cpp.py $(VENV)/.cmake-args
	$(PYTHON) -m venv $(VENV)
	$(PYTHON) scripts/install_llama_cpp.py $(VENV)
	touch $@

$(VENV)/.ready: pyproject.toml $(VENV)/.llama
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

$(BASE):
	$(PYTHON) scripts/fetch_smollm2.py $@
