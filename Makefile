# `make demo` and `make test` need only python3 (on Debian also python3-venv) and make; they install the rest.
# To choose the Python of .venv: make setup PYTHON=python3.9

SHELL := /bin/bash
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
export PYTHON WHEELS DIST PYTHONS ARCHES SIGN

# Files with a shebang in their first line; scripts in MIME parts are not included.
SHELL_FILES = $(shell find .ci packaging bench tests -type f -exec awk 'FNR == 1 && /^\#!\/bin\/(ba)?sh/ { print FILENAME } { nextfile }' {} +)

.PHONY: help setup demo test unit-test fuzz soak mutants lint format boot-test cluster-test policy-test bench install uninstall rpm arm64-test release man lock clean faults powercut

help: ## Show this list
	@echo 'eks-proxy-agent: HTTP proxy configuration for EKS worker nodes.'
	@echo
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):[^#]*## */\1\t/' | awk -F'\t' '{ printf "  make %-12s %s\n", $$1, $$2 }'

setup: ## Create .venv with eks-proxy-agent and the development tools
	@packaging/setup.sh dev

demo: ## Run the agent in a scratch directory; needs no root, AWS or compiler
	@packaging/setup.sh demo
	@.venv/bin/eks-proxy-agent demo
	@echo '  to run these commands here:   .venv/bin/eks-proxy-agent'

test: ## Run lint and all tests; as root on Debian also the boot tests
	@packaging/test.sh

unit-test: setup ## Run the unit tests (a minute)
	@.venv/bin/python -m pytest -q tests/unit

fuzz: setup ## Fuzz the readers of what others write, for so many minutes: make fuzz MINUTES=60
	@.venv/bin/python -m tests.fuzz.run $(or $(MINUTES),10)

soak: ## Change and break a booted node at random, for so many minutes (root, Debian): make soak MINUTES=60 SEED=7
	@packaging/setup.sh test
	@.venv/bin/python -m tests.soak --minutes $(or $(MINUTES),10) $(if $(SEED),--seed $(SEED)) $(if $(EVENTS),--events '$(EVENTS)')

mutants: setup ## Change the program in N places; how many changes do tests notice? (root) make mutants SEED=1 N=150
	@.venv/bin/python -m tests.mutants.run --seed $(or $(SEED),1) --count $(or $(N),150) $(ARGS)

faults: ## Inject a fault at each file call of the commands; takes hours: make faults ARGS='apply EIO'
	@packaging/setup.sh test
	@.venv/bin/python -m tests.faults.run $(ARGS)

powercut: ## Cut the power of a virtual machine at random moments (root, Debian, an hour): make powercut CUTS=30 SEED=1
	@packaging/setup.sh powercut
	@.venv/bin/python -m pytest -q -p no:cacheprovider tests/powercut
	@unshare --mount .venv/bin/python -m tests.powercut.run $(if $(CUTS),--cuts $(CUTS)) $(if $(SEED),--seed $(SEED)) $(ARGS)
	@unshare --mount .venv/bin/python -m tests.powercut.selinux

lint: setup ## Run ruff, mypy --strict, shellcheck, codespell, and the tests of texts and links
	@.venv/bin/ruff check --quiet .
	@.venv/bin/ruff format --check --quiet . || { echo 'hint: make format' >&2; exit 1; }
	@[ -x .venv/bin/mypy ] || { echo 'skipped: mypy requires Python 3.10' >&2; [ "$$CI" != true ]; }
	@[ ! -x .venv/bin/mypy ] || .venv/bin/mypy --strict
	@.venv/bin/shellcheck $(SHELL_FILES)
	@.venv/bin/codespell
	@.venv/bin/python -m pytest -q -p no:cacheprovider tests/unit/test_project.py

format: setup ## Format the Python files with ruff
	@.venv/bin/ruff format .

boot-test: ## Boot nodes with systemd, docker, Squid and a registry (root, Debian): make boot-test ARGS='-k pull'
	@packaging/setup.sh test
	@.venv/bin/python -m pytest -n 3 --dist loadgroup tests/boot $(ARGS)

cluster-test: ## Test `cluster` on a real Kubernetes; the first run compiles it (Debian): make cluster-test ARGS='-k revert'
	@packaging/setup.sh cluster
	@.venv/bin/python -m pytest tests/cluster $(ARGS)

policy-test: ## Run the policy of `cluster` with the API server's own admission code; the first run compiles it (Debian)
	@packaging/setup.sh dev
	@.venv/bin/python -m pytest -q -p no:cacheprovider tests/policy $(ARGS)

bench: ## Compare boots with the agent and with the shell recipe (root, Debian); or make bench ARGS=verify, idle, imports or scale
	@packaging/setup.sh $(if $(filter scale imports,$(ARGS)),dev,$(if $(filter verify,$(ARGS)),cluster,test))
	@.venv/bin/python -m bench $(ARGS)

install: ## Install below DESTDIR for the Python of PYTHON: make install DESTDIR=/tmp/x PYTHON=/usr/bin/python3
	@DESTDIR='$(DESTDIR)' CONFIRM='$(CONFIRM)' packaging/install.sh

uninstall: ## Remove what `make install` installed below DESTDIR
	@DESTDIR='$(DESTDIR)' CONFIRM='$(CONFIRM)' packaging/uninstall.sh

rpm: ## Build dist/*.rpm: make rpm PYTHON=3.9 ARCH=aarch64; with WHEELS=DIR the libraries come from a directory
	@$(if $(filter-out $(shell uname -m),$(ARCH)),ARCH='$(ARCH)' packaging/arm64.sh rpm,packaging/rpm.sh)

arm64-test: ## Build the RPM for aarch64, install it in an emulated root, and run the demo there (root, Debian; minutes)
	@packaging/arm64.sh test

release: ## Build all RPMs twice, with SBOM, checksums and a dnf repository, from a clean commit: make release SIGN=KEY
	@packaging/release.sh

man: ## Write the man pages and the completions for bash and zsh to build/man
	@$(or $(PYTHON),python3) -I packaging/man/pages.py build/man
	@echo 'man -l build/man/eks-proxy-agent.8'

lock: ## Resolve the libraries again for each target Python, with hashes: packaging/locks
	@packaging/lock.sh $(ARGS)

clean: ## Remove the files that these targets created
	@rm -rf .venv .venv-* .hypothesis .mypy_cache .pytest_cache .ruff_cache build dist *.egg-info
	@find agent tests packaging -name __pycache__ -prune -exec rm -rf {} +
