# What people do with this repository, one word each. It needs git, a Rust toolchain and a C compiler; PostgreSQL's
# server programs are installed where they are missing, or the command for that is printed (.ci/postgres). No server
# needs to run: the tests and the demonstration start their own, as an ordinary user, and leave nothing behind.

.DEFAULT_GOAL := help
SECONDS ?= 60
MINUTES ?= 1
SEED ?=
SCRIPT ?=
SHRINK ?=
FAULTS ?=
.PHONY: help demo test test-api test-mcp test-ui screenshots soak faults differential domain-report fuzz fmt lint doc deny audit sbom package unit check bench clean

# Where the server programs are. `make test PG_MAJOR=16` asks for a major version, `make test ARGS='-- capture'` passes
# arguments on to cargo.
PG_MAJOR ?=
export PG_MAJOR
ARGS ?=
with_postgres = bindir="$$(sh .ci/postgres)" && ODOO_EVENTD_PG_BINDIR="$$bindir"

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' Makefile

demo: ## watch it work: a throw-away PostgreSQL, changes to Odoo's tables, signed webhooks arriving
	@$(with_postgres) cargo run --quiet --locked -- demo $(ARGS)

# Most tests mostly wait: for a pause of the service, for another process. So four times as many at once as there are cores; the
# soaks, which measure, are left alone. RUST_TEST_THREADS, or ARGS='-- --test-threads 1', says otherwise.
test: export RUST_TEST_THREADS ?= $(shell expr 4 '*' "$$(getconf _NPROCESSORS_ONLN)")
test: ## run all tests
	@$(with_postgres) cargo test --locked $(ARGS)

test-api: ## hold the HTTP API against its document, with openapi-spec-validator and schemathesis (from PyPI) and a token of each kind
	@$(with_postgres) cargo test --locked --test it -- --ignored --nocapture api::tools $(ARGS)

test-mcp: ## hold the door for assistants against official clients and suites of MCP (from npm and PyPI), in both eras
	@$(with_postgres) cargo test --locked --test it -- --ignored --nocapture mcp::clients $(ARGS)

test-ui: ## look at the web page with Debian's chromium, playwright-core and axe-core (from npm), light and dark, with and without JavaScript
	@$(with_postgres) cargo test --locked --test it -- --ignored --nocapture api::page::browser $(ARGS)

screenshots: ## take the pictures of the documents anew, of the demonstration's page
	@$(with_postgres) && export ODOO_EVENTD_PG_BINDIR && cargo build --quiet --locked && tests/ui/screenshots target/debug/odoo-eventd

soak: ## run what takes minutes: a million rows in one transaction, 50,000 interleavings with the doorbell in each test
	@$(with_postgres) ODOO_EVENTD_TEST_INTERLEAVINGS=$${ODOO_EVENTD_TEST_INTERLEAVINGS:-50000} \
		cargo test --locked --test it -- --include-ignored --nocapture doorbell:: large:: $(ARGS)

faults: ## harm service, PostgreSQL and network at random for MINUTES=1 from SEED=.., and print what it cost; FAULTS='SIGKILL,disk' chooses
	@$(with_postgres) ODOO_EVENTD_TEST_MINUTES=$(MINUTES) ODOO_EVENTD_TEST_SEED=$(SEED) ODOO_EVENTD_TEST_FAULTS='$(FAULTS)' \
		cargo test --locked --test it -- --ignored --nocapture faults::soak $(ARGS)

differential: ## do the same at random to a database with and one without odoo-eventd for SECONDS=60 from SEED=.., and compare; or SCRIPT=..
	@$(with_postgres) ODOO_EVENTD_TEST_SCRIPT='$(SCRIPT)' ODOO_EVENTD_TEST_SHRINK=$(SHRINK) ODOO_EVENTD_TEST_SECONDS=$(SECONDS) ODOO_EVENTD_TEST_SEED=$(SEED) \
		cargo test --locked --test it -- --ignored --nocapture $(if $(SCRIPT),differential::a_script,differential::nothing_differs_for_long) $(ARGS)

domain-report: ## compare the domain engine with what a real Odoo answered, by tag (needs ../shared/odoo)
	@$(with_postgres) cargo test --locked --test it -- --nocapture domains::every_core domains::what_odoo domain_versions

fuzz: ## run the fuzz targets, SECONDS=60 each; ARGS='domain guard' chooses (needs a C++ compiler)
	@tests/fuzz/run $(SECONDS) $(ARGS)

fmt: ## format the source
	cargo fmt

lint: ## check format and style
	cargo fmt --check
	cargo clippy --locked --all-targets -- --deny warnings

# The readers of this documentation work on the code: private items are in it, and links may lead to them.
doc: ## build the documentation of the code
	RUSTDOCFLAGS='--deny warnings --allow rustdoc::private_intra_doc_links' cargo doc --locked --no-deps --document-private-items

deny: ## check licences, versions and sources of dependencies, and advisories, where cargo-deny is installed
	@if cargo deny --version >/dev/null 2>&1; then \
		cargo deny --locked check bans licenses sources && \
		if cargo deny --locked fetch db; then \
			cargo deny --locked check advisories; \
		else \
			echo 'skipped: the advisories are not to be had from here'; \
		fi; \
	else \
		echo 'skipped: cargo-deny is not installed (cargo install --locked cargo-deny)'; \
	fi

audit: ## look dependencies up in RustSec's advisories, where cargo-audit is installed
	@if cargo audit --version >/dev/null 2>&1; then cargo audit --deny warnings; \
	else echo 'skipped: cargo-audit is not installed (cargo install --locked cargo-audit)'; fi

sbom: ## write target/odoo-eventd.cdx.json, a CycloneDX bill of materials (needs cargo-cyclonedx)
	@cargo cyclonedx --version >/dev/null 2>&1 || { echo 'cargo install --locked cargo-cyclonedx' >&2; exit 1; }
	@mkdir -p target
	@cargo cyclonedx --format json --spec-version 1.5 --override-filename odoo-eventd.cdx && mv odoo-eventd.cdx.json target/

package: ## build a Debian package in target/debian (needs cargo-deb)
	@cargo deb --version >/dev/null 2>&1 || { echo 'cargo install --locked cargo-deb' >&2; exit 1; }
	cargo build --release --locked --bin odoo-eventd
	mkdir -p target/package
	target/release/odoo-eventd man > target/package/odoo-eventd.1
	target/release/odoo-eventd completions bash > target/package/odoo-eventd.bash
	target/release/odoo-eventd completions zsh > target/package/_odoo-eventd
	target/release/odoo-eventd completions fish > target/package/odoo-eventd.fish
	.packaging/documents target/package/doc
	cargo deb --no-build --locked

unit: ## see the package's service do its work under a systemd in a container (needs root and systemd-nspawn)
	@.ci/unit target/debian/odoo-eventd_*.deb

check: lint doc deny test-api test-mcp test-ui test ## everything that .ci/run does

bench: ## measure, with a PostgreSQL that flushes to disk
	@$(with_postgres) cargo bench --locked $(ARGS)

clean: ## remove what was built
	cargo clean
