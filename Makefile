# SPDX-License-Identifier: GPL-2.0-or-later
# QGIS's Python is the system's, which need not be the first python3 on PATH.
PYTHON ?= /usr/bin/python3
VERSION = $(shell sed -n 's/^version=//p' metadata.txt)
export RASTER FOLDER LOOKS

.PHONY: help setup demo test matrix stress faults fuzz odd coverage mutation scale bench bench-peers screenshots lint package clean

help:  ## show this list
	@sed -n 's/^\([a-z-]*\):.*##/  make \1\t/p' Makefile

setup:  ## install what is missing (Debian, Ubuntu; as root or through sudo)
	@scripts/setup.sh

demo: setup  ## segment an aerial image, or RASTER=file, and draw it to build/demo/demo.png
	@$(PYTHON) scripts/demo.py

test: setup  ## run all tests, or TESTS="tests/test_plan.py -k empty"; those that measure times one by one at the end
	@$(PYTHON) scripts/run_tests.py $(TESTS)

coverage:  ## what part of the engine its tests run, lines and branches; fails below 92 %
	@scripts/setup.sh python3-coverage
	@$(PYTHON) scripts/measure_coverage.py $(TESTS)

matrix:  ## the tests on three releases of Debian, and without numba, pathos, scipy, in trees under build/ (as root)
	@$(PYTHON) scripts/matrix.py $(MATRIX)

screenshots: setup  ## pictures of the panel at work in QGIS Desktop, to build/screenshots
	@$(PYTHON) scripts/screenshots.py

stress: setup  ## RUNS=200 runs with kills at random moments: no hang, nothing left behind, right results
	@$(PYTHON) scripts/stress.py $(or $(RUNS),200)

faults: setup  ## runs in which something goes wrong, at every place (an hour or two); FAULTS="kill read --cases 20" for a part
	@$(PYTHON) scripts/faults.py $(FAULTS)
	@TILEDSEG_FAULTS=1 $(PYTHON) -m pytest -q tests/test_faults_workers.py

fuzz: setup  ## SECONDS=1200 of random cases over the whole range of every parameter; SEED=text, FUZZ="--kind small --cases 500"
	@$(PYTHON) scripts/fuzz.py --seconds $(or $(SECONDS),1200) $(if $(SEED),--seed $(SEED)) $(FUZZ)

odd: setup  ## the engine on strangers' rasters, every result checked: FOLDER=folder, or the set of the tests
	@$(PYTHON) scripts/odd.py $(if $(FOLDER),"$$FOLDER") $(ODD)

scale: setup  ## a run on MEGAPIXELS=64 that mirror a scene: time, memory, disk, and whether it is right; RASTER=file, SCALE=--help
	@$(PYTHON) scripts/scale.py $(or $(MEGAPIXELS),64) $(if $(RASTER),--source "$$RASTER") $(SCALE)

bench: setup  ## run the product and its peers side by side; SIZES="1 4" RUNS=3 PEERS="gdal otb" or BENCH=--help
	@$(PYTHON) benchmarks/bench.py $(if $(SIZES),--sizes $(SIZES)) $(if $(RUNS),--runs $(RUNS)) \
		$(if $(PEERS),--peers $(PEERS)) $(BENCH)

bench-peers:  ## install the peers that Debian has: Orfeo Toolbox and GRASS
	@scripts/install-peers.sh

lint: build/lint/bin/flake8 build/plugins/tiledseg  ## check format, lint and types
	build/lint/bin/ruff format --check .
	build/lint/bin/ruff check .
	cd build/plugins && ../lint/bin/mypy --config-file tiledseg/pyproject.toml -p tiledseg.tiledseg_plugin -p tiledseg.algorithms
	build/lint/bin/flake8 --isolated --select QGS1,QGS4 --extend-ignore QGS105 tiledseg_plugin algorithms __init__.py
	QT_QPA_PLATFORM=offscreen build/lint/bin/python scripts/qt6_names.py

build/lint/bin/flake8:
	@$(PYTHON) -m venv build/lint
	@build/lint/bin/pip install -q ruff==0.17.6 mypy==2.4.1 flake8 flake8-qgis PyQt6

build/plugins/tiledseg:  # under a name that Python takes for a package, whatever the clone is called
	@mkdir -p build/plugins
	@ln -sfn "$(CURDIR)" $@

mutation: build/mutation/bin/cosmic-ray  ## do the tests notice wrong code: MODULES="elimination outlines" or all, MUTATION=--again
	@build/mutation/bin/python scripts/mutation.py $(MODULES) $(MUTATION)

build/mutation/bin/cosmic-ray:  # with the packages of QGIS's Python, which the tests import
	@$(PYTHON) -m venv --system-site-packages build/mutation
	@build/mutation/bin/pip install -q cosmic-ray==8.7.0

package: build/gate/bin/bandit  ## build dist/tiledseg-VERSION.zip of the last commit, as the plugin repository takes it
	@mkdir -p dist
	@git archive --format=zip --prefix=tiledseg/ -o dist/tiledseg-$(VERSION).zip HEAD
	@$(PYTHON) scripts/repository_gate.py dist/tiledseg-$(VERSION).zip build/gate/bin

build/gate/bin/bandit:
	@$(PYTHON) -m venv build/gate
	@build/gate/bin/pip install -q bandit detect-secrets

clean:  ## remove what was built
	@rm -rf build dist
