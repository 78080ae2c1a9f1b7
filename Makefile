# The two commands of the README are `make demo` and `make test`; everything they need is set up on the way.
.DEFAULT_GOAL := help
.PHONY: help demo test test-all lint sanity units integration cluster-tests bench docs up down status tools tools-all build clean

help: ## Show this
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: tools up ## Local cluster, whole stack, one question answered
	@PATH="$(CURDIR)/.venv/bin:$$PATH" .venv/bin/ansible-playbook -i inventories/local playbooks/lightrag.yml $(ARGS)

test: ## Everything: lint, sanity, units, integration, and the stack on a real cluster
	@python3 tools/test.py all

test-all: ## The same, and the long tests on the cluster
	@python3 tools/test.py everything

lint: ## ruff, mypy, yamllint, ansible-lint
	@python3 tools/test.py lint

sanity: ## ansible-test sanity on the installed artefact, for both ansible-core lines
	@python3 tools/test.py sanity

units: ## Unit tests
	@python3 tools/test.py units

integration: ## Modules against an in-memory Kubernetes API
	@python3 tools/test.py integration

cluster-tests: ## The stack on a real cluster
	@python3 tools/test.py cluster

bench: tools up ## Ratios against plain kubectl and plain kubernetes.core; writes docs/benchmarks.md
	@.venv/bin/python tests/benchmarks/run.py

up: ## Start the local cluster (or use RAGOPS_KUBECONFIG)
	@python3 local/cluster.py up

down: ## Remove the local cluster; ALL=1 removes its caches too
	@python3 local/cluster.py down $(if $(ALL),--all)

status: ## Tell how the local cluster is
	@python3 local/cluster.py status

tools: ## Make .venv with the pinned tools
	@python3 tools/setup_env.py --line stable

tools-all: ## The same, and .venv-next with the newest ansible-core
	@python3 tools/setup_env.py --line all

build: tools ## Build the collection's tarball
	@.venv/bin/ansible-galaxy collection build --force

clean: ## Remove what was built in this tree
	rm -rf .venv .venv-next .ansible .cache .mypy_cache .pytest_cache .ruff_cache tests/output ragops-stack-*.tar.gz
