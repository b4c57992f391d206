# Two commands on a fresh machine: `make demo` and `make test`. Each sets up what it needs in .venv.

PYTHON ?= python3
BIN := .venv/bin
THREADS := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1

# The C code with gcc's checks of memory and of undefined behaviour.
CHECKED := build/checked/_cpu_kernels.so
CHECKS := -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined,float-cast-overflow -fno-sanitize-recover=all
CHECKED_TESTS := tests/laws/test_engine.py $(foreach name,cpu library linear harmonics rowwise table,tests/unit/kernels/test_$(name).py)
INSTRUCTIONS = from subduce.kernels import _library as c; print(*c.iter_instructions(c.library()))

.PHONY: demo test sanitize check docs examples bench bench-peers clean

demo: .venv/.demo
	$(BIN)/subduce demo --output demo --overwrite

test: .venv/.test
	$(THREADS) $(BIN)/python -m pytest -n 2 --dist worksteal

# For every set of instructions that this CPU has, and what threads share with two threads.
sanitize: .venv/.test $(CHECKED)
	set -e; export LD_PRELOAD="$$(gcc -print-file-name=libasan.so) $$(gcc -print-file-name=libstdc++.so)"; \
	export ASAN_OPTIONS=detect_leaks=0 SUBDUCE_KERNELS=$(CURDIR)/$(CHECKED) $(THREADS); \
	for name in $$($(BIN)/python -c '$(INSTRUCTIONS)'); do \
		echo "$$name"; SUBDUCE_INSTRUCTIONS=$$name $(BIN)/python -m pytest -n 0 -x $(CHECKED_TESTS); \
	done; \
	echo "two threads"; OMP_NUM_THREADS=2 $(BIN)/python -m pytest -n 0 -x $(CHECKED_TESTS) tests/contracts/test_kernels.py \
		-k 'not [reference and not compiled'

$(CHECKED): $(wildcard csrc/*)
	@mkdir -p $(@D)
	gcc -Wall -Wextra -Werror $(CHECKS) -DSUBDUCE_COMPILE_SOON -shared -fPIC -fno-math-errno -fno-trapping-math \
		-o $@ csrc/kernels.c

# Everything that must hold before a change lands, apart from the tests.
check: .venv/.test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/pyright

examples: .venv/.test
	set -e; for script in examples/*.py; do echo "$$script"; $(BIN)/python "$$script"; done

docs: .venv/.test
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

# Cases beside other programs, which are measured with one thread and with two.
SHARED := product harmonics aspirin water 'silicon, 1,000 atoms' 'training step'

# Speed beside the programs of `make bench-peers`, and the plot of it: keep the machine quiet meanwhile.
bench: .venv/.test
	$(BIN)/subduce bench --json > benchmarks/results/speed.json.new
	mv benchmarks/results/speed.json.new benchmarks/results/speed.json
	$(BIN)/subduce bench --threads 2 --cases $(SHARED) --json > benchmarks/results/speed_two_threads.json.new
	mv benchmarks/results/speed_two_threads.json.new benchmarks/results/speed_two_threads.json
	$(BIN)/python benchmarks/plot.py

# An environment for each other program, in .peers; nequip's network is compiled there, which takes minutes.
bench-peers: .venv/.test
	$(BIN)/python benchmarks/make_peers.py

clean:
	rm -rf .venv .peers site demo build src/*.egg-info

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "subduce needs Python 3.11 or newer; name one with: make PYTHON=python3.11 demo"; exit 2; }
	@$(PYTHON) -m venv .venv || \
		{ rm -rf .venv; echo "$(PYTHON) cannot make environments; on Debian: apt-get install python3-venv"; exit 2; }

BUILT_FROM := pyproject.toml constraints.txt setup.py $(wildcard csrc/*)

.venv/.demo: .venv/bin/python $(BUILT_FROM)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

.venv/.test: .venv/bin/python $(BUILT_FROM)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test,docs]'
	@touch $@
