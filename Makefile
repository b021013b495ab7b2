# Two commands for everybody: `make run` and `make test`. Both do their own set-up.
# `make check` changes no file of the repository; `make fix` may rewrite sources.

ARGS ?= -bind=127.0.0.1

.PHONY: run test test-docker check fix bench bench-coordination bench-python wheel setup

run:
	scripts/run $(ARGS)

test:
	scripts/test

# Needs docker, and is no part of `test`: a machine without docker could only skip it.
test-docker:
	docker/test

check:
	scripts/check

fix:
	cargo fmt --all
	cargo clippy --workspace --all-targets --fix --allow-dirty --allow-staged

bench: setup
	cargo bench -p folkmoot --bench agent

bench-coordination:
	scripts/bench-setup
	cargo bench -p folkmoot --bench coordination

bench-python:
	scripts/python-bench

wheel:
	scripts/wheel

setup:
	scripts/setup
