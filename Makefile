# Two commands do everything: make demo, make test.
# Variables: PYTHON (3.10 to 3.14), VENV, DEMO, PIP_ARGS (for instance --index-url of a mirror).
PYTHON ?= python3
VENV ?= .venv
DEMO ?= work_dirs/demo
BIN := $(VENV)/bin
RUN := $(DEMO)/run
CONFIG := configs/hip_ssd_r18_demo.py
FILMS ?= cgoa=600 oaih=400 gis=400
MAX_SIDE ?= 320
DEMO_OPTIONS ?=
STAMP := $(VENV)/installed

.PHONY: help install demo phantoms test lint benchmark clean

help:  ## this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST)

# one environment per set of pins: a change of setup.py or constraints.txt rebuilds what it must
$(STAMP): setup.py constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --upgrade pip $(PIP_ARGS)
	$(BIN)/python -m pip install -q -c constraints.txt ".[mm,dicom,publish,export,openvino,annotate,test,dev]" $(PIP_ARGS)
	@touch $@

install: $(STAMP)  ## environment with the tested versions, no compiler
	@rm -rf build
	@$(BIN)/python -m pip install -q --no-deps --force-reinstall . $(PIP_ARGS)

phantoms: install  ## synthetic films with known hips, as COCO
	$(BIN)/hipdet phantoms $(DEMO)/phantoms --films $(FILMS) --max-side $(MAX_SIDE)
	$(BIN)/hipdet convert phantom $(DEMO)/phantoms

demo: phantoms  ## films, training, test, table and gallery: about 10 minutes on 2 cores
	$(BIN)/hipdet train $(CONFIG) --data-root $(DEMO)/phantoms --work-dir $(RUN) --resume $(DEMO_OPTIONS)
	$(BIN)/hipdet test $(CONFIG) $$(cat $(RUN)/last_checkpoint) --data-root $(DEMO)/phantoms --work-dir $(RUN)
	$(BIN)/hipdet gallery $(RUN)/test.roi.json --data-root $(DEMO)/phantoms
	@echo "Figures: $(RUN)/test_report.json   ROIs, worst first: $(RUN)/test.roi.csv   Picture: $(RUN)/gallery.png"

test: install  ## lint, types and all tests, about 18 minutes on 2 cores
	$(MAKE) lint
	$(BIN)/python -m pytest -n 2 --dist worksteal --durations 10 $(PYTEST_ARGS)

lint: $(STAMP)  ## ruff, mypy, and who may import whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check hipdet tools tests benchmarks setup.py
	$(BIN)/mypy
	$(BIN)/lint-imports .importlinter

benchmark: install  ## speed beside DetInferencer (and YOLO="a.onnx b.onnx"): work_dirs/benchmark/benchmark.md; a quiet machine
	$(BIN)/python benchmarks/benchmark.py $(if $(YOLO),--yolo $(YOLO)) $(BENCHMARK_OPTIONS)

clean:  ## remove what the commands above made
	rm -rf $(VENV) $(DEMO) build *.egg-info
