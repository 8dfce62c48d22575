# SPDX-License-Identifier: GPL-2.0-or-later
"""The product's variants: whole runs of `qgis_process`, and the engine alone."""

import json
import os
import sys
from pathlib import Path

from contenders import Contender
from headless import HeadlessError, QgisProcess, qgis_process_program

HERE = Path(__file__).resolve().parent
PLAIN = {"TILEDSEG_KERNELS": "plain"}
COMPILED = {"TILEDSEG_KERNELS": "auto"}
VARIANTS = ("qgis", "qgis-plain", "engine", "engine-1", "engine-processes", "engine-warm")
WARM_RUNS = 4  # after the first; of large scenes fewer


def product(names, profile, workers, plain_most):
    """The variants.

    Parameters
    ----------
    names : of VARIANTS
    profile : Path, of QGIS, made for the benchmark
    workers : int
    plain_most : Mpx above which the plain kernels are left out
    """
    variants = [
        *_qgis(profile, workers, plain_most),
        _engine("engine", f"engine alone, {workers} workers", "auto", workers),
        _engine("engine-1", "engine alone, 1 worker", "auto", 1, kinds=("full",)),
        _engine("engine-processes", f"engine alone, {workers} processes", "processes", workers, kinds=("full",)),
        Contender(
            "engine-warm",
            "engine alone, again in the same process",
            "product",
            _engine_command("auto", workers, again=True),
            environment={**os.environ, **COMPILED},
            kinds=("full",),
            by_call=True,
            output="segments.tif",
        ),
    ]
    return [variant for variant in variants if variant.name in names]


def _qgis(profile, workers, plain_most):
    try:
        environment, missing = QgisProcess(profile).environment, ""
        program = qgis_process_program()
    except HeadlessError as error:
        environment, missing, program = {}, str(error), ""

    def command(path, scene, out):
        arguments = [f"INPUT={path}", f"WORKERS={workers}", f"OUTPUT={out}.tif"]
        return [program, "--json", "run", "tiledseg:segment", "--", *arguments]

    variants = [
        ("qgis", "Tiled Segmentation", COMPILED, ("full", "slanted", "bands"), float("inf")),
        ("qgis-plain", "Tiled Segmentation, plain kernels", PLAIN, ("full",), plain_most),
    ]
    return [
        Contender(
            name,
            label,
            "product",
            command,
            settings=f"qgis_process, start of QGIS included, {workers} workers",
            missing=missing,
            environment={**environment, **kernels},
            details=_report,
            kinds=kinds,
            most_megapixels=most,
            output="segments.tif",
        )
        for name, label, kernels, kinds, most in variants
    ]


def _report(folder):
    """What the report of `tiledseg:segment` says."""
    report = json.loads((folder / "segments_report.json").read_text())
    results = report["results"]
    return {
        "call_seconds": results["seconds"],
        "stages": results["stages"],
        "segments": results["segment_count"],
        "kernels": report.get("kernels"),
        "execution": report.get("execution"),
        "versions": report.get("versions"),
    }


def _engine(name, label, execution, workers, kinds=("full", "slanted", "bands")):
    return Contender(
        name,
        label,
        "product",
        _engine_command(execution, workers),
        environment={**os.environ, **COMPILED},
        kinds=kinds,
        output="segments.tif",
    )


def _engine_command(execution, workers, again=False):
    def command(path, scene, out):
        runs = 0 if not again else WARM_RUNS if scene.megapixels <= WARM_RUNS else 1
        program = [sys.executable, HERE / "run_engine.py", path, f"{out}.tif", "--execution", execution]
        return [*program, "--workers", workers, "--again", runs]

    return command
