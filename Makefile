# Everything one does with this repository; `make` alone lists it. Needs make and Python 3.11 or newer.
# Each target first makes the environment that it needs, in .venv, once.

CONSTRAINTS := constraints/airflow-3.3.2.txt constraints/test-tools.txt
PY := .venv/bin/python
# Without isolation the package is built by what is pinned. Not to compile all of Airflow beforehand saves 15 s:
# Python compiles what it uses.
PIP := $(PY) -m pip install --no-input --no-build-isolation --no-compile $(CONSTRAINTS:%=-c %)
# Silent, unless it fails: then once more aloud, as the reason may have passed and is else in what -qq leaves out.
install = @$(PIP) -qq $(1) 2>/dev/null || $(PIP) $(1) || { echo 'The packages could not be installed: pip prints why' \
	'above. Is a package index within reach? The same command goes on where this one stopped.' >&2; exit 1; }

# The caller's Python and Airflow settings, a database's least of all, must reach neither demo nor tests.
unexport PYTHONPATH PYTHONHOME PYTHONSTARTUP PYTHONDONTWRITEBYTECODE VIRTUAL_ENV PIP_USER PIP_TARGET PIP_PREFIX
unexport $(filter AIRFLOW_%,$(.VARIABLES))
export PYTHONNOUSERSITE := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help demo test gauntlet test-matrix test-distributed test-browser docs lint format typecheck dist audit clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-16s %s\n", $$1, $$2 }' Makefile

demo: .venv/.runtime ## export a flow campaign's answers with a real DAG run, from a sandbox into files
	@$(PY) scripts/demo.py

test: lint typecheck ## lint, types, unit and integration tests (PYTEST_ARGS="--cov")
# A file stays on one worker, for its costly fixtures; in order, so that the long integration tests start first.
	@$(PY) -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

gauntlet: .venv/.test ## each endpoint and bulk write with each fault, 1,020 kills, long fuzzing: ten minutes on two cores
# Single tests are distributed, as long ones take minutes. An interrupt after an hour: pytest still stops all servers.
# In the foreground, so that Ctrl-C reaches it, too.
	@CYTECHBOT_GAUNTLET=1 timeout --foreground --signal=INT --kill-after=60 60m \
		$(PY) -m pytest -n 2 --dist worksteal --durations=10 \
		tests/integration/hooks/test_fault_matrix.py tests/integration/hooks/test_bulk_fault_matrix.py \
		tests/integration/kills tests/integration/fuzz $(PYTEST_ARGS)

test-matrix: ## unit tests and DAG runs on each supported Airflow, 20 minutes the first time (VERSIONS="2.11.2 3.3.2")
	@python=$$(sh scripts/find-python) && exec "$$python" scripts/matrix.py $(VERSIONS)

test-distributed: needed-programs .venvs/distributed/.made ## kills in an Airflow on Celery, 12 minutes (needs postgresql, redis-server)
# An interrupt after 25 minutes: pytest still stops all servers. In the foreground, so that Ctrl-C reaches it, too.
	@timeout --foreground --signal=INT --kill-after=60 25m \
		.venvs/distributed/bin/python -m pytest tests/distributed $(PYTEST_ARGS)

.PHONY: needed-programs
needed-programs:
	@python=$$(sh scripts/find-python) && "$$python" tests/distributed/needed_programs.py

test-browser: .venv/.browser ## forms of old and new Airflow in chromium, and new screenshots for docs/images
	@for name in chromium chromium-browser google-chrome; do command -v $$name >/dev/null && exit; done; \
		echo 'No chromium is on PATH. On Debian: apt install chromium' >&2; exit 1
	@SCREENSHOTS=docs/images $(PY) -m pytest tests/integration/test_connection_form.py \
		tests/integration/test_in_the_ui.py tests/integration/test_report_page.py $(PYTEST_ARGS)
	@python=$$(sh scripts/find-python) && "$$python" scripts/older_forms.py

docs: .venv/.test ## build the documentation into docs/_build; a warning is an error
	@$(PY) -m sphinx -E -W --keep-going -q -b html docs docs/_build && echo 'docs/_build/index.html'

lint: .venv/.test ## ruff: rules and format
	@$(PY) -m ruff check && $(PY) -m ruff format --check \
		|| { echo 'make format mends what ruff can mend.' >&2; exit 1; }

format: .venv/.test ## let ruff mend what it can
	@$(PY) -m ruff format && $(PY) -m ruff check --fix

typecheck: .venv/.test ## mypy, strict
	@$(PY) -m mypy

dist: .venv/.test ## build sdist and wheel into dist/, with their bill of materials, and check them as an index does
	@rm -rf dist && $(PY) -m build --no-isolation --outdir dist . && $(PY) -m twine check --strict dist/* \
		&& $(PY) scripts/supply_chain.py sbom dist

audit: .venv/.test ## licences and known vulnerabilities of what an installation brings along (needs the index)
	@$(PY) scripts/supply_chain.py audit

clean: ## remove all that these targets made, the environment too
	rm -rf .venv .venvs .airflow build dist docs/_build .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache

# pip itself too: the one that an older Python brings takes twice as long.
.venv/.made: $(CONSTRAINTS)
	@python=$$(sh scripts/find-python) && echo "Making .venv with $$("$$python" --version)" \
		&& { "$$python" -m venv .venv || { echo 'The environment could not be made; Python prints why above. Mend the' \
			'cause, run make clean and try again.' >&2; exit 1; }; }
	$(call install,--upgrade pip hatchling editables setuptools wheel)
	@touch $@

.venv/.runtime: .venv/.made pyproject.toml
	@echo 'Installing Airflow and this provider (about a minute, the first time only)'
	$(call install,-e '.[sandbox]')
	@touch $@

.venv/.test: .venv/.made pyproject.toml
	@echo 'Installing Airflow, this provider and the test tools (about a minute, the first time only)'
	$(call install,-e '.[test]')
	@touch .venv/.runtime $@

.venv/.browser: .venv/.test
	@echo 'Installing playwright, which drives the browser'
	$(call install,-e '.[test-browser]')
	@touch $@

# An environment of its own: Celery and its dependencies are not needed by the other tests.
.venvs/distributed/.made: .venv/.made constraints/distributed.txt pyproject.toml
	@echo 'Installing Airflow with Celery (about two minutes, the first time only)'
	@$(PY) -m venv .venvs/distributed
	@.venvs/distributed/bin/python -m pip install -qq --no-input --upgrade pip hatchling editables setuptools wheel \
		$(CONSTRAINTS:%=-c %)
	@.venvs/distributed/bin/python -m pip install -qq --no-input --no-build-isolation --no-compile \
		$(CONSTRAINTS:%=-c %) -c constraints/distributed.txt -e '.[test-distributed]'
	@touch $@
