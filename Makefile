# One runner for people and for CI. `make` alone prints this help.
.DEFAULT_GOAL := help
.PHONY: help install demo dist fmt test test-quick coverage chaos chaos-plants strangers database broker-faults fuzz drill contact-sheet screenshots generated-code sdks check schemas schemas-check bench bench-compare up down test-containers lock clean
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
FILES ?=
T ?= tests
QUICK ?= tests/unit tests/contracts
# On two cores: two for the tests that start whole installations, which mostly wait, and one for the quick ones (tests/sharing.py).
PROCESSES ?= 3
SEED ?= 1
UPLOADS ?= 2000
RECORDS ?= 100000
GOOD ?= 1000
MINUTES ?= 10
# First what needs the machine to itself, then what bounds the product's own time, with a core for each process.
ALONE := pytest -m alone
TIMED := pytest -m "timed and not alone" --numprocesses 2 --dist loadscope --no-loadscope-reorder
OTHERS := pytest -m "not timed and not alone" --numprocesses $(PROCESSES) --dist loadscope --no-loadscope-reorder
NONE_IS_WELL := [ $$? = 5 ] # pytest's word for "none of that kind in there"
# uv is quicker; both show what they do.
UV := $(shell uv --version 2>/dev/null)
PIP_INSTALL := $(if $(UV),uv pip install --python $(BIN)/python,$(BIN)/python -m pip install --disable-pip-version-check)
# Empty is off. The tests start hundreds of processes, and each would compile all our files again.
export PYTHONDONTWRITEBYTECODE :=

help: ## Show what can be done here
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 or later is needed. On Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or later is needed: make PYTHON=python3.11" if sys.version_info < (3, 11) else 0)'
	@$(if $(UV),,$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "Python's venv is needed. On Debian and Ubuntu: apt install python3-venv" >&2; exit 1; })
	$(if $(UV),uv venv --quiet --seed --python $$(command -v $(PYTHON)) $(VENV),$(PYTHON) -m venv $(VENV))

$(VENV)/ready-for-demo: requirements.lock requirements-demo.lock pyproject.toml | $(BIN)/python
	$(PIP_INSTALL) --require-hashes -r requirements.lock -r requirements-demo.lock
	$(PIP_INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/installed: requirements-dev.lock requirements-demo.lock pyproject.toml | $(BIN)/python
	$(PIP_INSTALL) --require-hashes -r requirements-dev.lock -r requirements-demo.lock
	$(PIP_INSTALL) --no-deps --no-build-isolation --editable .
	@touch $(VENV)/ready-for-demo $@

install: $(VENV)/installed ## Make .venv with everything, by the hashes in the lock files

demo: $(VENV)/ready-for-demo ## Watch files travel through the whole pipeline: make demo FILES="a.mp4 b.jpg" ARGS=--keep
	$(BIN)/thumbnails demo $(FILES) $(ARGS)

dist: install ## Build the source archive and the wheel in dist
	rm -rf build dist
	$(BIN)/python -c 'from setuptools import build_meta; build_meta.build_sdist("dist"); build_meta.build_wheel("dist")'

test: install ## Run all tests: make test T=tests/unit
	$(BIN)/python -m $(ALONE) $(T) || $(NONE_IS_WELL)
	$(BIN)/python -m tests.second_try $(TIMED) $(T) || $(NONE_IS_WELL)
	$(BIN)/python -m tests.second_try $(OTHERS) $(T)

test-quick: install ## Run the unit tests and contracts: in under two minutes on two cores that are free
	$(BIN)/python -m pytest -q -m "not slow and not alone" --numprocesses 2 --dist loadscope --no-loadscope-reorder $(QUICK)

fmt: install ## Format the code, and fix what ruff can fix
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

coverage: install ## Run all tests with branch coverage, which takes longer
	$(BIN)/coverage erase
	$(BIN)/coverage run -m $(ALONE) $(T) || $(NONE_IS_WELL)
	$(BIN)/coverage run -m $(TIMED) $(T) || $(NONE_IS_WELL)
	$(BIN)/coverage run -m $(OTHERS) $(T)
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report --skip-covered | tail -n 40

chaos: install ## Break everything by a plan and report what was lost: make chaos SEED=1 UPLOADS=2000
	$(BIN)/python -m tests.campaign.chaos --seed $(SEED) --uploads $(UPLOADS) --report docs/fault-campaign/seed-$(SEED).md --json chaos-$(SEED).json

chaos-plants: install ## Run the campaign on copies of the product with a bug each, in half an hour; started again, it goes on
	$(BIN)/python -m tests.campaign.chaos.plants_table --seed $(SEED) --report docs/fault-campaign/plants.md $(ARGS)

strangers: install ## Send generated records among good uploads, and count each in: make strangers SEED=1 RECORDS=100000 GOOD=1000
	$(BIN)/python -m tests.campaign.strangers --seed $(SEED) --records $(RECORDS) --good $(GOOD) --report docs/fault-campaign/generated-records.md

drill: install ## Break one thing after the other and record what the person on call sees: docs/drill.md, in ten minutes
	$(BIN)/python -m tests.campaign.drill --report docs/drill.md --pictures docs/images

database: install ## A database that refuses, fails over or stands behind PgBouncer, in ten minutes
	$(BIN)/python -m tests.campaign.database --report docs/fault-campaign/database.md

broker-faults: install ## Break a cluster of three brokers in 17 ways and report what was lost: docs/fault-campaign/broker-faults.md
	$(BIN)/python -m tests.campaign.brokers --report docs/fault-campaign/broker-faults.md

fuzz: install ## Damaged files of every kind through a caged slot, on from where the seed's ledger ends: make fuzz MINUTES=10 SEED=1
	$(BIN)/python -m tests.campaign.fuzz --minutes $(MINUTES) --seed $(SEED)

contact-sheet: install ## Every sample of the tests' corpora as its thumbnail, on one picture
	$(BIN)/python -m tests.contact_sheet contact-sheet.png

screenshots: install ## The web page's pictures in docs/images, taken by its tests in Chromium
	WEB_SCREENSHOTS=docs/images $(BIN)/python -m pytest -q tests/integration/web/test_looks.py

check: install ## Lint, types, imports, compose file, workflow, lock files, generated documents and dashboard
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy .
	$(BIN)/lint-imports
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/ci.yml
	$(BIN)/python -m service.docs.pages --check
	$(BIN)/python deploy/grafana/dashboard.py --check
	@$(MAKE) --no-print-directory schemas-check
	$(BIN)/python -m tests.servers.lock_files
	@test "$$(wc -l < README.md)" -le 120

schemas: install ## Export JSON Schemas and the AsyncAPI document to schemas/exported
	$(BIN)/thumbnails schemas export

schemas-check: install ## Are the exported schemas up to date, valid, and compatible with every release?
	$(BIN)/thumbnails schemas check
	$(BIN)/check-jsonschema --check-metaschema schemas/exported/*.schema.json
	$(BIN)/check-jsonschema --schemafile tests/contracts/asyncapi/3.0.0.json schemas/exported/asyncapi.json

generated-code: install ## Code that datamodel-code-generator and quicktype make of the schemas reads their examples
	$(BIN)/python -m tests.servers.generated_code

sdks: install ## CloudEvents' SDKs for Python, Node and Java read our records, and we theirs
	$(BIN)/python -m tests.servers.cloudevents_sdks

bench: install ## Compare with other tools, and a worker's slots with bare processes, side by side
	@# The peers are optional: without them the tables have fewer rows.
	-@if command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then apt-get install --quiet --yes ffmpegthumbnailer ffmpeg libvips-tools libvips42; fi
	-@$(PIP_INSTALL) --quiet pyvips
	$(BIN)/python -m benchmarks.frames
	$(BIN)/python -m benchmarks.slots
	$(BIN)/python -m benchmarks.make_files
	$(BIN)/python -m benchmarks.worker
	$(BIN)/python -m benchmarks.persistence

# Version 0.1.
BASE ?= 9782ebd
bench-compare: install ## Processor time of a decode against another commit, in turns: make bench-compare BASE=main~10
	$(BIN)/python -m benchmarks.compare $(BASE)

# The images' tag: the version, and outside of a release the commit. `make up THUMBNAILS_VERSION=0.1.1 BUILD=` goes back to one.
RELEASE := $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
THUMBNAILS_REVISION ?= $(shell git rev-parse --short HEAD 2>/dev/null || echo unknown)
THUMBNAILS_VERSION ?= $(RELEASE)-$(THUMBNAILS_REVISION)
BUILD := --build

up: export THUMBNAILS_VERSION := $(THUMBNAILS_VERSION)
up: export THUMBNAILS_REVISION := $(THUMBNAILS_REVISION)
up: ## Start the whole stack in containers, and print where to look
	@deploy/before-up
	docker compose up $(BUILD) --detach
	@deploy/after-up

down: ## Stop the containers and keep their data
	docker compose --profile ingest down

test-containers: ## Build both images, start the stack, prove both and remove them; needs a Docker engine
	$(PYTHON) -m tests.deployment.containers

LOCK := uv pip compile --quiet --generate-hashes --no-emit-index-url --universal --python-version 3.11

lock: ## Make the lock files again from pyproject.toml (needs uv)
	@command -v uv >/dev/null || { echo "uv makes the lock files: pip install uv"; exit 1; }
	$(LOCK) --extra otel --extra web pyproject.toml -o requirements.lock
	$(LOCK) --all-extras -c requirements.lock pyproject.toml -o requirements-dev.lock
	$(PYTHON) -c 'import tomllib; p = tomllib.load(open("pyproject.toml", "rb")); print(*p["project"]["optional-dependencies"]["demo"], *p["build-system"]["requires"], sep="\n")' \
	  | $(LOCK) -c requirements-dev.lock - -o requirements-demo.lock

clean: ## Remove what these targets made
	rm -rf $(VENV) build dist *.egg-info .coverage .coverage.* htmlcov thumbnails-demo storage-data thumbnails.db*
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
