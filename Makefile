# The recipes that people and CI run. `make demo` and `make test` need Rust, git, a C compiler and bubblewrap, and for the dashboard
# Node.js with npm; `make test` also Python 3 with venv, and Chromium.

CYCLES ?= 300
MODELS_VENV := target/models-venv
NOTEBOOK_VENV := target/notebook-venv

.PHONY: demo dashboard environments test test-models test-old-git test-ui check-ui fuzz-api check bench crash fmt

# Two real builds on this machine: logs, artifacts, and a git log that reads as a story. Ctrl-C ends it.
# The dashboard is in it if npm is there to build it.
demo:
	@if command -v npm >/dev/null; then $(MAKE) dashboard; \
	else echo 'npm is missing (Debian: apt-get install nodejs npm), so the demo has no dashboard'; fi
	cargo run --release --quiet -- demo $(ARGS)

# The dashboard, as files that the next `cargo build` puts into the binary. Needs Node.js 20.19 or later, and npm.
dashboard: dashboard/dist/index.html

DASHBOARD_SOURCES := $(shell find dashboard -path dashboard/node_modules -prune -o -path dashboard/dist -prune -o -path dashboard/tests -prune -o -type f -print)
dashboard/dist/index.html: dashboard/node_modules/.package-lock.json $(DASHBOARD_SOURCES)
	cd dashboard && npm run --silent build

dashboard/node_modules/.package-lock.json: dashboard/package-lock.json dashboard/package.json
	@command -v npm >/dev/null || { echo 'npm is missing: install Node.js 20.19 or later (Debian: apt-get install nodejs npm)'; exit 1; }
	cd dashboard && npm ci --silent
	touch $@

# Every test. Tests that run steps need bubblewrap; they fail, and say so, where it is missing. The dashboard comes first, so that the
# program is built once, with it.
test: dashboard
	cargo test
	$(MAKE) test-models
	$(MAKE) test-ui

# What runs git, once more with git 2.30, which is unpacked below target/ for it. Needs apt on Debian; ends with 3 if that git cannot be had.
test-old-git:
	tests/old-git/run

# The dashboard in Chromium, against the real daemon. MRX_PICTURES=1 also writes its pictures under docs/pictures/.
test-ui: dashboard $(MODELS_VENV)/ready
	cargo build --quiet
	cd dashboard && MRX_LITELLM=$(abspath $(MODELS_VENV))/bin/litellm npm test --silent

# Chats with a real server of models, offline: LiteLLM; and the notebook's cells in a real kernel of Jupyter. Each pinned, in an environment
# of its own under target/. Needs Python.
test-models: environments
	MRX_LITELLM=$(abspath $(MODELS_VENV))/bin/litellm MRX_NOTEBOOK_PYTHON=$(abspath $(NOTEBOOK_VENV))/bin/python \
		cargo test --test models -- a_chat a_notebook --nocapture

# What the tests with models run in.
environments: $(MODELS_VENV)/ready $(NOTEBOOK_VENV)/ready

$(MODELS_VENV)/ready: tests/models/requirements.txt
	rm -rf $(MODELS_VENV)
	python3 -m venv $(MODELS_VENV)
	$(MODELS_VENV)/bin/pip install --quiet --disable-pip-version-check -r tests/models/requirements.txt
	touch $@

$(NOTEBOOK_VENV)/ready: tests/models/notebook-requirements.txt
	rm -rf $(NOTEBOOK_VENV)
	python3 -m venv $(NOTEBOOK_VENV)
	$(NOTEBOOK_VENV)/bin/pip install --quiet --disable-pip-version-check -r tests/models/notebook-requirements.txt
	touch $@

# A live daemon is asked whatever its document allows, and much that it does not (schemathesis, pinned). Needs Python and curl.
FUZZ_VENV := target/fuzz-venv
fuzz-api: $(FUZZ_VENV)/ready
	cargo build --quiet
	tests/fuzz/run target/debug/mrx $(FUZZ_VENV)/bin/schemathesis

$(FUZZ_VENV)/ready: tests/fuzz/requirements.txt
	rm -rf $(FUZZ_VENV)
	python3 -m venv $(FUZZ_VENV)
	$(FUZZ_VENV)/bin/pip install --quiet --disable-pip-version-check -r tests/fuzz/requirements.txt
	touch $@

# The dashboard's types, lints, formatting, and that its types of the API are those of dashboard/openapi.json.
check-ui: dashboard/node_modules/.package-lock.json
	cd dashboard && npm run --silent check

# What keeps the rules: formatting, lints, documentation, licences and bans of dependencies.
check: check-ui
	cargo fmt --check
	cargo clippy --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --quiet
	cargo deny --offline check bans licenses sources

# Ours and PostgreSQL's, in one run on the same disk, and clones by us and by git's own server. Needs PostgreSQL's server programs and Python.
bench:
	cargo build --release --quiet
	benches/compare
	benches/clone

# The long run: the daemon is killed under load this many times, and for a minute and a half while git pushes.
crash:
	MRX_CRASH_CYCLES=$(CYCLES) MRX_PUSH_CRASH_SECONDS=90 cargo test --release --test survival crash -- --nocapture

fmt:
	cargo fmt
