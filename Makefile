# make smoke | reference | test | lint | bench | docs: each sets up what it needs in .venv and runs. A GPU is used where there is one.
PYTHON ?= python3
BIN := .venv/bin

# Snakemake keeps files below the home, and stops with a traceback where it cannot
ifneq ($(shell mkdir -p "$${XDG_CACHE_HOME:-$$HOME/.cache}" 2>&1),)
export XDG_CACHE_HOME := $(CURDIR)/.snakemake/cache
endif

# with it every one of a hundred jobs would compile the package again
unexport PYTHONDONTWRITEBYTECODE

.PHONY: setup smoke reference test lint bench docs gallery clean

smoke: setup  ## the whole paper as a dry run: minutes on a laptop, ends with the path of a report and whether its numbers are the reference's
	$(BIN)/snakemake --cores all $$(test -t 2 && echo --logger rich) --config smoke=true

reference: smoke  ## keep the digests and numbers of this machine's smoke run as the reference, after a change that alters them
	$(BIN)/vggrepro compare results/smoke --write tables/reference/smoke.json

test: setup  ## all tests, a file to a worker; the smoke run, which one of the workers waits for, has the processors first
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses=2 --dist=loadfile --no-loadscope-reorder

test-all: export VGGREPRO_THOROUGH = 1
test-all: test  ## the same, with many more draws, kills and damaged files where tests try them at random: a few minutes more

lint: setup  ## what the pre-commit hooks and CI check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/snakemake --lint --config smoke=true

bench: export PYTHONPATH := $(CURDIR)
bench: setup  ## speeds beside those of others, time and memory at full size (12 GB in results/bench), the table of docs/explanation/performance.md
	@test -f "$(IMAGES)" || { echo "make bench IMAGES=PATH: PATH is a zip of JPEGs, such as 200 images of ILSVRC; got '$(IMAGES)'"; exit 2; }
	$(BIN)/python bench/training_input.py "$(IMAGES)"
	$(BIN)/python bench/evaluation.py "$(IMAGES)"
	$(BIN)/python bench/store.py "$(IMAGES)"
	$(BIN)/python bench/tables.py results/bench
	$(BIN)/python bench/merging.py
	$(BIN)/python bench/svm.py results/bench/svm
	$(BIN)/python bench/planning.py
	$(BIN)/python bench/smoke.py
	$(BIN)/python bench/harness.py

docs: setup  ## the documentation as a web site: open site/index.html; pages that follow from the code are written again first
	$(BIN)/vggrepro schema
	$(BIN)/python docs/generate.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

gallery: smoke  ## docs/gallery/: the smoke run's report, and that of public nets: ANSWERS=FOLDER of their files, DEVKIT=FOLDER of ILSVRC's devkit
	@test -e "$(ANSWERS)" -a -e "$(DEVKIT)" || { echo "make gallery ANSWERS=PATH DEVKIT=PATH: folders or zips of vgg16.npy and the like, and of meta_clsloc.mat; got '$(ANSWERS)' and '$(DEVKIT)'"; exit 2; }
	$(BIN)/python docs/gallery.py --answers "$(ANSWERS)" --devkit "$(DEVKIT)"

setup: .venv/installed

.venv/installed: pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit("vggrepro needs Python 3.11 or newer, this is " + sys.version.split()[0] + ": make PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	@echo "Setting up .venv (once): PyTorch and its libraries, about 3 GB to fetch"
	$(PYTHON) -m venv .venv
	@# uv is several times as fast; pip is for whoever has told pip alone where packages are. Compiled once, because where Python may
	@# write no bytecode every job would compile torch again, 1.5 s each
	{ $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint requirements.lock uv \
	    && $(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --constraint requirements.lock --editable ".[dev]"; } \
	  || $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint requirements.lock --editable ".[dev]"
	@# and so are loops of ours: else the first jobs of a run all do it, each for itself
	$(BIN)/python -m vggrepro.workflow.compiled
	@touch $@

clean:  ## remove all results and the environment
	rm -rf results .venv .snakemake
