# make demo and make test do everything; make help lists the rest.
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
TESTS ?= not ci
STAMP := $(VENV)/installed

.PHONY: help install demo phantoms test lint docs benchmark clean

help:  ## show this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST)

# the environment follows the pins: it is updated when setup.py or constraints.txt changes
$(STAMP): setup.py constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --upgrade pip $(PIP_ARGS)
	$(BIN)/python -m pip install -q -c constraints.txt ".[mm,dicom,publish,export,openvino,ray,annotate,test,docs,dev]" $(PIP_ARGS)
	@touch $@

install: $(STAMP)  ## install hipdet with the tested versions in .venv; needs no compiler
	@rm -rf build
	@$(BIN)/python -m pip install -q --no-deps --force-reinstall . $(PIP_ARGS)

phantoms: install  ## make synthetic films with known hips, as COCO
	$(BIN)/hipdet phantoms $(DEMO)/phantoms --films $(FILMS) --max-side $(MAX_SIDE)
	$(BIN)/hipdet convert phantom $(DEMO)/phantoms

demo: phantoms  ## make films, train, test, draw a gallery: 10 to 13 minutes on 2 cores
	$(BIN)/hipdet train $(CONFIG) --data-root $(DEMO)/phantoms --work-dir $(RUN) --resume $(DEMO_OPTIONS)
	$(BIN)/hipdet test $(CONFIG) $$(cat $(RUN)/last_checkpoint) --data-root $(DEMO)/phantoms --work-dir $(RUN)
	$(BIN)/hipdet gallery $(RUN)/test.roi.json --data-root $(DEMO)/phantoms
	@echo "Metrics: $(RUN)/test_report.json   ROIs, worst first: $(RUN)/test.roi.csv   Picture: $(RUN)/gallery.png"

test: install  ## run lint, types, docs and all tests: about 10 minutes on 2 cores; all that CI runs: TESTS="ci or not ci"
	$(MAKE) -j2 lint docs
	$(BIN)/python -m pytest -n 2 --dist worksteal --durations 10 -m "$(TESTS)" $(PYTEST_ARGS)

lint: $(STAMP)  ## run ruff, mypy and the checks of import layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check hipdet tools tests benchmarks setup.py
	$(BIN)/mypy
	$(BIN)/lint-imports .importlinter

docs: $(STAMP)  ## build the documentation of the checkout, warnings are errors: docs/_build/html/index.html
	@if $(BIN)/python -c "import sys; sys.exit(sys.version_info < (3, 11))"; \
	then $(BIN)/python -m sphinx -q -W --keep-going docs docs/_build/html; \
	else echo "documentation: not built, Sphinx 9 needs Python 3.11"; fi

benchmark: install  ## measure speed against DetInferencer (and YOLO="a.onnx b.onnx") on an idle machine: work_dirs/benchmark/benchmark.md
	$(BIN)/python benchmarks/benchmark.py $(if $(YOLO),--yolo $(YOLO)) $(BENCHMARK_OPTIONS)

clean:  ## remove the environment, the demo and the build
	rm -rf $(VENV) $(DEMO) build docs/_build *.egg-info
