# make run    every notebook at the standard profile, and build/report/index.html
# make test   lint, unit tests, every notebook at the smoke profile
# make check  lint and the tests that need no notebook: under a minute
# make lab    JupyterLab on copies of the notebooks to learn with; make lab NOTEBOOKS=source opens the originals
# make assignments   an nbgrader course, build/course: a copy of each notebook for students, without solutions
# make grade SUBMISSIONS=dir   grades.csv and a page of feedback for each submission, in build/course
# make slides a deck of slides for each executed notebook, build/slides; make run comes first
# make book   the notebooks and all texts as a static site, build/book; make run comes first
#
# TORCH_INDEX: address of PyTorch's own package index for your computer, as its "Get started" page shows it. On
# Linux without a GPU the CPU index saves several GB:   make setup TORCH_INDEX=<address of the CPU index>
# CSI_DATA_MIRROR: folder or address with the real data sets; without it they are looked for in their public places.

PYTHON ?= python3
TORCH_INDEX ?=
PROFILE ?= standard
SOURCE ?= auto
SEED ?= 0
JOBS ?= 1
SUBMISSIONS ?=
COURSE ?= build/course
NOTEBOOKS ?= learn
SANDBOX ?= require
CPU ?= 30

VENV := .venv
READY := $(VENV)/.ready
PY := $(VENV)/bin/python

# Next to a checkout of the data mirror, use it.
ifneq ($(wildcard ../shared/mirror/manifest.toml),)
CSI_DATA_MIRROR ?= $(abspath ../shared/mirror)
export CSI_DATA_MIRROR
endif

.PHONY: run test check lint setup lab assignments grade slides book strip reproduce benchmark clean

run: $(READY)
	$(PY) -m csi_papers run --profile $(PROFILE) --source $(SOURCE) --seed $(SEED) --jobs $(JOBS) --report build/report

# Three processes on two cores: several tests wait, for a browser, a sandbox or a limit.
test: $(READY) lint
	$(PY) -m pytest -n 3 --dist loadscope --no-loadscope-reorder

check: $(READY) lint
	$(PY) -m pytest -q -n 2 --dist loadscope --no-loadscope-reorder -m "not notebook and not slow and not browser"

lint: $(READY)
	$(VENV)/bin/ruff check .

setup: $(READY)

# Small matrices on many threads only get in each other's way, so a kernel computes on one. Jupyter refuses to run as
# root, which is who one is in many containers.
lab: $(READY)
	$(PY) -m csi_papers $(if $(filter source,$(NOTEBOOKS)),start,learn)
	OMP_NUM_THREADS=1 $(VENV)/bin/jupyter lab $(if $(filter source,$(NOTEBOOKS)),notebooks,build/learn) \
		--LabApp.default_url=/lab/tree/START_HERE.md --LabApp.app_settings_dir=$(CURDIR)/docs/lab \
		$(if $(filter 0,$(shell id -u)),--allow-root)

assignments: $(READY)
	$(PY) -m csi_papers assignments --out "$(COURSE)"

# SANDBOX=none grades where student code cannot be locked in; CPU: seconds that a student's cell or a check may compute.
grade: $(READY)
	$(if $(SUBMISSIONS),,$(error Which folder? make grade SUBMISSIONS=path/to/submissions))
	$(PY) -m csi_papers grade "$(SUBMISSIONS)" --course "$(COURSE)" --jobs $(JOBS) --cpu $(CPU) --sandbox $(SANDBOX)

slides: $(READY)
	$(PY) -m csi_papers slides

book: $(READY)
	$(PY) -m csi_papers book

# Take outputs and run marks out of the notebooks, as they are committed; cell ids and tags stay.
strip: $(READY)
	$(VENV)/bin/nbstripout --keep-id --extra-keys 'metadata.papermill cell.metadata.papermill cell.metadata.execution' notebooks/*.ipynb

reproduce: $(READY)
	$(PY) -m csi_papers run --profile full --source $(SOURCE) --seed $(SEED) --jobs $(JOBS) --report build/report

benchmark: $(READY)
	$(PY) -m pytest -q tests/benchmarks/bench_*.py

# What learners have written in build/learn stays.
clean:
	find build -mindepth 1 -maxdepth 1 ! -name learn -exec rm -rf {} + 2>/dev/null || true

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(v < (3, 11) and f"Python 3.11 or newer is needed, and $(PYTHON) is {v[0]}.{v[1]}. Try: make $(MAKECMDGOALS) PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(if $(TORCH_INDEX),$(PY) -m pip install --quiet --disable-pip-version-check -c constraints.txt --index-url $(TORCH_INDEX) torch)
	$(PY) -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[test,teach,book,browser]"
	@touch $(READY)
