# make demo: a real encode in a real scope.  make check: every test.  make debs: the packages.
SUITE ?= bookworm
KEEP ?=
TESTS ?= tests/style tests/unit tests

.PHONY: help demo check check-here check-bookworm check-trixie debs clean \
    check-containers-bookworm check-containers-trixie

help:
	@sed -n '1s/^# //p' Makefile

demo: debs
	lab/run-demo --suite $(SUITE) --keep=$(KEEP)

# An emulated machine keeps one core busy: two things at a time take half as long.
check: debs
	@python="$$(packaging/setup)/bin/python" && $(MAKE) --no-print-directory --jobs=2 --keep-going \
	    PYTEST="$$python -m pytest" check-here check-bookworm check-containers-bookworm \
	    check-trixie check-containers-trixie

check-here:
	$(PYTEST) $(TESTS) -m "not lab" --durations=20
check-bookworm:
	$(PYTEST) tests -m vm -k "not trixie" --durations=10
check-trixie:
	$(PYTEST) tests -m vm -k trixie --durations=10
check-containers-bookworm:
	$(PYTEST) tests -m "lab and not vm" -k "not trixie" --durations=20
check-containers-trixie:
	$(PYTEST) tests -m "lab and not vm" -k trixie --durations=20

debs:
	@packaging/setup >/dev/null
	lab/build-debs

clean:
	rm -rf dist build .mypy_cache .pytest_cache .ruff_cache
