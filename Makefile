# Everything that is done to this project, by name. Needs a Rust toolchain (with clippy and
# rustfmt), a C compiler and make; nothing else is downloaded but the crates of Cargo.lock.

CARGO ?= cargo
PREFIX ?= /usr/local
DESTDIR ?=
# How long `make crash` looks for trouble.
CRASH_ROUNDS ?= 100
SIM_COUNT ?= 100000
FEDSIM_COUNT ?= 20000
MUTATIONS ?= 1000000

PLUGIN := event-to-remote-claim
OBSERVER := neighbours
TARGET := $(or $(CARGO_TARGET_DIR),target)

.DEFAULT_GOAL := help
.PHONY: help demo test fmt lint unit failpoints doc bench crash fuzz build install uninstall ci interop

help: ## Say what there is
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## Show the main job end to end, in a temporary directory
	$(CARGO) build --locked --bins --example $(PLUGIN) --example cable
	@sh examples/demo/run.sh $(TARGET)/debug

test: fmt lint unit failpoints doc ## Everything that must hold before a change goes in

fmt: ## Is the source formatted?
	$(CARGO) fmt --check

lint: ## Clippy, warnings denied
	$(CARGO) clippy --locked --all-targets -- -D warnings

unit: # All tests that need no special build
	$(CARGO) test --locked

# The crash points are compiled in for this one test only.
failpoints: # Kill the daemon at each named step between accept and commit
	$(CARGO) test --locked --features failpoints --test failpoints

doc: ## The API's documentation, warnings denied
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps

bench: ## Measure the real parts on this machine
	$(CARGO) build --locked --release --bins --examples
	$(CARGO) bench --locked --benches

crash: ## The long suites: kill -9, power cuts, forgeries, simulation (CRASH_ROUNDS, SIM_COUNT …)
	$(CARGO) build --locked --bins --example $(PLUGIN)
	CRASH=1 CRASH_ROUNDS=$(CRASH_ROUNDS) $(CARGO) test --locked --test crash
	ROUTERD_MUTATIONS=$(MUTATIONS) $(CARGO) test --locked --lib of_random_mutations -- --nocapture
	SIM_COUNT=$(SIM_COUNT) $(CARGO) test --locked --release --test sim -- --nocapture
	FEDSIM_COUNT=$(FEDSIM_COUNT) $(CARGO) test --locked --release --test fedsim -- --nocapture

interop: ## Let a Python client (cloudevents of PyPI, in a venv below target/) speak to a node
	$(CARGO) build --locked --bins
	@sh tests/interop/run.sh $(TARGET)/debug $(TARGET)/interop-venv

fuzz: ## Fuzz the readers of foreign bytes for a minute each (needs cargo-fuzz and nightly)
	for target in yaml decode event key receive; do \
	  $(CARGO) +nightly fuzz run $$target -- -max_total_time=60 || exit 1; done

build: ## The binaries, the example plugin and the observer, optimised
	$(CARGO) build --locked --release --bins
	$(CARGO) build --locked --release --example $(PLUGIN) --example $(OBSERVER)

install: build ## Install below DESTDIR/PREFIX; starts nothing
	install -d $(DESTDIR)$(PREFIX)/sbin $(DESTDIR)$(PREFIX)/bin
	install -m 0755 $(TARGET)/release/routerd $(DESTDIR)$(PREFIX)/sbin/routerd
	install -m 0755 $(TARGET)/release/routerctl $(DESTDIR)$(PREFIX)/bin/routerctl
	install -D -m 0755 $(TARGET)/release/examples/$(PLUGIN) \
	  $(DESTDIR)$(PREFIX)/libexec/routerd/plugins/$(PLUGIN)/bin/$(PLUGIN)
	install -D -m 0755 $(TARGET)/release/examples/$(OBSERVER) \
	  $(DESTDIR)$(PREFIX)/libexec/routerd/observers/$(OBSERVER)
	install -d $(DESTDIR)$(PREFIX)/etc/routerd/manifests
	install -d -m 0700 $(DESTDIR)$(PREFIX)/etc/routerd/secrets

uninstall: ## Remove what install put there; config and state stay
	rm -f $(DESTDIR)$(PREFIX)/sbin/routerd $(DESTDIR)$(PREFIX)/bin/routerctl
	rm -rf $(DESTDIR)$(PREFIX)/libexec/routerd/plugins/$(PLUGIN)
	rm -f $(DESTDIR)$(PREFIX)/libexec/routerd/observers/$(OBSERVER)

ci: ## What continuous integration runs
	.ci/run
