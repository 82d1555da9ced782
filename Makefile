# Everything goes through one profile and one target folder outside the clone, so that the C++ of
# librdkafka and RocksDB is compiled once on a machine, whatever clone it is for.
export CARGO_TARGET_DIR ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/aplomb/target
export PATH := $(HOME)/.cargo/bin:$(PATH)

.DEFAULT_GOAL := help
.PHONY: help demo test simulate chaos restart memory throughput check

help: ## Shows this list
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

demo: ## A day of commerce on the embedded log; ARGS="--orders 1000 --once" and so on
	@scripts/setup build
	@scripts/own-target
	cargo run --release --quiet --bin aplomb -- demo $(ARGS)

test: ## All tests, also on a real Kafka that it fetches and starts
	@scripts/test

simulate: ## Simulated schedules and mutations; SEEDS=10000 and so on, SEED=7 step by step
	@scripts/simulate

chaos: ## Faults on a real Kafka: all, or SCENARIO=name, or HOURS=2 of storms; SEED=7
	@HOURS="$(HOURS)" SEED="$(SEED)" scripts/chaos $(SCENARIO)

restart: ## Time to run again after kill -9, by size of the state; ORDERS="100000 1000000"
	@scripts/setup test
	@scripts/own-target
	ORDERS="$(ORDERS)" cargo bench --bench restart

memory: ## An hour of two processes under all kinds of load, and what they take; MINUTES=60
	@scripts/setup test
	@scripts/own-target
	MINUTES="$(MINUTES)" cargo bench --bench memory

throughput: ## A backlog, latency, a restart on a real Kafka, and what they cost; RECORDS=400000
	@scripts/setup test
	@scripts/own-target
	RECORDS="$(RECORDS)" WARM_UP="$(WARM_UP)" SEED="$(SEED)" INBOXES="$(INBOXES)" \
		OUTPUTS="$(OUTPUTS)" WORKERS="$(WORKERS)" cargo bench --bench end_to_end

check: ## Formatting, lints, documentation, audit, then all tests: what CI runs
	@.ci/run
