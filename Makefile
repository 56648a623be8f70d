# make demo: a real encode in a real scope.  make check: every test.  make debs: the packages.
SUITE ?= bookworm
KEEP ?=
TESTS ?= tests/style tests/unit tests

.PHONY: help demo check debs clean

help:
	@sed -n 's/^# //p' Makefile

demo: debs
	lab/run-demo --suite $(SUITE) --keep=$(KEEP)

check: debs
	"$$(packaging/setup)/bin/python" -m pytest $(TESTS)

debs:
	@packaging/setup >/dev/null
	lab/build-debs

clean:
	rm -rf dist build .mypy_cache .pytest_cache .ruff_cache
