# Everything here needs Python >= 3.11 and make, nothing else: each target makes its own environment in .venv first.
# PYTHON=/path/to/python3.x chooses the interpreter; otherwise the first that works is taken.

SHELL := /bin/sh
VENV := .venv
BIN := $(VENV)/bin
# What is installed, each for those targets that need it: the development tools, the library alone, a demo's extras.
STAMP := $(VENV)/.stamp
CORE_STAMP := $(VENV)/.stamp-core
SERVICEBUS_STAMP := $(VENV)/.stamp-servicebus
CLOUDTASKS_STAMP := $(VENV)/.stamp-cloudtasks
BENCH_STAMP := $(VENV)/.stamp-bench
BENCH_OUTBOX_STAMP := $(VENV)/.stamp-bench-outbox
TERRAFORM_STAMP := $(VENV)/terraform/.stamp
RUNTIME_STAMP := $(VENV)/runtime/.stamp
COMPATIBILITY := $(VENV)/compatibility
COMPATIBILITY_STAMP := $(COMPATIBILITY)/.stamp
DJANGO6_STAMP := $(VENV)/.stamp-django6
VENV_STAMP := $(VENV)/.stamp-venv
# Quiet twice: an error is shown, a warning about the machine's own pip settings is not.
PIP := $(BIN)/python -m pip install --quiet --quiet --no-input --disable-pip-version-check
MKDOCS := NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --config-file docs/mkdocs/mkdocs.yml
# Many images set it. Then each of the thousands of programs that the tests start compiles cloudq anew, and pytest rewrites
# the asserts of all modules in each of its processes.
unexport PYTHONDONTWRITEBYTECODE
# Four processes more than CI has cores, as the long tests wait. Each begins with a sixth of the tests, so that some wait while
# others compute, and takes from the others once it is through. Each has its own emulators and its own LocalStack.
PYTEST := $(BIN)/python -m pytest --numprocesses 6 --dist worksteal

BENCH_INSTALL = $(BIN)/uv pip install --quiet --requirements pyproject.toml --extra bench

comma := ,

PYTHON ?=
BENCH_PYTHON ?=
REV ?= HEAD

.DEFAULT_GOAL := help
.PHONY: help demo demo-servicebus demo-cloudtasks test quick chaos check payloads test-terraform terraform-tools compatibility compatibility-tools django-tools audit sbom bench bench-stores bench-diff bench-outbox cov api docs localstack clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-16s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: $(CORE_STAMP) ## index this repository's text files as tasks on SQLite, with one that fails, and redrive it
	@$(BIN)/cloudq demo

demo-servicebus: $(SERVICEBUS_STAMP) ## 500 tasks of a shop on the emulator of Azure Service Bus, some in sessions; one fails, and is redriven
	@$(BIN)/cloudq demo --backend servicebus

demo-cloudtasks: $(CLOUDTASKS_STAMP) ## 500 tasks pushed by the emulator of Google Cloud Tasks, tokens verified; one fails, and is redriven
	@$(BIN)/cloudq demo --backend cloudtasks

test: $(STAMP) $(TERRAFORM_STAMP) $(COMPATIBILITY_STAMP) $(DJANGO6_STAMP) ## the whole test suite
	@# In a new checkout one process compiles all modules, before six of them would each do so: the run says what is wrong.
	@test -d tests/__pycache__ || $(BIN)/python -m pytest --collect-only --quiet >/dev/null 2>&1 || true
	@$(PYTEST)

quick: $(STAMP) ## the tests that need no processes and no waiting: six minutes on two cores
	@$(PYTEST) -m "not slow"

chaos: $(STAMP) ## kill -9, outages and faults on SQS, Cloud Tasks and Service Bus at full size: half an hour
	@CHAOS_SCALE=full $(PYTEST) tests/chaos

check: $(STAMP) ## lint, format, types, import arrows, structure, documentation, capability matrix
	@# No cache: it keeps what was found out about imports of modules that did not exist yet.
	$(BIN)/ruff check --no-cache .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tests.structure
	$(BIN)/python -m tests.api_reference --check
	$(MKDOCS)
	$(BIN)/python -m cloudq.testing.conformance.matrix --check docs/reference/backends.md

payloads: $(STAMP) ## generated payloads, 20,000 of them: each arrives as it was sent, or is refused
	@PAYLOAD_EXAMPLES=20000 $(PYTEST) --timeout 1800 tests/unit/tasks/test_arrival.py

test-terraform: $(STAMP) $(TERRAFORM_STAMP) ## the Terraform modules, none of it skipped; TF_MIRROR=folder holds the real AWS provider
	@REQUIRE_TF=1 $(PYTEST) --timeout 900 tests/terraform

terraform-tools: $(TERRAFORM_STAMP) ## checkov, parliament and moto, for the tests of the Terraform modules, in an environment of their own

compatibility: $(COMPATIBILITY_STAMP) ## cloudq with tracers, web servers, greenlets and others: writes the table of its page
	@$(BIN)/uv pip install --quiet --python $(COMPATIBILITY)/bin/python --requirements tests/compatibility/more-requirements.txt
	@$(BIN)/python -m tests.compatibility --write docs/reference/compatibility.md

compatibility-tools: $(COMPATIBILITY_STAMP) ## tracers, gevent and eventlet, for the tests, in an environment of their own

django-tools: $(DJANGO6_STAMP) ## Django 6 and its own tests, in an environment of their own, of PYTHON312 or the first that is found

audit: $(RUNTIME_STAMP) ## known vulnerabilities in all that the library's extras bring, by pip-audit; needs PyPI's own API
	@$(VENV)/auditing/bin/pip-audit --strict --progress-spinner off --path "$$($(VENV)/runtime/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"

sbom: $(RUNTIME_STAMP) ## what the library's extras bring, into build/: an SBOM (CycloneDX) and a table of licences
	@mkdir -p build
	@$(VENV)/auditing/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible --output-file build/sbom.cdx.json $(VENV)/runtime
	@$(VENV)/auditing/bin/pip-licenses --python $(VENV)/runtime/bin/python --format markdown --with-urls --output-file build/licences.md
	@echo "build/sbom.cdx.json build/licences.md"

bench: $(BENCH_STAMP) ## ours and others in one run: SQS, SQLite, Service Bus, pushes, start; QUICK=1 for a short one
	@$(BIN)/python -m tests.benchmarks $(if $(QUICK),--quick)

bench-stores: $(BENCH_STAMP) ## what a claim and its completion cost, store by store, beside raw calls and Powertools; QUICK=1
	@$(BIN)/python -m tests.benchmarks.stores $(if $(QUICK),--quick)

bench-diff: $(STAMP) ## this tree beside another revision, REV=HEAD~10: CPU, calls, waits, instructions; QUICK=1
	@$(BIN)/python -m tests.benchmarks.diff $(if $(QUICK),--quick) '$(REV)'
	@$(BIN)/python -m tests.benchmarks.instructions '$(REV)'

bench-outbox: $(BENCH_OUTBOX_STAMP) ## the relay of the outbox beside others on PostgreSQL; QUICK=1 for a short one
	@$(BIN)/python -m tests.benchmarks.outbox $(if $(QUICK),--quick)

cov: $(STAMP) ## the test suite with branch coverage; the pure core must have 95 %
	@$(PYTEST) --cov --cov-report=term --cov-report=html
	@$(BIN)/coverage report --include='cloudq/core/*' --fail-under=95

api: $(STAMP) ## the API reference in docs/reference, written from the docstrings
	@$(BIN)/python -m tests.api_reference --write

docs: $(STAMP) ## the documentation, into site/
	@$(MKDOCS)
	@echo "site/index.html"

localstack: $(STAMP) ## Amazon's APIs on this machine, without Docker, until Ctrl-C: PORT=4566
	@$(BIN)/python localstack/start.py $(if $(PORT),--port '$(PORT)')

clean: ## remove what was made: .venv, caches, site, coverage (never a database)
	rm -rf $(VENV) .localstack .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage .coverage.* htmlcov site dist build
	find cloudq tests localstack -name __pycache__ -type d -prune -exec rm -rf {} +

# A candidate has to run (a pyenv shim may exist and fail) and be able to make an environment (Debian splits that off).
define CHOOSE_PYTHON
usable() { "$$1" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }; \
choose() { \
	for name in python3.13 python3.12 python3.11 python3; do \
		IFS=:; for folder in $$PATH; do \
			if [ -x "$$folder/$$name" ] && usable "$$folder/$$name"; then echo "$$folder/$$name"; return 0; fi; \
		done; unset IFS; \
	done; return 1; \
}; \
if [ -n "$(PYTHON)" ]; then python="$(PYTHON)"; usable "$$python" || python=; else python=$$(choose); fi; \
if [ -z "$$python" ]; then \
	echo "make: $(if $(PYTHON),PYTHON=$(PYTHON) is no,there is no) Python >= 3.11 that can make an environment." >&2; \
	echo "      Install one (on Debian and Ubuntu also its -venv package), or name it: make PYTHON=/path/to/python3.12" >&2; \
	exit 1; \
fi
endef

# Two pips at once would get into each other's way; the tests spread themselves.
.NOTPARALLEL:

# A stamp is written last, so an installation that was interrupted is done again. The interpreter is kept while it works;
# where it doesn't, the environment is made anew, and every stamp in it goes.
$(VENV_STAMP): pyproject.toml
	@if ! $(BIN)/python -c 'import pip, sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then \
		$(CHOOSE_PYTHON); \
		echo "making $(VENV) with $$python"; \
		"$$python" -m venv --clear $(VENV) || exit 1; \
	fi
	@touch $(VENV_STAMP)

# By uv: where OpenTelemetry's packages come out one after the other, pip tries hundreds of pairs of them, for minutes.
$(STAMP): pyproject.toml | $(VENV_STAMP)
	@echo "installing cloudq and its development tools into $(VENV)"
	@$(PIP) 'uv>=0.9.6'
	@$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --editable '.[dev]'
	@touch $(STAMP)

# The development tools hold all that the demos need. Nothing is compiled in advance: a demo imports a part of it, once.
define INSTALL_UNLESS_DEV
	@if ! [ $(STAMP) -nt pyproject.toml ]; then \
		echo "installing $(2) into $(VENV)"; \
		$(PIP) --no-compile --editable '$(1)' || exit 1; \
	fi
	@touch $@
endef

$(CORE_STAMP): pyproject.toml | $(VENV_STAMP)
	$(call INSTALL_UNLESS_DEV,.,cloudq)

$(SERVICEBUS_STAMP): pyproject.toml | $(VENV_STAMP)
	$(call INSTALL_UNLESS_DEV,.[servicebus$(comma)emulators],cloudq with Azure Service Bus and its emulator)

$(CLOUDTASKS_STAMP): pyproject.toml | $(VENV_STAMP)
	$(call INSTALL_UNLESS_DEV,.[cloudtasks$(comma)emulators],cloudq with Google Cloud Tasks and its emulator)

# What the benchmarks compare with, in environments of their own: they bring what changes the SDKs (OpenTelemetry). Two of
# them take Python 3.12: where .venv's is older, they have a second environment, of BENCH_PYTHON or the first that is found.
$(BENCH_STAMP): $(STAMP)
	@echo "installing the other task queues into $(VENV)/bench"
	@$(BIN)/uv venv --quiet --allow-existing --python $(BIN)/python $(VENV)/bench
	@$(BENCH_INSTALL) --python $(VENV)/bench/bin/python
	@if ! $(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 12))'; then \
		newer="$(BENCH_PYTHON)"; \
		[ -n "$$newer" ] || newer=$$($(BIN)/uv python find --quiet --no-python-downloads '>=3.12' 2>/dev/null); \
		if [ -n "$$newer" ]; then \
			echo "installing those that take Python 3.12 into $(VENV)/bench-newer"; \
			$(BIN)/uv venv --quiet --allow-existing --python "$$newer" $(VENV)/bench-newer && \
			$(BENCH_INSTALL) --python $(VENV)/bench-newer/bin/python || exit 1; \
		else \
			echo "no Python >= 3.12 is found: some aren't measured; BENCH_PYTHON=/path/to/python3.12 names one"; \
		fi; \
	fi
	@touch $(BENCH_STAMP)

# One of the others takes Python 3.13: BENCH_PYTHON, or the first that is found; without one it isn't measured.
$(BENCH_OUTBOX_STAMP): $(STAMP)
	@echo "installing the other outboxes into $(VENV)/bench-outbox"
	@newer="$(BENCH_PYTHON)"; \
	[ -n "$$newer" ] || newer=$$($(BIN)/uv python find --quiet --no-python-downloads '>=3.13' 2>/dev/null) || newer=$(BIN)/python; \
	$(BIN)/uv venv --quiet --allow-existing --python "$$newer" $(VENV)/bench-outbox && \
	$(BIN)/uv pip install --quiet --requirements pyproject.toml --extra bench-outbox --python $(VENV)/bench-outbox/bin/python
	@touch $(BENCH_OUTBOX_STAMP)

# checkov pins an SDK that is years old: an environment of its own. parliament imports pkg_resources and declares nothing
# that brings it; setuptools has it up to 81.
$(TERRAFORM_STAMP): $(STAMP)
	@echo "installing checkov, parliament and moto into $(VENV)/terraform"
	@$(BIN)/uv venv --quiet --allow-existing --python $(BIN)/python $(VENV)/terraform
	@$(BIN)/uv pip install --quiet --python $(VENV)/terraform/bin/python 'checkov>=3.3' 'parliament>=1.6' 'setuptools<82' 'moto[server]>=5.1'
	@touch $(TERRAFORM_STAMP)

# Tracers patch whatever they find, and the SDK is the newest here, as users have it: an environment of their own.
$(COMPATIBILITY_STAMP): $(STAMP) $(wildcard tests/compatibility/requirements.txt)
	@echo "installing tracers, gevent and eventlet into $(COMPATIBILITY)"
	@$(BIN)/uv venv --quiet --allow-existing --python $(BIN)/python $(COMPATIBILITY)
	@$(BIN)/uv pip install --quiet --python $(COMPATIBILITY)/bin/python --requirements tests/compatibility/requirements.txt --editable '.[sqs]'
	@touch $(COMPATIBILITY_STAMP)

# Django 6 takes Python 3.12. Without one, or without its sdist, the tests say what they lack.
$(DJANGO6_STAMP): $(STAMP) $(wildcard tests/django_tasks/environment.py)
	@echo "installing Django 6 and its own tests into $(VENV)/django6"
	@$(BIN)/python -m tests.django_tasks.environment
	@touch $(DJANGO6_STAMP)

# Two environments: all that the extras bring, without cloudq and without tools, and the tools that look at it.
$(RUNTIME_STAMP): $(STAMP)
	@echo "installing the extras into $(VENV)/runtime, pip-audit and CycloneDX into $(VENV)/auditing"
	@$(BIN)/uv venv --quiet --allow-existing --python $(BIN)/python $(VENV)/runtime
	@$(BIN)/uv pip install --quiet --python $(VENV)/runtime/bin/python --requirement pyproject.toml $(foreach extra,sqs cloudtasks servicebus claimcheck django sql redis emulators,--extra $(extra))
	@$(BIN)/uv venv --quiet --allow-existing --python $(BIN)/python $(VENV)/auditing
	@$(BIN)/uv pip install --quiet --python $(VENV)/auditing/bin/python 'cyclonedx-bom>=7' 'pip-audit>=2.9' 'pip-licenses>=5'
	@touch $(RUNTIME_STAMP)
