# Two commands for everybody: `make run` and `make test`. Both do their own set-up.
# `make check` changes no file of the repository; `make fix` may rewrite sources.

ARGS ?= -bind=127.0.0.1

.PHONY: run test check fix bench bench-coordination setup

run:
	scripts/run $(ARGS)

test:
	scripts/test

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

setup:
	scripts/setup
