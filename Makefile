# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)

# Everything is relative to this directory, whose path may contain spaces: no recipe spells it out.
SHELL := /bin/bash
T := tests/tools
LANES := lint build sanity unit fuzz integration kernel qemu molecule
RUNTIME ?=
export RUNTIME HOSTS PYTHON

.NOTPARALLEL:
.DEFAULT_GOAL := help
.PHONY: help demo demo-fleet test $(LANES) bench setup setup-run setup-system engine engine-stop clean

help:
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile | expand -t 24

demo: setup-run ## see it work; RUNTIME=docker on the real engine (sudo)
	@$(T)/run demo/run

demo-fleet: setup-run ## one playbook over several hosts, reached by ssh; HOSTS=3 (sudo, or uidmap)
	@$(T)/run demo/run-fleet

test: ## everything below, with what it needs (sudo)
	@$(T)/test $(LANES)

lint: setup ## ruff, mypy, ansible-lint, changelog fragments
	@$(T)/lanes $@
build: setup ## build the collection, install it from the file, read its documentation
	@$(T)/lanes $@
sanity: setup ## ansible-test sanity
	@$(T)/lanes $@
unit: setup ## pure code: unit and property tests
	@$(T)/lanes $@
fuzz: setup ## hostile messages, answers, files and words, made up for a minute and a half
	@$(T)/lanes $@
integration: setup ## real namespaces and a Docker engine (sudo)
	@$(T)/lanes $@
kernel: setup ## both kernel lanes: User-Mode Linux, which may have what this machine's kernel lacks, and qemu (sudo)
	@$(T)/lanes $@ qemu
qemu: setup ## the oldest kernel, SR-IOV and wireless NICs, in a virtual machine (sudo)
	@$(T)/lanes $@
molecule: setup ## roles against real containers (sudo)
	@$(T)/lanes $@

bench: setup ## measure attachments against the floor (sudo)
	@$(T)/run bench/run
	@$(T)/run bench/run wait
	@$(T)/setup-sshd && $(T)/run bench/run fleet

setup: ## Python environment and collections under .cache
	@$(T)/setup test
setup-run:
	@$(T)/setup run
setup-system: ## programs the tests need (sudo)
	@$(T)/setup-system
engine: ## make sure that a Docker engine answers (sudo)
	@$(T)/engine start
engine-stop: ## stop it if it was started here (sudo)
	@$(T)/engine stop

clean: ## remove what was made here
	@$(T)/clean
