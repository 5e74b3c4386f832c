# The one front door.  `make` alone prints this list; every target sets up what it needs.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.ready
OLDEST := .venv-oldest/bin
OLDEST_STAMP := .venv-oldest/.ready
# compat: a path in site-packages; the default import hook would cost every process of every machine 12 ms.
INSTALL := install --quiet --disable-pip-version-check --config-settings editable_mode=compat --editable '.[dev]'
# What crosses processes, in a few seconds: a recording verified, dumped, replayed; services under supervisor; their metrics.
# By name: pytest refuses one that is not there.
OLDEST_SYSTEM := $(addprefix tests/system/test_modes.py::test_, \
    verify_tells_what_scripts_need dump_tells_every_message_in_order replay_until_tells_where_it_stands) \
    $(addprefix tests/system/test_service.py::test_, two_machines_side_by_side_are_seen_recorded_and_gone_again \
    every_process_serves_its_metrics_while_the_guest_computes_sleeps_and_talks)
SOURCES := $(wildcard cpu_node/native/*.[ch] cpu_node/arch/*/*.[ch])
# One worker more than the two cores that CI has: a fifth of the time is waiting for delays, deadlines and other hosts.
PYTEST := pytest -q -n 3
PACKAGES := machine cpu_node devices replay_broker deploy

.PHONY: help setup run needs test test-oldest check fmt lint type arch proto proto-check unit system guest guests bench clean

help:  ## print this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 18

setup: $(STAMP)  ## make .venv with everything in it

$(STAMP): pyproject.toml setup.py $(SOURCES)
	test -x $(BIN)/python || { $(PYTHON) -m deploy.prerequisites && $(PYTHON) -m venv .venv; }
	$(BIN)/pip $(INSTALL)
	# Where Python is told not to write bytecode, every process of every machine would compile it anew, 15 ms each.
	$(BIN)/python -m compileall -q $(PACKAGES)
	touch $@

$(OLDEST_STAMP): $(STAMP) tests/tidy/oldest.py
	rm -rf .venv-oldest
	$(BIN)/python -m venv .venv-oldest
	$(BIN)/python -m tests.tidy.oldest > .venv-oldest/constraints.txt
	$(OLDEST)/pip $(INSTALL) --constraint .venv-oldest/constraints.txt
	touch $@

run: setup guest  ## boot the Debian guest to a shell on this terminal, recorded
	$(BIN)/dejavm record

test: setup needs guest check system test-oldest  ## everything that must hold

needs:  ## install what tests need of Debian, where that may be, or name it
	@$(PYTHON) -m deploy.prerequisites --tests

check: setup lint type arch proto-check unit  ## what every commit must pass

fmt: setup  ## format the code
	$(BIN)/ruff format .

lint: setup  ## style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

type: setup  ## types
	$(BIN)/mypy $(PACKAGES) tests

arch: setup  ## who may import whom
	$(BIN)/lint-imports --no-cache

proto: setup  ## generate the wire code from the schemas
	$(BIN)/python -m grpc_tools.protoc -I proto --python_out=. --pyi_out=. proto/machine/wire/v1/*.proto

proto-check: setup  ## the generated code is current
	$(BIN)/python -m tests.tidy.generated

unit: setup  ## fast tests
	$(BIN)/$(PYTEST) -m 'not system and not debian'

system: setup needs guest  ## tests with real processes, the Debian boot among them
	$(BIN)/$(PYTEST) -m 'system or debian'

test-oldest: $(OLDEST_STAMP)  ## the tests that use dependencies, with the oldest that pyproject.toml allows
	$(OLDEST)/python -m tests.tidy.oldest --installed
	$(OLDEST)/$(PYTEST) -m 'not system and not debian' $(addprefix tests/unit/,machine deploy replay_broker devices)
	$(OLDEST)/$(PYTEST) $(OLDEST_SYSTEM)

guest: setup  ## build the default guest from Debian's packages, once
	$(BIN)/python -m deploy.guest

guests: setup  ## rebuild the bare-metal guests and compare them with the committed images
	$(MAKE) -C tests/guests check

bench: setup guest  ## measure; prints tables and JSON
	$(BIN)/python -m compileall -q $(PACKAGES)
	$(BIN)/python -m tests.bench

clean:  ## remove what was built here, not the recordings
	rm -rf .venv .venv-oldest build *.egg-info cpu_node/_*.so
