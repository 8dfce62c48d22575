# SPDX-License-Identifier: GPL-2.0-or-later
# QGIS's Python is the system's, which need not be the first python3 on PATH.
PYTHON ?= /usr/bin/python3
VERSION = $(shell sed -n 's/^version=//p' metadata.txt)
export RASTER

.PHONY: help setup demo test matrix stress bench bench-peers screenshots lint package clean

help:  ## show this list
	@sed -n 's/^\([a-z-]*\):.*##/  make \1\t/p' Makefile

setup:  ## install what is missing (Debian, Ubuntu; as root or through sudo)
	@scripts/setup.sh

demo: setup  ## segment an aerial image, or RASTER=file, and draw it to build/demo/demo.png
	@$(PYTHON) scripts/demo.py

test: setup  ## run all tests
	@QT_QPA_PLATFORM=offscreen $(PYTHON) -m pytest tests -q

matrix:  ## the tests on three releases of Debian, and without numba, pathos, scipy, in trees under build/ (as root)
	@$(PYTHON) scripts/matrix.py $(MATRIX)

screenshots: setup  ## pictures of the panel at work in QGIS Desktop, to build/screenshots
	@$(PYTHON) scripts/screenshots.py

stress: setup  ## RUNS=200 runs with kills at random moments: no hang, nothing left behind, right results
	@$(PYTHON) scripts/stress.py $(or $(RUNS),200)

bench: setup  ## run the product and its peers side by side; SIZES="1 4" RUNS=3 PEERS="gdal otb" or BENCH=--help
	@$(PYTHON) benchmarks/bench.py $(if $(SIZES),--sizes $(SIZES)) $(if $(RUNS),--runs $(RUNS)) \
		$(if $(PEERS),--peers $(PEERS)) $(BENCH)

bench-peers:  ## install the peers that Debian has: Orfeo Toolbox and GRASS
	@scripts/install-peers.sh

lint: build/lint/bin/flake8  ## check format, lint and types
	build/lint/bin/ruff format --check .
	build/lint/bin/ruff check .
	build/lint/bin/mypy tiledseg_plugin
	build/lint/bin/flake8 --isolated --select QGS1,QGS4 --extend-ignore QGS105 tiledseg_plugin algorithms __init__.py
	QT_QPA_PLATFORM=offscreen build/lint/bin/python scripts/qt6_names.py

build/lint/bin/flake8:
	@$(PYTHON) -m venv build/lint
	@build/lint/bin/pip install -q ruff mypy flake8 flake8-qgis PyQt6

package:  ## build dist/tiledseg-VERSION.zip of the last commit
	@mkdir -p dist
	@git archive --format=zip --prefix=tiledseg/ -o dist/tiledseg-$(VERSION).zip HEAD
	@echo "dist/tiledseg-$(VERSION).zip"

clean:  ## remove what was built
	@rm -rf build dist
