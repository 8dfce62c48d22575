# SPDX-License-Identifier: GPL-2.0-or-later
"""The other programs. Each is looked for, and where it is not found the reason is said; that is never an error.

pyshepseg: importable, or in the folder PYSHEPSEG_PATH
pyshepseg-threads: a version of it with threads, in the folder PYSHEPSEG_THREADS_PATH, else as pyshepseg
rsgislib: importable, or RSGISLIB_ENV is a shell file that sets the environment for it
otb: otbcli_LargeScaleMeanShift on PATH (Debian: otb-bin)
grass: on PATH (Debian: grass-core)
gdal, gdal-one: gdal_translate on PATH; the floor, as it computes nothing

Where a setting is a choice between fast and slow, the peer gets the fast one; where it decides how much work there is
(clusters, k-means sample, smallest segment), it gets that of the product.
"""

import os
import subprocess
import sys
from pathlib import Path

from contenders import Contender, probe

HERE = Path(__file__).resolve().parent
COMPRESSION = ("TILED=YES", "BLOCKXSIZE=512", "BLOCKYSIZE=512", "COMPRESS=DEFLATE", "ZLEVEL=1", "BIGTIFF=IF_SAFER")
NAMES = ("pyshepseg", "pyshepseg-threads", "rsgislib", "otb", "grass", "gdal", "gdal-one")
SLOW = ("otb", "grass")  # not in the race for speed: they answer another question with another algorithm


def peers(names, workers, slow_most):
    """The peers of these names.

    Parameters
    ----------
    names : of NAMES
    workers : threads for peers that can use them
    slow_most : Mpx above which those of SLOW are left out
    """
    makers = {
        "pyshepseg": lambda: _pyshepseg("pyshepseg", "PYSHEPSEG_PATH", 0),
        # it refuses as many threads as there are cores
        "pyshepseg-threads": lambda: _pyshepseg("pyshepseg-threads", "PYSHEPSEG_THREADS_PATH", max(1, workers - 1)),
        "rsgislib": _rsgislib,
        "otb": lambda: _otb(slow_most),
        "grass": lambda: _grass(slow_most),
        "gdal": lambda: _gdal("gdal", "gdal_translate, same bands", workers, all_bands=True),
        "gdal-one": lambda: _gdal("gdal-one", "gdal_translate, one band", workers, all_bands=False),
    }
    return [makers[name]() for name in names]


def _pyshepseg(name, variable, workers):
    environment = dict(os.environ)
    folder = environment.get(variable) or environment.get("PYSHEPSEG_PATH")
    if folder:
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [folder, environment.get("PYTHONPATH")]))
    test = "import pyshepseg.tiling; print(pyshepseg.__version__)"
    if workers:
        test = (
            "from pyshepseg.tiling import SegmentationConcurrencyConfig; import pyshepseg; print(pyshepseg.__version__)"
        )
    version, missing = probe([sys.executable, "-c", test], environment)
    return Contender(
        name,
        f"pyshepseg tiled, {workers} further thread{'s' if workers > 1 else ''}" if workers else "pyshepseg tiled",
        "peer",
        lambda path, scene, out: [sys.executable, HERE / "run_pyshepseg.py", path, f"{out}.tif", workers],
        version=version,
        settings="tiles of 1000, overlap 100, fixed k-means start, 1 % sample; compiles anew in each run",
        missing=missing,
        environment=environment,
    )


def _rsgislib():
    file = os.environ.get("RSGISLIB_ENV", "")
    environment = dict(os.environ)
    if file:
        try:
            environment = environment_after(file)
        except (OSError, subprocess.SubprocessError) as error:
            return _nowhere("rsgislib", "RSGISLib", f"RSGISLIB_ENV={file} cannot be read: {error}")
    test = "import rsgislib, rsgislib.segmentation.shepherdseg; print(rsgislib.get_rsgislib_version())"
    version, missing = probe([sys.executable, "-c", test], environment)
    return Contender(
        "rsgislib",
        "RSGISLib untiled",
        "peer",
        lambda path, scene, out: [sys.executable, HERE / "run_rsgislib.py", path, out],
        version=version,
        settings="in memory, without the statistics and pyramids that it can add to its output",
        missing=missing,
        environment=environment,
    )


def environment_after(file):
    """The environment variables once a shell has read a file."""
    done = subprocess.run(
        ["sh", "-c", '. "$1" && env -0', "sh", str(Path(file).expanduser())], capture_output=True, text=True, check=True
    )
    return dict(entry.split("=", 1) for entry in done.stdout.split("\0") if "=" in entry)


def _otb(most):
    program = "otbcli_LargeScaleMeanShift"
    version, missing = probe(
        ["sh", "-c", f'command -v {program} || {{ echo "there is no program {program}" >&2; exit 1; }}']
    )

    def command(path, scene, out):
        sizes = ["-minsize", 100, "-tilesizex", 1000, "-tilesizey", 1000, "-ram", 2048]
        return [program, "-in", path, "-mode", "raster", "-mode.raster.out", f"{out}.tif", "uint32", *sizes]

    return Contender(
        "otb",
        "Orfeo Toolbox mean shift",
        "peer",
        command,
        version=_debian_version("otb-bin") or version,
        settings="LargeScaleMeanShift, default radii, tiles of 1000",
        missing=missing,
        most_megapixels=most,
    )


def _grass(most):
    version, missing = probe(["grass", "--config", "version"])
    return Contender(
        "grass",
        "GRASS i.segment",
        "peer",
        lambda path, scene, out: [
            *["grass", "--tmp-location", path, "--exec"],
            *[sys.executable, HERE / "run_grass.py", path, f"{out}.tif", scene.bands],
        ],
        version=version,
        settings="region growing, threshold 0.05, 2000 MB; reading and writing of GeoTIFF included",
        missing=missing,
        most_megapixels=most,
    )


def _gdal(name, label, workers, all_bands):
    version, missing = probe(["gdal_translate", "--version"])
    version = version.split(",")[0]  # what follows is the date
    options = [word for option in (*COMPRESSION, f"NUM_THREADS={workers}") for word in ("-co", option)]
    bands = [] if all_bands else ["-b", 1]
    return Contender(
        name,
        label,
        "floor",
        lambda path, scene, out: ["gdal_translate", "-q", *bands, "-ot", "UInt32", *options, path, f"{out}.tif"],
        version=version,
        settings="to uint32 with the compression and threads of the product's output",
        missing=missing,
    )


def _nowhere(name, label, reason):
    return Contender(name, label, "peer", lambda path, scene, out: [], missing=reason)


def _debian_version(package):
    try:
        done = subprocess.run(["dpkg-query", "-W", "-f=${Version}", package], capture_output=True, text=True)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
