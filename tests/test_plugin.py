# SPDX-License-Identifier: GPL-2.0-or-later
"""The plugin and its provider: metadata, loading, and what users' scripts and models rely on."""

import configparser
import re
import shlex
import subprocess
import sys
from types import SimpleNamespace

import headless
import pytest
from conftest import ROOT

HEAVY = ("numpy", "scipy", "numba", "osgeo", "pathos", "dask")
CHILDREN = ("subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.exec", "os.system")

# id: (type, default, advanced, optional, least, most), the published interface
INTERFACE = {
    "INPUT": ("raster", None, False, False, None, None),
    "BANDS": ("band", None, False, True, None, None),
    "NUM_CLUSTERS": ("number", 60, False, False, 2, 65534),
    "MIN_PIXELS": ("number", 100, False, False, 1, None),
    "LEVELS": ("string", None, True, True, None, None),
    "DISTANCE_THRESHOLD": ("number", 100, False, True, 0, None),
    "STRETCH": ("boolean", True, False, False, None, None),
    "RSGISLIB_STRETCH": ("boolean", False, True, False, None, None),
    "SAMPLING": ("number", 100, True, False, 1, None),
    "KMEANS_MAX_ITERATIONS": ("number", 200, True, False, 1, None),
    "EXTENT": ("extent", None, False, True, None, None),
    "ZONES": ("layer", None, False, True, None, None),
    "ZONES_OUTSIDE": ("enum", "segment", True, True, None, None),
    "NODATA": ("string", None, True, True, None, None),
    "NODATA_RULE": ("enum", "any", True, False, None, None),
    "TILE_WIDTH": ("number", 2000, False, False, 16, None),
    "TILE_HEIGHT": ("number", 2000, False, False, 16, None),
    "TILES": ("source", None, False, True, None, None),
    "VALID_DATA_THRESHOLD": ("number", 0.3, False, False, 0, 1),
    "ENGINE": ("enum", "builtin", True, False, None, None),
    "PER_TILE_STATISTICS": ("boolean", False, True, False, None, None),
    "EXECUTION": ("enum", "auto", True, False, None, None),
    "WORKERS": ("number", 0, True, False, 0, None),
    "DASK_SCHEDULER": ("string", None, True, True, None, None),
    "WORK_DIR": ("file", None, True, True, None, None),
    "ASSIGN_CRS": ("crs", None, True, True, None, None),
    "CREATION_OPTIONS": ("string", None, True, True, None, None),
    "OUTPUT": ("rasterDestination", None, False, False, None, None),
    "MEAN_IMAGE": ("rasterDestination", None, False, True, None, None),
    "POLYGONS": ("vectorDestination", None, False, True, None, None),
    "S1TILES": ("sink", None, False, True, None, None),
}
OUTPUTS = {
    "OUTPUT": "outputRaster",
    "MEAN_IMAGE": "outputRaster",
    "POLYGONS": "outputVector",
    "S1TILES": "outputVector",
    "SEGMENT_COUNT": "outputNumber",
    "VALID_PIXELS": "outputNumber",
    "TILE_COUNT": "outputNumber",
    "EMPTY_TILES": "outputNumber",
    "SPARSE_TILES": "outputNumber",
    "UNDERSIZED_SEGMENTS": "outputNumber",
    "SECONDS": "outputNumber",
    "REPORT": "outputFile",
}


@pytest.fixture(scope="module")
def metadata():
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(ROOT / "metadata.txt", encoding="utf-8")
    return parser["general"]


def test_metadata_has_what_the_plugin_repository_wants(metadata):
    for key in ("name", "description", "about", "version", "author", "email", "tags", "category"):
        assert metadata[key].strip(), key
    for key in ("homepage", "tracker", "repository"):
        assert metadata[key].startswith("https://"), key
    assert "plugin" not in metadata["name"].lower()
    assert (ROOT / metadata["icon"]).is_file()
    assert (ROOT / "LICENSE").is_file()


def test_metadata_lets_qgis_3_and_4_and_qgis_process_load_it(metadata):
    assert metadata["hasProcessingProvider"] == "yes"
    assert metadata["qgisMinimumVersion"] == "3.22"
    assert metadata["qgisMaximumVersion"] == "4.99"
    assert metadata["supportsQt6"] == "True"  # the installer of QGIS 3.44 asks for it


def test_changelog_knows_the_version(metadata):
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(rf"^## \[({re.escape(metadata['version'])}|Unreleased)\]", changelog, re.MULTILINE)


def in_fresh_python(code, tmp_path):
    """Run code in a Python of its own, which reports children that are started and heavy modules."""
    report = f"""
import sys
from types import SimpleNamespace
sys.path.insert(0, {str(headless.plugin_path())!r})
before, children = set(sys.modules), []
sys.addaudithook(lambda event, arguments: children.append(event) if event in {CHILDREN!r} else None)
{code}
new = {{name.split('.')[0] for name in set(sys.modules) - before}}
print(sorted(new & set({HEAVY!r})), children)
"""
    finished = subprocess.run(
        [sys.executable, "-c", report], env=headless.environment(tmp_path), capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout.strip().splitlines()[-1]


def test_root_package_imports_nothing_heavy_and_no_qgis(tmp_path):
    code = "import tiledseg\nassert not any(name.startswith('qgis') for name in sys.modules)"
    assert in_fresh_python(code, tmp_path) == "[] []"


def test_engine_imports_without_qgis(tmp_path):
    code = (
        "import tiledseg.tiledseg_plugin.engine.segmentation\nassert not any(n.startswith('qgis') for n in sys.modules)"
    )
    in_fresh_python(code, tmp_path)


def test_loading_in_a_fresh_profile_imports_nothing_heavy_and_starts_no_process(tmp_path):
    pytest.importorskip("qgis.core", reason="QGIS is not in this Python")
    code = """
from qgis.core import QgsApplication
application = QgsApplication([], False)
application.initQgis()
before, children[:] = set(sys.modules), []
import tiledseg
plugin = tiledseg.classFactory(None)
plugin.initProcessing()
algorithm = QgsApplication.processingRegistry().createAlgorithmById("tiledseg:segment")
assert algorithm.canExecute()[0]
"""
    assert in_fresh_python(code, tmp_path) == "[] []"


def test_plugin_comes_and_goes_with_its_provider(plugin):
    import tiledseg
    from qgis.core import QgsApplication

    registry = QgsApplication.processingRegistry()
    plugin.unload()
    assert registry.providerById("tiledseg") is None
    plugin.unload()
    again = tiledseg.classFactory(None)
    again.initGui()
    again.initProcessing()
    assert registry.providerById("tiledseg") is not None
    again.unload()
    plugin.initProcessing()
    assert registry.providerById("tiledseg") is not None


def test_provider_says_what_it_is(plugin, metadata):
    provider = plugin.provider
    assert (provider.id(), provider.name()) == ("tiledseg", "Tiled segmentation")
    assert provider.versionInfo() == metadata["version"]
    assert not provider.icon().isNull()
    assert provider.svgIconPath().endswith(".svg")
    assert provider.defaultRasterFileExtension() == "tif"
    assert {"tif", "img", "kea"} <= set(provider.supportedOutputRasterLayerExtensions())


def test_algorithms_say_what_they_are(plugin):
    algorithms = plugin.provider.algorithms()
    names = [algorithm.name() for algorithm in algorithms]
    assert len(set(names)) == len(names)
    for algorithm in algorithms:
        assert re.fullmatch("[a-z0-9]+", algorithm.name())
        for text in ("displayName", "group", "groupId", "shortDescription", "shortHelpString", "helpUrl"):
            assert getattr(algorithm, text)(), (algorithm.name(), text)
        assert len(algorithm.tags()) > 3
        assert algorithm.svgIconPath().endswith(".svg")
        assert type(algorithm.createInstance()) is type(algorithm)
        assert algorithm.canExecute() == (True, "")


def test_every_parameter_is_explained_and_accepts_its_default(plugin):
    from qgis.core import QgsProcessingContext

    for algorithm in plugin.provider.algorithms():
        for definition in algorithm.parameterDefinitions():
            assert definition.description(), definition.name()
            assert len(definition.help()) > 20, definition.name()
            if not hasattr(algorithm, "FILE"):  # QGIS composes the names of a model's outputs
                assert definition.name() == definition.name().upper()
            if definition.defaultValue() is not None:
                assert definition.checkValueIsAcceptable(definition.defaultValue(), QgsProcessingContext())


@pytest.mark.parametrize("name", [name for name, row in INTERFACE.items() if row[0] == "number"])
def test_help_of_a_number_states_default_and_range(algorithm, name):
    _, default, _, _, least, most = INTERFACE[name]
    text = algorithm.parameterDefinition(name).help()
    assert f"Default: {default:g}." in text
    assert f"{least:g}" in text.split("Range:")[1]
    assert most is None or f"to {most}." in text


def test_interface_of_segment_is_the_published_one(algorithm):
    from qgis.core import QgsProcessingParameterDefinition, QgsProcessingParameterNumber

    flag = QgsProcessingParameterDefinition.Flag
    found = {}
    for definition in algorithm.parameterDefinitions():
        least = most = None
        if isinstance(definition, QgsProcessingParameterNumber):
            least, most = definition.minimum(), definition.maximum()
            most = None if most >= 2**31 - 1 else most
        found[definition.name()] = (
            definition.type(),
            definition.defaultValue(),
            bool(definition.flags() & flag.FlagAdvanced),
            bool(definition.flags() & flag.FlagOptional),
            least,
            most,
        )
    assert found == INTERFACE
    assert {output.name(): output.type() for output in algorithm.outputDefinitions()} == OUTPUTS


def test_enums_are_static_strings(algorithm):
    for name, options in (
        ("NODATA_RULE", ["any", "all"]),
        ("EXECUTION", ["auto", "processes", "threads", "serial", "dask"]),
    ):
        definition = algorithm.parameterDefinition(name)
        assert definition.usesStaticStrings()
        assert definition.options() == options


@pytest.mark.command
def test_command_line_lists_and_explains_the_algorithm(qgis_process):
    assert "tiledseg:segment" in qgis_process("list").stdout
    text = qgis_process("help", "tiledseg:segment").stdout
    assert "<p>" not in text and "<li>" not in text
    for name in INTERFACE:
        assert f"{name}: " in text


@pytest.mark.parametrize("threshold", [50.0, 0.1, 12345.6789, 1 / 3, 1e-7, None])
def test_copied_commands_say_what_the_panel_says(algorithm, threshold):
    from qgis.core import QgsProcessingContext, QgsProject
    from tiledseg.tiledseg_plugin.desktop.commands import as_python, as_qgis_process

    context = QgsProcessingContext()
    context.setProject(QgsProject.instance())
    values = {"INPUT": "/a b/it's.tif", "BANDS": [1, 3], "DISTANCE_THRESHOLD": threshold, "STRETCH": False,
              "NUM_CLUSTERS": 12, "CREATION_OPTIONS": "COMPRESS=ZSTD|BIGTIFF=YES", "OUTPUT": "$HOME/o.tif"}  # fmt: skip
    words = shlex.split(as_qgis_process(algorithm, values, context))
    assert words[:4] == ["qgis_process", "run", "tiledseg:segment", "--"]
    given = [tuple(word.split("=", 1)) for word in words[4:]]
    assert [value for name, value in given if name == "BANDS"] == ["1", "3"]
    line = dict(given)
    assert {name: line[name] for name in ("INPUT", "STRETCH", "NUM_CLUSTERS", "CREATION_OPTIONS", "OUTPUT")} == {
        "INPUT": "/a b/it's.tif", "STRETCH": "false", "NUM_CLUSTERS": "12",
        "CREATION_OPTIONS": "COMPRESS=ZSTD|BIGTIFF=YES", "OUTPUT": "$HOME/o.tif",
    }  # fmt: skip
    run = {}
    eval(as_python(algorithm, values, context), {"processing": SimpleNamespace(run=lambda _, said: run.update(said))})
    assert {name: run[name] for name in values if name != "DISTANCE_THRESHOLD"} == {
        name: value for name, value in values.items() if name != "DISTANCE_THRESHOLD"
    }
    for said in (line["DISTANCE_THRESHOLD"], run["DISTANCE_THRESHOLD"]):
        read = algorithm.value({"DISTANCE_THRESHOLD": said}, "DISTANCE_THRESHOLD", context)
        assert read == threshold


def test_what_a_preview_and_a_check_depend_on_is_followed_by_the_panel(qgis_application):
    from tiledseg.tiledseg_plugin.desktop.checks import TILING
    from tiledseg.tiledseg_plugin.desktop.live_preview import SHOWN
    from tiledseg.tiledseg_plugin.engine.parameters import PreflightParameters
    from tiledseg.tiledseg_plugin.engine.preview import DECIDING

    assert {name.upper() for name in DECIDING} - {"KERNELS"} <= set(SHOWN)
    counted = {name.upper() for name in vars(PreflightParameters(""))} - {
        "EXECUTION",
        "WORKERS",
        "OUTPUT",
        "TILES_SOURCE",
    }
    assert counted == set(TILING)


def test_packages_are_loaded_before_anything_is_checked_prepared_or_begun(plugin, monkeypatch):
    """Or else two threads that import at once can end in a deadlock error; see `engine.load`."""
    from qgis.core import QgsApplication, QgsProcessingContext, QgsProcessingFeedback
    from tiledseg.tiledseg_plugin import engine
    from tiledseg.tiledseg_plugin.desktop.tasks import EngineTask

    order = []
    monkeypatch.setattr(engine, "load", lambda: order.append("load"))
    algorithm = QgsApplication.processingRegistry().createAlgorithmById("tiledseg:preflight")
    monkeypatch.setattr(type(algorithm), "check", lambda *given: order.append("check"))
    monkeypatch.setattr(type(algorithm), "collect", lambda *given: order.append("collect"))
    algorithm.checkParameterValues({}, QgsProcessingContext())
    algorithm.prepareAlgorithm({}, QgsProcessingContext(), QgsProcessingFeedback())
    EngineTask("", lambda feedback: order.append("work")).run()
    assert order == ["load", "check", "load", "collect", "load", "work"]
