# `make` prints what can be done. Everything below needs Python 3.11 or newer and nothing else:
# the environment is made in .venv, once, and made anew when the lock or the Python changes.

VENV        := .venv
BIN         := $(VENV)/bin
PYTHON      := $(BIN)/python
INSTALLED   := $(VENV)/.installed
RUNNABLE    := $(VENV)/.runnable
PROJECTS    := pyproject.toml clients/python/pyproject.toml gateway/pyproject.toml
DESCRIPTORS := clients/python/src/lockstep_clients/lockstep.binpb
# Folders too: they change when a proto is removed.
PROTOS      := $(shell find protos/lockstep -type d -o -name '*.proto')

ARGS    ?=
# More than cores: many tests wait for processes that start, or for time to pass.
WORKERS ?= -n 3 --dist loadfile --no-loadscope-reorder
FAULTS  ?= long

.DEFAULT_GOAL := help
# Two recipes change one environment.
.NOTPARALLEL:
.PHONY: help run test check lint format bench bench-quick bench-vendure faults failover replicas upgrade deploy-check deploy-base scale protos lock clean setup stale

help:  ## print this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(RUNNABLE) $(DESCRIPTORS)  ## start everything on this machine (ARGS="..." goes to `lockstep up`)
	@exec $(BIN)/lockstep up $(ARGS)

test: setup  ## run the tests (ARGS="tests/auth -k login" for some, WORKERS= for one process)
	$(PYTHON) -m pytest $(WORKERS) $(ARGS)

check: lint test  ## what CI runs: format, lint, types, import rules, protos, tests

lint: setup  ## all of check but the tests
	$(PYTHON) -m ruff format --check
	$(PYTHON) -m ruff check
	$(PYTHON) -m mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/buf format --diff --exit-code protos
	$(BIN)/buf lint $(DESCRIPTORS) --path lockstep
	$(BIN)/hadolint Dockerfile
	@$(BREAKING)
	@$(WEB_TYPES)
	$(PYTHON) -m tests.gateway.openapi_checks

format: setup  ## format the code and the protos
	$(PYTHON) -m ruff format
	$(PYTHON) -m ruff check --fix
	$(BIN)/buf format --write protos

bench: setup  ## measure the speed
	$(PYTHON) -m tests.bench $(ARGS)

bench-quick: setup  ## measure the speed, with less of everything
	$(PYTHON) -m tests.bench --quick $(ARGS)

bench-vendure: setup  ## measure the speed beside Vendure (needs Node with npm; ARGS=--quick for less, --write for the page)
	@$(PYTHON) -m tests.bench.vendure_bench $(ARGS)

faults: setup  ## run the long form of the schedules of faults, and write docs/reliability.md (FAULTS=short: as the tests do, and keep the tables of the last long form; FAULTS=soak: ten minutes of real processes alone)
	$(PYTHON) -m tests.faults $(FAULTS)

failover: setup  ## fail a PostgreSQL cluster over under load, with Patroni (needs Debian's etcd-server and haproxy)
	$(PYTHON) -m tests.failover

replicas: setup  ## kill, freeze, drain and add replicas of everything under load, for ten minutes
	$(PYTHON) -m tests.replicas

upgrade: setup  ## update from the last release to this code under load, replica by replica
	$(PYTHON) -m tests.upgrade

deploy-check: setup  ## validate everything in deploy/, offline after the first time
	$(PYTHON) -m pytest -q -rs tests/deploy tests/telemetry/test_rules.py tests/cli/test_containers.py

deploy-base: setup  ## make the kustomize base from the Helm chart
	$(PYTHON) -m tests.deploy

scale: setup  ## simulate growth: replicas, queues and hashing (ARGS=--write puts it into docs/scale.md)
	$(PYTHON) -m tests.scale $(ARGS)

protos: setup  ## generate the stubs, which happens by itself when a proto changes
	$(PYTHON) clients/python/hatch_build.py

lock: setup  ## lock the versions anew (ARGS=--upgrade for the newest)
	$(PYTHON) -c "$$BUILD_REQUIREMENTS" | $(COMPILE) --extra dev --extra peers $(ARGS) -o requirements.lock $(PROJECTS) -
	$(PYTHON) -c "$$BUILD_REQUIREMENTS" | $(COMPILE) --extra embedded -c requirements.lock -o requirements-run.lock $(PROJECTS) -
	$(COMPILE) -c requirements.lock -o requirements-image.lock $(PROJECTS)

clean:  ## remove what make made; the data in .lockstep stays
	rm -rf $(VENV) $(DESCRIPTORS) clients/python/src/lockstep build dist clients/python/dist gateway/dist clients/typescript/dist clients/typescript/node_modules
	rm -rf .pytest_cache .ruff_cache .mypy_cache .hypothesis .import_linter_cache
	find services gateway clients tests -name __pycache__ -type d -prune -exec rm -rf {} +

setup: $(INSTALLED) $(RUNNABLE) $(DESCRIPTORS)

# One environment serves both. The developers' part is added to what runs, in the same versions,
# so a Lockstep that runs goes on.
$(INSTALLED): requirements.lock $(PROJECTS)
	@$(MAKE_VENV)
	@echo "Installing into $(VENV), with the developers' tools; the first time takes a minute or two." >&2
	@$(call INSTALL,requirements.lock)
	@$(FINGERPRINT) > $@

$(RUNNABLE): requirements-run.lock $(PROJECTS)
	@$(MAKE_VENV)
	@if [ ! $(INSTALLED) -nt requirements.lock ] || [ "$$(cat $(INSTALLED))" != "$$($(FINGERPRINT))" ]; then \
		echo "Installing into $(VENV); the first time takes a minute." >&2 && $(call INSTALL,requirements-run.lock); fi
	@# Without isolation: the stubs must come from the grpcio-tools of the lock.
	@$(PIP_INSTALL) --no-build-isolation --no-deps -e clients/python -e gateway -e .
	@$(FINGERPRINT) > $@

$(DESCRIPTORS): $(PROTOS) clients/python/hatch_build.py | $(RUNNABLE)
	@$(PYTHON) clients/python/hatch_build.py
	@touch $@

# Wheels are kept, so that a later checkout needs no network. pip's own cache would not do: pip
# asks the index before it looks there. Where they do not suffice, the index has everything.
# The last try alone tells its errors, since those before it may fail.
WHEELS := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/lockstep/wheels
QUIETLY = $(PYTHON) -c "$$PATIENTLY" quietly
FROM_WHEELS = $(QUIETLY) $(PIP) install $(PIP_OPTIONS) --no-index --find-links '$(WHEELS)' --require-hashes -r $(1)
KEEP_WHEELS = $(QUIETLY) $(PIP) download $(PIP_OPTIONS) --require-hashes --dest '$(WHEELS)' -r $(1)
INSTALL = { $(PIP) --version >/dev/null 2>&1 || $(PYTHON) -m ensurepip; } && \
	if test -n "$$(ls -A '$(WHEELS)' 2>/dev/null)" && $(call FROM_WHEELS,$(1)); then :; \
	elif mkdir -p '$(WHEELS)' 2>/dev/null && test -w '$(WHEELS)' \
		&& $(call KEEP_WHEELS,$(1)) && $(call FROM_WHEELS,$(1)); then :; \
	else $(PIP_INSTALL) --require-hashes -r $(1); fi
PIP_INSTALL = $(PYTHON) -c "$$PATIENTLY" loudly $(PIP) install $(PIP_OPTIONS)
PIP = $(PYTHON) -m pip
PIP_OPTIONS = --quiet --no-input --disable-pip-version-check

# The stamp holds which Python the environment was made for, and where. A checkout that was
# moved, or a Python that was removed, gives another fingerprint or none.
FINGERPRINT = $(PYTHON) -c 'import sys; print(sys.version_info[:2], sys.prefix)'
ifneq ($(shell cat $(RUNNABLE) 2>/dev/null),$(shell $(FINGERPRINT) 2>/dev/null))
$(RUNNABLE): stale
endif
ifneq ($(shell cat $(INSTALLED) 2>/dev/null),$(shell $(FINGERPRINT) 2>/dev/null))
$(INSTALLED): stale
endif

define MAKE_VENV
usable='import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))'; \
if $(PYTHON) -c "$$usable" 2>/dev/null && grep -qF '$(CURDIR)/$(VENV)' $(BIN)/activate; then exit 0; fi; \
for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	if $$python -c "$$usable" 2>/dev/null; then exec $$python -m venv --clear $(VENV); fi; \
done; \
echo "Lockstep needs Python 3.11 or newer with its venv module (on Debian: apt-get install python3-venv)." >&2; \
exit 1
endef

define BREAKING
base=$$(git merge-base HEAD origin/main 2>/dev/null); \
if [ -z "$$base" ] || [ "$$base" = "$$(git rev-parse HEAD 2>/dev/null)" ]; then base=$$(git rev-parse --verify --quiet HEAD~1 2>/dev/null); fi; \
if [ -z "$$base" ] || ! git cat-file -e "$$base:protos" 2>/dev/null; then \
	echo "buf breaking: left out, there is no earlier commit to compare the protos with"; exit 0; \
fi; \
scratch=$$(mktemp -d) && trap 'rm -rf "$$scratch"' EXIT && \
git archive "$$base" protos | tar -x -C "$$scratch" && \
$(PYTHON) clients/python/hatch_build.py "$$scratch/protos" "$$scratch/base.binpb" && \
echo "buf breaking: against $$base" && \
$(BIN)/buf breaking $(DESCRIPTORS) --against "$$scratch/base.binpb" --path lockstep
endef

# Node is not needed for anything else, so without it this check is left out.
define WEB_TYPES
if ! command -v npx >/dev/null; then echo "tsc: left out, there is no Node on this machine"; exit 0; fi; \
if ! npx --yes --package typescript -- tsc --version >/dev/null 2>&1; then echo "tsc: left out, typescript could not be had"; exit 0; fi; \
npx --yes --package typescript -- tsc --noEmit -p clients/web/jsconfig.json && echo "tsc: no problems in clients/web"
endef

define BUILD_REQUIREMENTS
import tomllib
for path in ("pyproject.toml", "clients/python/pyproject.toml", "gateway/pyproject.toml"):
    with open(path, "rb") as file:
        print(*tomllib.load(file)["build-system"]["requires"], sep="\n")
endef
export BUILD_REQUIREMENTS

COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	--no-emit-index-url --no-emit-package lockstep --no-emit-package lockstep-clients --no-emit-package lockstep-gateway

# Run a command, quietly or loudly, and give a sign of life every ten seconds.
define PATIENTLY
import subprocess, sys, time
begin = time.monotonic()
errors = subprocess.DEVNULL if sys.argv[1] == "quietly" else None
with subprocess.Popen(sys.argv[2:], stderr=errors) as process:
    while True:
        try:
            sys.exit(process.wait(10))
        except subprocess.TimeoutExpired:
            print(f"  still installing, for {time.monotonic() - begin:.0f} s", file=sys.stderr, flush=True)
        except KeyboardInterrupt:
            sys.exit(130)
endef
export PATIENTLY
