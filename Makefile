# Everything there is to do here. Each target sets up what it needs, the first time.
# Needs: Rust 1.95, Python 3.11, gcc, cmake; `lint` also Node (for pyright),
# `reliability` also Go (for h2spec).

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.ONESHELL:
MAKEFLAGS += --no-print-directory

export PATH := $(CURDIR)/.venv/bin:$(PATH)
export VIRTUAL_ENV := $(CURDIR)/.venv
PROFILE ?= dev
SECONDS ?= 60

.PHONY: help demo test test-rust test-python gates lint lint-rust lint-python develop wheel bench bench-python bench-peers bench-scrape bench-scale flame reliability fuzz programs venv clean

help: ## Shows this
	@grep -hE '^[a-z-]+:.*## ' Makefile | sed -E 's/:.*## /\t/' | expand -t 14

demo: develop ## A mesh of seven sidecars on this machine, explained step by step
	meshcore demo --check

test: test-rust test-python gates ## All tests

test-rust: venv
	tools/with-python cargo test --workspace --locked --quiet

test-python: develop
	tools/debian curl openssl nghttp2-client iproute2 iptables nginx sslscan
	pytest --ignore tests/gates

gates: develop programs ## Instructions, system calls and memory, against the numbers that are kept
	tools/debian valgrind strace openssl
	pytest tests/gates

lint: lint-rust lint-python ## All that can be checked without running it

lint-rust: venv
	cargo fmt --all --check
	tools/with-python cargo clippy --workspace --all-targets --locked --quiet -- -D warnings

lint-python: develop
	ruff check .
	ruff format --check .
	mypy --strict
	pyright
	python -m mypy.stubtest meshcore._native
	lint-imports
	typos

develop: venv ## Builds the extension and installs the package into .venv, editable
	maturin develop --profile $(PROFILE) --quiet

wheel: venv ## Builds a release wheel into dist/, and prints its size
	maturin build --release --strip --locked --out dist
	du --apparent-size --human-readable dist/*.whl

bench: venv ## Benches of single parts
	tools/with-python cargo bench --workspace --locked

bench-python: PROFILE = release
bench-python: develop programs ## Benches of the Python side, and of its border
	pytest -o python_files='bench_*.py' -o python_functions='bench_*' benches/python

bench-peers: PROFILE = release
bench-peers: develop programs ## Side by side with Envoy, nginx and HAProxy, in 25 minutes
	tools/debian haproxy nginx libnginx-mod-stream nghttp2-client nghttp2-server openssl valgrind
	tools/venv .oracle-venv tools/requirements-oracles.txt
	python -m benches.peers.run

flame: develop programs ## Where the time of a request goes, as a picture
	tools/debian linux-perf
	python -m benches.flame

bench-scrape: PROFILE = release
bench-scrape: develop ## Whether scrapes of 10,000 series move the p99 of requests
	python benches/scrape.py

bench-scale: PROFILE = release
bench-scale: develop programs ## What a change costs in a mesh of 1,000 services and 200 sidecars
	python -m benches.scale.run

reliability: PROFILE = release
reliability: develop ## Attacks, floods and changes in full, beside Envoy, nginx and HAProxy, in an hour
	tools/debian haproxy nginx openssl sslscan testssl.sh
	tools/venv .oracle-venv tools/requirements-oracles.txt
	python -m tests.reliability.full

fuzz: develop ## All that reads bytes from outside, with made input: SECONDS=60 for each target
	tools/debian g++
	python -m pip install --quiet --requirement tools/requirements-fuzz.txt
	python -m fuzz.run --seconds $(SECONDS) $(TARGETS)

programs:
	cargo build --release --locked --quiet -p meshcore-bench -p meshcore-proxy -p meshcore-discovery --bins --example serve --example clients

venv:
	@tools/venv .venv tools/requirements-dev.txt

clean: ## Removes what was built
	rm -rf dist .venv .oracle-venv fuzz/work
	cargo clean
