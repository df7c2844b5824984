# What people and CI run. Everything that is fetched is pinned, verified and cached in
# $TOKENTRAIL_CACHE (default ~/.cache/tokentrail), outside the checkout.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
CACHE := $(or $(TOKENTRAIL_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/tokentrail)
DENY_VERSION := 0.20.2
DENY := $(CACHE)/tools/cargo-deny-$(DENY_VERSION)/bin/cargo-deny
BIN := target/demo/tokentrail

.PHONY: help demo up test check bench bench-kafka bench-rooms bench-panels bench-asks advisories dashboards pictures pages engine build-demo mutants

help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

engine: ## fetch the pinned ClickHouse engine (once)
	@services/store/engine/fetch.sh >/dev/null

# Without Kafka: librdkafka and its OpenSSL take minutes to build, and perl.
build-demo: engine
	@cargo build --locked --profile demo -p tokentrail --no-default-features

demo: build-demo ## play a recorded story through the whole pipeline and show what it finds
	@TOKENTRAIL_ENGINE="$$(services/store/engine/fetch.sh)" $(BIN) --log warn demo --samples schemas/samples/pair --report target/demo-report

up: build-demo ## start Tokentrail here to stay (data in ./tokentrail-data, Ctrl-C stops it)
	@TOKENTRAIL_ENGINE="$$(services/store/engine/fetch.sh)" $(BIN) up

test: engine ## every test, real servers included (two suites at a time; one alone: cargo test --workspace --test NAME)
	@.ci/suites.py

check: $(DENY) ## formatting, lints, documentation, dependencies
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cargo clippy --locked -p tokentrail --no-default-features -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --quiet
	$(DENY) --locked check --hide-inclusion-graph licenses bans sources
	bash .ci/tidy
	@echo "advisories not checked (make advisories checks them where their database can be reached)"

mutants: ## break rules of the correlation one by one in a copy: each must turn a test red
	@cargo run --locked --quiet -p correlate --example mutants

advisories: $(DENY) ## known vulnerabilities of dependencies (needs the advisory database)
	$(DENY) --locked check advisories

dashboards: ## make what Grafana reads from dashboards/source
	@cargo run --locked --quiet --bin dashboards

# A preview of our own: no Grafana draws them.
pictures: engine ## draw the dashboards over the recorded story into docs/pictures
	@TOKENTRAIL_PICTURES="$(CURDIR)/target/pictures" cargo test --locked --quiet --workspace --test dashboards -- every_panel
	@chromium="$$(services/testbed/browser/fetch.sh)"; mkdir -p docs/pictures; cd target/pictures; \
	  timeout 120 node ../../services/testbed/browser/draw.mjs "$$chromium" 1600 dark $(foreach d,overview drift investigation pipeline,$(d).html ../../docs/pictures/$(d).png)

pages: demo ## draw the demo's report as its readers see it: light, dark and printed, in target/demo-report
	@chromium="$$(services/testbed/browser/fetch.sh)"; cd target/demo-report; draw=../../services/testbed/browser/draw.mjs; page=r08-access-trace; \
	  timeout 120 node $$draw "$$chromium" 1280 light $$page.html $$page.light.png $$page.html $$page.pdf; \
	  timeout 120 node $$draw "$$chromium" 1280 dark $$page.html $$page.dark.png; ls $$PWD/$$page.*

$(DENY):
	@echo "installing cargo-deny $(DENY_VERSION) into the cache (once, some minutes) ..." >&2
	@cargo install cargo-deny --version $(DENY_VERSION) --locked --quiet --root $(CACHE)/tools/cargo-deny-$(DENY_VERSION)

bench: engine ## the release binary against its goals, beside a bare axum handler (BENCH_ARGS="--format json")
	@cargo bench --locked -p tokentrail --bench whole -- $(BENCH_ARGS)

bench-kafka: engine ## collectors, a broker and a processor against their goals, beside a bare producer
	@GLIBC_TUNABLES=glibc.malloc.tcache_count=60000 cargo bench --locked -p tokentrail --bench kafka -- $(BENCH_ARGS)

bench-rooms: ## what each room costs by itself: intake, normalising, snapshots, journal
	@cargo bench --locked -p collector --bench speed
	@cargo bench --locked -p events --bench speed
	@cargo bench --locked -p correlate --bench speed
	@cargo bench --locked -p correlate --bench snapshot
	@cargo run --locked --release -q -p durable-log --example append_rate

bench-panels: engine ## what the dashboards' questions take over DECISIONS=200000 decisions
	@TOKENTRAIL_ENGINE="$$(services/store/engine/fetch.sh)" cargo run --locked --release -q -p store --example panels -- $(or $(DECISIONS),200000)

bench-asks: engine ## what trace, access, explain and who-can take over ASKED_EVENTS=2000000 events
	@ASKED_EVENTS="$(or $(ASKED_EVENTS),2000000)" cargo bench --locked -p tokentrail --bench asks
