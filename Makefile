# Everything sets itself up: a virtual environment for PYTHON, the build, the tools.
# `make test PYTHON=/path/to/python3.13t` uses another interpreter, in an environment of its own.

PYTHON ?= python3
CARGO ?= cargo
VENV ?= .venv-$(shell $(PYTHON) -c 'import sys; print(sys.implementation.cache_tag + sys.abiflags)')
BIN := $(VENV)/bin
# With `QUICK=--quick` the benchmarks do only as much as shows that they work.
QUICK ?=
# Python's tests wait more than they work.
WORKERS ?= $(shell $(PYTHON) -c 'import os; print(min(2 * len(os.sched_getaffinity(0)), 16))')
RUST := Cargo.toml Cargo.lock $(shell find crates -name '*.rs' -o -name Cargo.toml)

# What the tests of both languages run is built once, by the profile `release-test` of Cargo.toml; `release` is for use
# and for figures. Where nextest is installed it runs the tests of all binaries at once, cargo runs one binary after
# the other.
TEST_PROFILE := release-test
ifneq ($(shell $(CARGO) nextest --version 2>/dev/null),)
RUST_TEST := $(CARGO) nextest run --no-fail-fast --cargo-profile $(TEST_PROFILE) --package bchan
else
RUST_TEST := $(CARGO) test --no-fail-fast --profile $(TEST_PROFILE) --package bchan --lib --tests
endif

DEVELOP = VIRTUAL_ENV=$(abspath $(VENV)) $(BIN)/maturin develop --quiet
# The distribution of the benchmarks, once: what is changed in it is seen.
INSTALL_BENCH = test $(VENV)/bench -nt bench/pyproject.toml || \
	{ $(BIN)/python -m pip install --quiet --editable ./bench && touch $(VENV)/bench; }

.PHONY: demo test test-python test-rust release loom tsan lint docs bench bench-more bench-rust commands soak symbols clean

demo: $(VENV)/built ## Counts words with four producer threads, beside queue.Queue.
	$(BIN)/python examples/word_count.py

test: test-rust test-python ## All tests of both languages.

test-python: $(VENV)/built
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist worksteal $(PYTEST)

test-rust: ## With what Linux has, with what other systems get, and with processes that die at each labelled place.
	$(RUST_TEST)
	$(CARGO) test --profile $(TEST_PROFILE) --package bchan --doc
	$(RUST_TEST) --features portable
	$(RUST_TEST) --features kill-points --test processes

release: $(VENV)/release ## The native part as it is shipped.

loom: ## Model checking: all interleavings of small programs over the core.
	scripts/loom.sh

tsan: ## The stress tests under ThreadSanitizer.
	scripts/tsan.sh

lint: $(VENV)/tools
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	$(CARGO) clippy -p bchan --features portable --all-targets -- -D warnings
	$(CARGO) clippy -p bchan --features kill-points --all-targets -- -D warnings
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest bchan._core

docs: $(VENV)/docs ## The documentation as pages, from docs/_build/html/index.html on. Warnings are errors.
	$(BIN)/sphinx-build --quiet --fresh-env --fail-on-warning --keep-going docs docs/_build/html

bench: $(VENV)/release ## The headline figures, as a page and as JSON in bench-results/.
	$(BIN)/python -m pip install --quiet --group compare
	mkdir -p bench-results
	$(BIN)/bchan bench all --headline $(QUICK) --html bench-results/bench.html --json bench-results/bench.json

bench-more: $(VENV)/release ## What else docs/performance.md tells.
	$(BIN)/python -m pip install --quiet --group compare
	$(BIN)/python bench/programs/call_cost.py $(QUICK)
	$(BIN)/python bench/programs/objects.py $(QUICK)
	$(BIN)/python bench/programs/frames.py $(QUICK)
	$(BIN)/python bench/programs/processes.py $(QUICK)
	$(BIN)/python bench/programs/processes_objects.py $(QUICK)
	$(BIN)/python bench/programs/awaiting.py $(QUICK)
	$(BIN)/python bench/programs/idle_cpu.py $(QUICK)
	$(BIN)/python bench/programs/steady_state.py $(QUICK)
	$(BIN)/python bench/programs/stats_cost.py $(QUICK)
	$(BIN)/python bench/programs/many_channels.py $(QUICK)
	$(BIN)/python bench/programs/selecting.py $(QUICK)

bench-rust: ## The core beside crossbeam-channel, rtrb and kanal.
	cd bench/rust && $(CARGO) bench -- $(QUICK)

# What .ci/run starts with QUICK=--quick, of what CONTRIBUTING, README and docs name; tests/test_commands.py
# finds those that are missing here.
commands: docs bench bench-more bench-rust soak ## Every command that a page names and no test starts.
	scripts/run_bench_mpsc.sh --messages 1000000 --runs 1
	scripts/run_vyukov.sh --messages 1000000 --runs 1
	scripts/run_all_benches.sh --quick
	$(BIN)/bchan bench latency --quick
	$(BIN)/bchan bench compare --quick
	$(BIN)/bchan bench scaling --quick --runs 1
	$(PYTHON) -m venv --clear bench-results/installed
	bench-results/installed/bin/python -m pip install --quiet .
	bench-results/installed/bin/bchan ls
	bench-results/installed/bin/bchan cpus
	bench-results/installed/bin/python -m pip install --quiet ./bench
	bench-results/installed/bin/bchan bench mpsc --messages 1000000 --runs 1

soak: $(VENV)/built ## Kills, forks, cancels, hostile memory, finalizers; ten minutes, or BCHAN_SOAK_SECONDS.
	CARGO=$(CARGO) $(BIN)/python scripts/soak.py $(QUICK)

symbols: $(VENV)/release ## The native part with its functions' names, for profilers; until the next build.
	PYO3_BUILD_EXTENSION_MODULE=1 PYO3_PYTHON=$(abspath $(BIN)/python) \
		$(CARGO) build --release --package bchan-python
	install $${CARGO_TARGET_DIR:-target}/release/lib_core.so \
		"$$($(BIN)/python -c 'import bchan._core; print(bchan._core.__file__)')"

$(VENV)/made: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet 'maturin>=1.9,<2' --group test
	touch $@

$(VENV)/built: $(VENV)/made $(RUST) bench/pyproject.toml
	$(DEVELOP) --profile $(TEST_PROFILE)
	rm -f $(VENV)/release
	$(INSTALL_BENCH)
	touch $@

# Good for tests, too.
$(VENV)/release: $(VENV)/made $(RUST) bench/pyproject.toml
	$(DEVELOP) --release
	$(INSTALL_BENCH)
	touch $(VENV)/built $@

$(VENV)/tools: $(VENV)/built
	$(BIN)/python -m pip install --quiet --group lint
	touch $@

$(VENV)/docs: $(VENV)/built
	$(BIN)/python -m pip install --quiet --group docs
	touch $@

clean: ## Removes what was built, and the environments.
	rm -rf target bench-results docs/_build .venv .venv-*
