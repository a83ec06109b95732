# SPDX-License-Identifier: Apache-2.0
# Words for people; Meson and Ninja do the work.
BUILD ?= build
PYTHON ?= /usr/bin/python3
STATE ?= $(CURDIR)/$(BUILD)/state

.PHONY: fuzz-gateway all demo up test interop bench flood detection asan tsan fuzz timing lint deps install clean mutation coverage sim chaos soak compose-demo supply

all: $(BUILD)/build.ninja
	@ninja -C $(BUILD) --quiet

$(BUILD)/build.ninja: | deps
	@echo "configuring $(BUILD)"
	@meson setup $(BUILD) --buildtype=release > $(BUILD).log 2>&1 || { cat $(BUILD).log; exit 1; }
	@mv $(BUILD).log $(BUILD)/setup.log

deps:
	@scripts/deps.sh build run test

# The story over REST, or with PLANE=mcp over MCP.
PLANE ?= rest
demo: deps all
	@PLANE=$(PLANE) examples/demo.sh $(BUILD)

# The story on the containers of compose/, after compose/init; with NODES=2
# another one on two nodes behind one address, after NODES=2 compose/init.
NODES ?= 1
compose-demo: deps all
	@if [ "$(NODES)" = 2 ]; then compose/demo-two $(BUILD); else FLEET=compose/fleet.sh examples/demo.sh $(BUILD); fi

# What the programs are made of, and whether two builds of it are one.
supply: deps all
	@scripts/sbom $(BUILD) --out $(BUILD)/sbom.json && scripts/reproducible

up: deps all
	@$(BUILD)/aegis up --state $(STATE)

test: deps all
	@tests/run $(BUILD)

# What needs other registries than Debian's: Apache Kafka, from Maven Central;
# the MCP conformance suite, the Cedar reference and the Node that runs them,
# from npm; schemathesis, from PyPI. And testssl.sh, which takes its time.
interop: deps all
	@scripts/deps.sh interop
	@tests/interop/run $(BUILD)

# MANY=1: the row with 100,000 keys, too; making them takes minutes.
bench: deps all
	@scripts/deps.sh bench
	@$(PYTHON) bench/run.py $(BUILD) $(if $(MANY),--many)

# A steady mix for MINUTES: memory, descriptors and latency must stay even.
MINUTES ?= 30
soak: deps all
	@scripts/deps.sh bench
	@$(PYTHON) bench/soak.py $(BUILD) --minutes $(MINUTES)

# A flood of bad credentials, and what good clients feel of it.
flood: deps all
	@scripts/deps.sh bench
	@$(PYTHON) bench/flood.py $(BUILD)

# A simulated month under the detectors; the same for the same SEED.
SEED ?= 1
detection: deps all
	@$(BUILD)/bench/detection --seed $(SEED)

# gcc's flow warnings are wrong about instrumented code; `all` has them as errors.
asan: deps
	@scripts/deps.sh check
	@test -f $(BUILD)-asan/build.ninja || meson setup $(BUILD)-asan --buildtype=debugoptimized \
		-Db_sanitize=address,undefined -Db_lundef=false -Dwerror=false > /dev/null
	@ninja -C $(BUILD)-asan --quiet
	@tests/run $(BUILD)-asan asan

# What several threads touch: jobs of the worker, sinks and their libraries.
tsan: deps
	@scripts/deps.sh check
	@tests/tsan $(BUILD)-tsan

fuzz: deps
	@scripts/deps.sh check
	@tests/fuzz/run

# Odd requests to a tool server behind the gateway: its secret comes back nowhere. REQUESTS of them, from SEED.
REQUESTS ?= 10000
fuzz-gateway: deps all
	@AEGIS_BUILD=$(abspath $(BUILD)) AEGIS_FUZZ_REQUESTS=$(REQUESTS) $(if $(filter command line,$(origin SEED)),AEGIS_FUZZ_SEED=$(SEED)) \
		$(PYTHON) -m pytest -q -p no:cacheprovider tests/system/test_gateway_fuzz.py

# Every actor in one simulated machine, with faults, SEEDS times; or one SEED again.
SEEDS ?= 1000
sim: deps all
	@$(BUILD)/tests/sim/sim $(if $(filter command line,$(origin SEED)),--seed $(SEED) --trace $(BUILD)/sim.trace,--seeds $(SEEDS))

# The fleet under load while processes, network, clock and disk misbehave; ROUNDS of it.
ROUNDS ?= 5
chaos: deps all
	@scripts/deps.sh chaos
	@AEGIS_BUILD=$(abspath $(BUILD)) CHAOS_ROUNDS=$(ROUNDS) $(PYTHON) -m pytest -q -p no:cacheprovider \
		tests/system/chaos_machine.py tests/system/test_chaos.py tests/system/test_failover.py
	@AEGIS_BUILD=$(abspath $(BUILD)) AEGIS_RACES=1000 $(PYTHON) -m pytest -q -p no:cacheprovider \
		tests/system/test_journal_postgres.py -k racing
	@AEGIS_BUILD=$(abspath $(BUILD)) AEGIS_RECORDS=1000000 $(PYTHON) -m pytest -q -p no:cacheprovider tests/system/test_upgrade.py

# Whether the time of a comparison tells what was compared; on a quiet machine.
timing: deps all
	@$(BUILD)/tests/timing/timing

# Bends the code that decides and looks whether a test notices; every SAMPLEth.
SAMPLE ?= 1
mutation: deps all
	@tests/mutation/run.py $(BUILD) --sample $(SAMPLE)

# Which lines the tests run: all of them, or COVERAGE=some: those that run most of
# the code in minutes, or quick: the unit tests of iam and of the key shards.
COVERAGE ?= all
coverage: deps
	@scripts/deps.sh check
	@tests/coverage $(COVERAGE)

lint: deps all
	@scripts/deps.sh check
	@scripts/lint.sh $(BUILD)

install: all
	@meson install -C $(BUILD) --no-rebuild

clean:
	@rm -rf $(BUILD) $(BUILD)-asan $(BUILD)-tsan $(BUILD)-fuzz $(BUILD)-coverage
