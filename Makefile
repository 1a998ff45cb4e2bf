# Targets bootstrap themselves: Python 3.11+ and make are enough. `make` alone lists them.

PYTHON ?= python3
EFFORT ?= 20
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
DEMO   := build/demo
CONTEXT := build/image
# The first of these that is installed.
BUILDER ?= $(firstword $(foreach name,docker podman buildah,$(if $(shell command -v $(name)),$(name))))
IMAGE  ?= kspec:latest
# A module stays in one worker; tests/order.py says which come first. Three, as half of their time is waiting.
# Without a limit of restarts, xdist 3.8 waits for ever for the tests of a worker that died.
PARALLEL := -n 3 --dist loadscope --no-loadscope-reorder --max-worker-restart=0

SHELL       := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# The tests start hundreds of interpreters: each would compile all that it imports, four times the work.
unexport PYTHONDONTWRITEBYTECODE
.PHONY: help setup demo demo-operations test test-long coverage fuzz mutants test-cosign lint format docs picture picture-operations bench bench-kyverno controlplane lock dist clean test-kyverno image test-node

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(READY) ## create .venv with everything that is pinned in requirements.lock

$(BIN)/uv: requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "Python 3.11 or newer is needed. Install it, or name it: make PYTHON=/path/to/python3.12" >&2; exit 1; }
	@echo "setting up $(VENV) (once) ..." >&2
	@$(PYTHON) -m venv $(VENV) || \
	  { echo "'$(PYTHON) -m venv' failed. On Debian and Ubuntu: apt-get install python3-venv; then try again." >&2; exit 1; }
	@awk '/^uv==/ { on = 1 } on { print; if ($$0 !~ /\\$$/) exit }' requirements.lock > $(VENV)/uv.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(VENV)/uv.lock
	@touch $@

$(READY): $(BIN)/uv requirements.lock pyproject.toml
	@VIRTUAL_ENV="$(CURDIR)/$(VENV)" $(BIN)/uv pip install --quiet --require-hashes -r requirements.lock
	@VIRTUAL_ENV="$(CURDIR)/$(VENV)" $(BIN)/uv pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

demo: $(READY) ## check a recorded cluster and write build/demo/ (no cluster needed)
	@mkdir -p $(DEMO)
	@status=0; $(BIN)/kspec scan examples/01-quickstart/strict.yaml \
	  --report json:$(DEMO)/scan.json --report junit:$(DEMO)/junit.xml --report html:$(DEMO)/report.html || status=$$?; \
	if [ $$status -gt 1 ]; then echo "the scan did not run as it should (exit code $$status)" >&2; exit $$status; fi; \
	printf '\nFindings are expected here. Open %s in a browser; beside it: scan.json, junit.xml.\n' $(DEMO)/report.html

demo-operations: $(READY) ## break a cluster, and see it in status, alerts, Prometheus, dashboard (needs Prometheus, Go)
	@$(BIN)/python examples/05-operations/demo.py

test: $(READY) ## run the tests of a change: all but those marked long
	@$(BIN)/pytest $(PARALLEL) -q -m "not long and not node" $(ARGS)

test-long: export KSPEC_TEST_EFFORT = 3
test-long: $(READY) ## tests that take minutes each: every case of the comparisons with a real API server
	@$(BIN)/pytest $(PARALLEL) -q -m "long or effort" $(ARGS)

coverage: $(READY) ## run the same tests, and measure branch coverage (half as slow again)
	@$(BIN)/pytest $(PARALLEL) -q -m "not long and not node" --cov --cov-report=term $(ARGS)

fuzz: $(READY) ## property and differential tests with other cases each time, 20 times as many (EFFORT=20)
	@KSPEC_TEST_EFFORT=$(EFFORT) $(BIN)/pytest $(PARALLEL) -q -m hypothesis --hypothesis-profile=search $(ARGS)

lint: $(READY) ## ruff, mypy, import-linter, proselint
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tools.prose

format: $(READY) ## let ruff format and fix what it can
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

docs: $(READY) ## regenerate the catalogs, docs/{checks,frameworks,spec-reference}.md and __init__.pyi
	$(BIN)/python -m pytest_kspec.frameworks.catalog
	$(BIN)/python -m pytest_kspec.reference.checkdoc docs/checks.md
	$(BIN)/python -m pytest_kspec.reference.frameworkdoc docs/frameworks.md
	$(BIN)/python -m pytest_kspec.reference.specdoc docs/spec-reference.md
	$(BIN)/python -m pytest_kspec.reference.alertfiles config/monitoring docs/runbooks
	$(BIN)/python -m pytest_kspec.reference.metricdoc docs/metrics.md
	$(BIN)/python -m tools.dashboards config/monitoring/dashboards
	$(BIN)/python -m tools.public_names
	$(BIN)/python -m tests.kyverno.record

bench: $(READY) ## speed and memory of scans, of reports, of a store and a dashboard of 1,000 clusters and of the webhook, as tables
	$(BIN)/python -m benchmarks
	$(BIN)/python -m benchmarks.memory
	$(BIN)/python -m benchmarks.store
	$(BIN)/python -m benchmarks.fleet
	$(BIN)/python -m benchmarks.dashboard
	$(BIN)/python -m benchmarks.reports
	$(BIN)/python -m benchmarks.webhook
	$(BIN)/python -m benchmarks.metrics
	$(BIN)/python -m benchmarks.admission

bench-kyverno: $(READY) ## build Kyverno and measure what it adds to the creation of a pod (needs Go; some ten minutes once)
	$(BIN)/python -m benchmarks.admission --kyverno

picture: export KSPEC_RUN_BY = audit@example.com
picture: demo ## docs/images/*.png, from the demo (needs Chromium and pdftoppm)
	$(BIN)/python -m tools.report_picture $(DEMO)/report.html docs/images/report-html.png
	$(BIN)/kspec report --from $(DEMO)/scan.json --to pdf:$(DEMO)/report.pdf
	$(BIN)/python -m tools.pdf_picture $(DEMO)/report.pdf docs/images/report-pdf.png
	@rm -f $(DEMO)/results.db
	$(BIN)/kspec scan examples/01-quickstart/strict.yaml --store $(DEMO)/results.db > /dev/null || [ $$? -eq 1 ]
	$(BIN)/kspec scan examples/specs/minimal.yaml --cluster examples/03-manifests --store $(DEMO)/results.db > /dev/null || [ $$? -eq 1 ]
	$(BIN)/python -m tools.dashboard_picture $(DEMO)/results.db docs/images/dashboard

picture-operations: $(READY) ## docs/images/{alerts,metrics,tracing,audit}.png, from demo-operations (needs Chromium, jq)
	$(BIN)/python -m tools.operations_picture docs/images

controlplane: $(READY) ## build etcd and kube-apiserver for the tests (needs Go; minutes the first time)
	$(BIN)/python -m tests.controlplane.build

mutants: $(READY) ## change the code and see whether tests notice (minutes a room; ARGS="webhook/breaker plan" for some)
	@nice $(BIN)/python -m tools.mutants $(ARGS)

test-cosign: $(READY) ## sign images with cosign itself and verify them (needs Go; minutes the first time)
	$(BIN)/python -m tests.cosign

test-kyverno: $(READY) ## compare what Kyverno admits with a scan (needs Go; half an hour, ten minutes more once)
	@$(BIN)/pytest -q --timeout 7200 tests/kyverno/proof/[a-z]*.py $(ARGS)

test-node: $(READY) ## run the operator's image on real nodes (Linux, root; names what has to be installed)
	@$(BIN)/python -m tests.node.parts
	@$(BIN)/pytest -q tests/node $(ARGS)

lock: $(BIN)/uv ## pin all dependencies again, with hashes
	$(BIN)/uv pip compile --quiet pyproject.toml --group dev --all-extras --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --custom-compile-command "make lock" -o requirements.lock $(ARGS)

dist: $(READY) ## build wheel and sdist into dist/
	$(BIN)/uv build --quiet --no-build-isolation --python $(BIN)/python -o dist

image: $(READY) ## build the container image (IMAGE=kspec:latest) with docker, podman or buildah
	@[ -n "$(BUILDER)" ] || { echo "No builder of images: install docker, podman or buildah, or say BUILDER=..." >&2; exit 1; }
	@rm -rf $(CONTEXT)/dist
	@$(BIN)/uv build --quiet --wheel --no-build-isolation --python $(BIN)/python -o $(CONTEXT)/dist
	@$(BIN)/python -m tools.image $(CONTEXT)
	$(BUILDER) build $(IMAGE_ARGS) -f Containerfile -t $(IMAGE) $(CONTEXT)

clean: ## remove what was built or cached, the environment included
	rm -rf $(VENV) build dist .coverage .coverage.* .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
