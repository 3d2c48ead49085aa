# make demo   the environment, and a dataset from synthetic scenes
# make test   the environment, lint, types, and all tests that need no GPU
# make venv   the environment alone, in .venv
# make bench  all measurements; KPRAY_COCO names the folder with COCO's annotations/

PYTHON ?= python3
BIN := .venv/bin
RUN ?= runs/demo

.PHONY: venv demo test check bench clean

venv: .venv/installed

.venv/installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@

demo: venv
	$(BIN)/kpray generate --out $(RUN)
	$(BIN)/kpray gallery $(RUN) --out $(RUN)/gallery.jpg

check: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: check
	$(BIN)/python -m pytest

bench: venv
	$(BIN)/python benchmarks/reading.py --coco $(KPRAY_COCO)
	$(BIN)/python benchmarks/generating.py --coco $(KPRAY_COCO)
	$(BIN)/python benchmarks/pose_codes.py --coco $(KPRAY_COCO)
	$(BIN)/python benchmarks/pose_codes.py --synthetic 2000

clean:
	rm -rf .venv runs
