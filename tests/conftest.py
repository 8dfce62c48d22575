# SPDX-License-Identifier: GPL-2.0-or-later
"""Makes the repository importable as the package `tiledseg`, whatever the clone's folder is called, and starts QGIS."""

import gc
import os
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

import headless  # noqa: E402

sys.path.insert(0, str(headless.plugin_path()))

settings.register_profile("any machine", deadline=None)  # a busy machine is no fault of the code
settings.load_profile("any machine")


@pytest.fixture(scope="session", autouse=True)
def temporary_folder(tmp_path_factory):
    """One of this process's own: what a test finds left behind there is not that of another run on the machine."""
    folder = str(tmp_path_factory.getbasetemp())  # above the tests' own: QGIS names layers in it otherwise than others
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", folder)
        patch.setattr(tempfile, "tempdir", None)
        yield folder


@pytest.fixture(scope="session")
def shared():
    """The rasters and reference results kept outside the repository."""
    folder = Path(os.environ.get("TILEDSEG_SHARED", ROOT.parent / "shared"))
    if not (folder / "data").is_dir():
        pytest.skip(f"the shared rasters are not at {folder}; TILEDSEG_SHARED can name their folder")
    return folder


@pytest.fixture(scope="session")
def data():
    return ROOT / "tests" / "data"


@pytest.fixture(scope="session")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("scratch")


@pytest.fixture(scope="session")
def qgis_application(tmp_path_factory):
    """QGIS with Processing in this process, in a fresh profile."""
    core = pytest.importorskip("qgis.core", reason="QGIS is not in this Python")
    os.environ.update(headless.environment(tmp_path_factory.mktemp("profile")))
    application = core.QgsApplication([], False)
    application.initQgis()
    sys.path.append(str(Path(application.pkgDataPath()) / "python" / "plugins"))
    from processing.core.Processing import Processing

    Processing.initialize()
    yield application
    gc.collect()  # what is left of QGIS's objects goes before what they need does
    application.exitQgis()


@pytest.fixture(scope="session")
def plugin(qgis_application):
    """The plugin, loaded as `qgis_process` loads it."""
    import tiledseg

    plugin = tiledseg.classFactory(None)
    plugin.initProcessing()
    yield plugin
    plugin.unload()


@pytest.fixture
def algorithm(plugin):
    """`tiledseg:segment`."""
    from qgis.core import QgsApplication

    return QgsApplication.processingRegistry().createAlgorithmById("tiledseg:segment")


@pytest.fixture(scope="session")
def qgis_process(tmp_path_factory):
    """Calls the command line in a profile of its own with the plugin enabled; TILEDSEG_PROFILE is one to copy."""
    like = Path(os.environ["TILEDSEG_PROFILE"]) if "TILEDSEG_PROFILE" in os.environ else None
    try:
        return headless.QgisProcess(tmp_path_factory.mktemp("command line profile"), like)
    except headless.HeadlessError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def small_raster(tmp_path_factory):
    """A 90 x 70 raster of 3 bands in a folder whose name has spaces and umlauts."""
    gdal = pytest.importorskip("osgeo.gdal")
    import numpy as np

    path = tmp_path_factory.mktemp("größe und ort") / "small raster.tif"
    rng = np.random.default_rng(2)
    patches = np.kron(rng.integers(20, 230, (3, 7, 9)), np.ones((1, 10, 10), int))
    values = (patches + rng.integers(0, 6, (3, 70, 90))).astype(np.uint8)
    dataset = gdal.GetDriverByName("GTiff").Create(str(path), 90, 70, 3, gdal.GDT_Byte)
    dataset.SetGeoTransform((500000.0, 10.0, 0.0, 6000000.0, 0.0, -10.0))
    dataset.WriteArray(values)
    dataset = None
    return path
