# The one entry to everything. `make help` lists the targets.
PY := .venv/bin/python
# An environment that happens to be active is none of ours.
unexport PYTHONHOME PYTHONPATH VIRTUAL_ENV
TARGET ?=

.PHONY: help setup demo demo-ota test test-wasmi conformance conformance-tuf conformance-brokers conformance-cluster check format docs bench fuzz fuzz-engine attack simulate soak wheel release cross test-arm test-boot version lock clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## Install what is missing, build the native module and the guests
	@.ci/setup

demo: setup ## Broker, agent and one job, with every step shown
	@$(PY) -m tests.demo.demo

demo-ota: setup ## Updates: three boards, a staged rollout, a power cut, a rollback
	@$(PY) -m tests.demo.demo_ota

test: setup ## The whole test suite
	@$(PY) -m pytest

test-wasmi: setup ## The tests of the engine on wasmi, which 32-bit boards have
	@PYTHONPATH=build/wasmi $(PY) -m pytest -q -p no:cacheprovider tests/native tests/guests tests/conformance \
	  tests/fuzz/test_engine.py tests/fuzz/test_native.py

conformance: setup ## The WebAssembly suite on Wasmer and wasmi: compiled, loaded, limited, in workers; prints a table
	@$(PY) -m tests.conformance.run
	@PYTHONPATH=build/wasmi $(PY) -m tests.conformance.run

conformance-tuf: setup ## The public TUF suite on the client of boards: SUITE=DIR, a checkout of tuf-conformance
	@$(PY) -m tests.conformance.tuf $(SUITE)

check: setup ## Format, lint, types, layers, stubs, clippy
	@$(PY) -m ruff format --check agent tests guests bench cross
	@$(PY) -m ruff check agent tests guests bench cross
	@$(PY) -m mypy
	@$(PY) -m mypy -p cross
	@.venv/bin/lint-imports
	@MYPYPATH=agent $(PY) -m mypy.stubtest waspi._wasmer
	@cd agent/native && cargo fmt --check
	@cd agent/native && CARGO_TARGET_DIR=$${WASPI_CACHE:-$${XDG_CACHE_HOME:-$$HOME/.cache}/waspi}/target PYO3_PYTHON=$(CURDIR)/$(PY) sh -c \
	  'cargo clippy --release --locked --quiet -- -D warnings && cargo clippy --release --locked --quiet --features wasmi -- -D warnings'

format: setup ## Write Python and Rust in the project's form
	@$(PY) -m ruff format agent tests guests bench cross
	@$(PY) -m ruff check --fix agent tests guests bench cross
	@cd agent/native && cargo fmt

docs: setup ## Write docs/CONFIGURATION.md anew from the table of keys
	@.venv/bin/waspi config reference > docs/CONFIGURATION.md

conformance-brokers: setup ## The same checks on mosquitto, RabbitMQ, HiveMQ, mochi, rumqttd; prints a table (WRITE=1: docs/BROKERS.md)
	@$(PY) -m tests.brokers.run $(if $(WRITE),--write)

conformance-cluster: setup ## Three nodes of RabbitMQ, each killed in turn under load (needs unshare's rights)
	@$(PY) -m tests.brokers.cluster

bench: setup wheel ## Measure against peers; prints ratios, writes bench/results
	@$(PY) -m bench.run

FUZZ_S ?= 60
fuzz: setup ## Decoders and the native compile and run, guided by coverage (FUZZ_S=60 seconds per decoder; x86_64)
	@.venv/bin/pip install --quiet --disable-pip-version-check --require-hashes -r tests/fuzz/requirements.txt
	@$(PY) -m tests.fuzz.run --seconds $(FUZZ_S)

ENGINE_S ?= 60
fuzz-engine: setup ## Modules made at random, on Wasmer and wasmi against wasmtime (ENGINE_S=60 seconds for each)
	@.venv/bin/pip install --quiet --disable-pip-version-check --require-hashes -r tests/fuzz/requirements.txt
	@$(PY) -m tests.fuzz.engine --seconds $(ENGINE_S)
	@PYTHONPATH=build/wasmi $(PY) -m tests.fuzz.engine --seconds $(ENGINE_S)

attack: setup ## Attack a running agent: captured workers and compilers, hostile members (ATTACK="NAME..." for some)
	@$(PY) -m tests.attack $(ATTACK)

simulate: setup ## The whole agent, simulated: SEEDS=N runs (3000) from FIRST=N (random), or SEED=N alone with its log
	@$(PY) -m tests.simulation.run $(if $(SEED),--seed $(SEED),--seeds $(or $(SEEDS),3000) $(if $(FIRST),--first $(FIRST)))

soak: setup ## 100,000 jobs with random kills of agent, workers and broker
	@$(PY) -m tests.crash.soak

# Linked as a whole (fat LTO), which takes five minutes the first time and one after an edit: calls cost 9 % less.
wheel: setup ## The wheel for this machine, into dist/
	@export CARGO_TARGET_DIR=$${WASPI_CACHE:-$${XDG_CACHE_HOME:-$$HOME/.cache}/waspi}/target-wheel CARGO_PROFILE_RELEASE_LTO=fat \
	  RUSTC_WRAPPER=$(CURDIR)/cross/rustc-wrapper WASPI_SOURCES=$(CURDIR) PYO3_PYTHON=$(CURDIR)/$(PY); \
	  .venv/bin/maturin build --release --locked --compression-level 9 --out dist && $(PY) -m cross.reproducible dist/waspi-*_$$(uname -m).whl

release: wheel ## All files of a release into dist/release/VERSION, signed (KEY=name of gpg's key; from the commit of the version's tag)
	@cross/setup
	@$(PY) -m cross.release --key $(or $(KEY),$(error say KEY=, gpg's name of the signing key)) --wheel dist/waspi-*_$$(uname -m).whl

cross: ## ARM wheels, wheelhouses and Debian packages into dist/ (TARGET=aarch64|armv7; default both)
	@cross/setup
	@set -e; for target in $(or $(TARGET),aarch64 armv7); do \
	  python3 -m cross.wheelhouse --target $$target --output dist/$$target/wheelhouse; \
	  python3 -m cross.deb --target $$target --output dist/$$target; done

test-arm: setup ## The test suite on an ARM board under QEMU user mode (TARGET=aarch64|armv7; needs root)
	@cross/setup
	@$(PY) -m tests.conformance.suite
	@$(PY) -m cross.usertest --target $(or $(TARGET),$(error say TARGET=aarch64 or TARGET=armv7))

test-boot: setup ## A whole board in QEMU: install, run, kill, starve, cut the power, purge (needs root; PIP=1: by pip, too)
	@cross/setup
	@$(PY) -m cross.boot --target $(or $(TARGET),aarch64) $(if $(PIP),--pip)

version: ## Set the version (VERSION=1.2.3); see CONTRIBUTING.md, "A release"
	@case "$(VERSION)" in [0-9]*.[0-9]*.[0-9]*) ;; *) echo "say VERSION=1.2.3"; exit 2 ;; esac
	@sed -i '0,/^version = ".*"/s//version = "$(VERSION)"/' agent/native/Cargo.toml
	@sed -i '/^name = "waspi-native"/{n;s/^version = ".*"/version = "$(VERSION)"/}' agent/native/Cargo.lock
	@sed -i 's/^__version__: Final = ".*"/__version__: Final = "$(VERSION)"/' agent/waspi/__init__.py
	@echo "version $(VERSION): next, CHANGELOG.md, then CONTRIBUTING.md, \"A release\""

lock: ## Write requirements.lock anew from pyproject.toml
	@$(PY) -m pip install --quiet uv
	@.venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --no-annotate --custom-compile-command "make lock" --extra cli --extra ota --group dev pyproject.toml -o requirements.lock

clean: ## Remove what was built here (the cache stays)
	rm -rf .venv build dist agent/waspi/_wasmer.abi3.so
