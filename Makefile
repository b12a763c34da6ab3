# make book   the rendered book: virtual environment from the lock, quick profile, HTML in _build/html
# make test   the same environment and book: unit tests, nbval over every notebook, browser tests
# Nothing but Python >= 3.11 and make has to be there; each step leaves a stamp and is not repeated.

PYTHON ?= python3
VENV ?= .venv
PORT ?= 8000
TORCH ?= 2.13.0

BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
HTML := _build/html
BOOK := $(HTML)/.built
PLOTLY := book/_static/plotly.min.js
QUICK := work/skills.json
PRETRAINED := work/.pretrained
SOURCES := _config.yml _toc.yml $(shell find book notebooks results src -type f \
	-not -name '*.pyc' -not -path '*/.ipynb_checkpoints/*' -not -path '*.egg-info/*' -not -path $(PLOTLY) 2>/dev/null)

.DEFAULT_GOAL := help
.PHONY: help book test lab notebooks serve published reproduce readme lint lock clean
.DELETE_ON_ERROR:

help:  ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/make \1	\2/' | expand -t 18

book: $(BOOK)  ## build the book; open _build/html/index.html
	@echo "The book: $(abspath $(HTML))/index.html"

test: export OMP_NUM_THREADS = 1
test: $(BOOK)  ## unit tests, then nbval over every notebook, then the built pages in a browser
	$(BIN)/pytest tests --ignore=tests/browser -n 2 --dist loadscope
	$(BIN)/pytest notebooks --nbval --nbval-current-env --nbval-sanitize-with tests/notebooks/sanitize.cfg
	$(BIN)/pytest tests/browser -rs

lab: $(INSTALLED)  ## the notebooks in JupyterLab, with figures that draw there
	SLUBOOK_FIGURES=lab $(BIN)/jupyter lab --notebook-dir=notebooks

# What is committed: run this when the package or results/ have changed, look at the difference, commit it.
notebooks: export OMP_NUM_THREADS = 1
notebooks: $(INSTALLED)  ## run every notebook again and keep its outputs
	$(BIN)/jupyter nbconvert --to notebook --execute --inplace --ExecutePreprocessor.timeout=900 \
		--ExecutePreprocessor.record_timing=False notebooks/*.ipynb

serve: $(BOOK)  ## the built book on http://127.0.0.1:8000
	$(BIN)/python -m http.server --bind 127.0.0.1 --directory $(HTML) $(PORT)

# A run goes on from finished cells in the cache and in results/: `make reproduce` measures anew.
# A corpus that no run reads may be out of reach: fetching goes on, and so does what follows.
# MINUTES=300 begins no cell after that long, except for what is measured as a whole; fails while some are missing: call again.
published: export OMP_NUM_THREADS = 1
published: $(INSTALLED)  ## complete what is missing of the full profile: downloads public corpora, hours, writes results/
	-$(BIN)/slubook data fetch
	for name in $$($(BIN)/python -c "from slubook.experiments.table import EXPERIMENTS; print(*EXPERIMENTS)"); do \
		$(BIN)/slubook run $$name --profile full \
			$(if $(MINUTES),$$([ $$name = serving -o $$name = engineering ] || echo --minutes $(MINUTES))) || exit; done
	$(BIN)/slubook data passports
	$(BIN)/python tests/ch2_transfer/test_templates.py
	$(BIN)/python tests/test_readme.py

# Measures anew what is published and compares: all cells, or CELLS=n of each experiment, drawn the same each time.
# `slubook reproduce --help` says which are drawn, what may differ, and why. What has no cells is left out by CELLS.
reproduce: export OMP_NUM_THREADS = 1
reproduce: $(INSTALLED)  ## measure published cells anew: [EXPERIMENT=name] [CELLS=n] OUT=folder
	@test -n "$(OUT)" || { echo "name a new folder for what is measured: make reproduce OUT=folder"; exit 2; }
	names=$(or $(EXPERIMENT),$$($(BIN)/python -c "from slubook.experiments.table import EXPERIMENTS; \
		print(*(name for name in EXPERIMENTS if not ('$(CELLS)' and name == 'engineering')))")) || exit; \
	differ=; for name in $$names; do \
		$(BIN)/slubook reproduce $$name $(if $(CELLS),--cells $(CELLS)) --out "$(OUT)" || differ="$$differ $$name"; \
	done; test -z "$$differ" || { echo "not reproduced:$$differ"; exit 1; }

lint: $(INSTALLED)  ## ruff over the package and the tests
	$(BIN)/ruff check

readme: $(INSTALLED)  ## write the README's table of results from results/
	$(BIN)/python tests/test_readme.py

clean:  ## forget the built book and the virtual environment
	rm -rf _build work $(VENV) $(PLOTLY)

$(INSTALLED): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "$(PYTHON) is older than Python 3.11: make PYTHON=/path/to/a/newer/python3"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --use-pep517 -r requirements.lock
	$(BIN)/python -m pip install --no-deps --no-build-isolation -e .
	@touch $@

$(PLOTLY): $(INSTALLED)
	$(BIN)/python -c "import pathlib, sys, plotly.offline as p; pathlib.Path(sys.argv[1]).write_text(p.get_plotlyjs(), 'utf-8')" $@

# Once a clone: the quick profile of chapter 1, on the embedded corpora. `slubook run skills` runs it again.
$(QUICK): | $(INSTALLED)
	$(BIN)/slubook run skills --profile quick

# Once a clone: what `slubook skill compare --transfer` starts from, in the cache; a minute or two.
$(PRETRAINED): | $(INSTALLED)
	$(BIN)/python -c "from slubook.own.inputs import pretrained_network; pretrained_network([])"
	@mkdir -p $(@D) && touch $@

# --all: a page may change because of the package or the results, which Sphinx does not watch.
$(BOOK): $(INSTALLED) $(PLOTLY) $(QUICK) $(PRETRAINED) $(SOURCES)
	$(BIN)/jupyter-book build . --all -W -n --keep-going
	@touch $@

# Newest versions that satisfy pyproject.toml, on the oldest Python the book supports.
lock:  ## make requirements.lock and environment.yml anew
	$(PYTHON) -m venv --clear _build/lock
	_build/lock/bin/pip install torch==$(TORCH) -e '.[book,test,dev]'
	_build/lock/bin/pip freeze --all --exclude-editable --exclude pip | sed -e '/^#/d' -e 's/+cpu$$//' > requirements.lock
	sed -i.old '/- pip:/q' environment.yml && rm environment.yml.old
	sed 's/^/      - /' requirements.lock >> environment.yml
