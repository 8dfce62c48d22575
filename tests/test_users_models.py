# SPDX-License-Identifier: GPL-2.0-or-later
"""Models of users' own: every algorithm of the plugin as a step, by what the modeler itself says of it."""

import os

import pytest

core = pytest.importorskip("qgis.core", reason="QGIS is not in this Python")
pytestmark = pytest.mark.qgis

# What every step had to name when the algorithm was first published; nothing may ever be added to it.
TILING = ("INPUT", "NODATA_RULE", "TILE_WIDTH", "TILE_HEIGHT", "VALID_DATA_THRESHOLD", "WORKERS")
NUMBERS = ("NUM_CLUSTERS", "MIN_PIXELS", "TILE_WIDTH", "TILE_HEIGHT", "VALID_DATA_THRESHOLD")
K_MEANS = ("NUM_CLUSTERS", "MIN_PIXELS", "STRETCH", "RSGISLIB_STRETCH", "SAMPLING", "KMEANS_MAX_ITERATIONS")
MANDATORY = {
    "segment": (*TILING, *K_MEANS, "ENGINE", "PER_TILE_STATISTICS", "EXECUTION"),
    "preflight": TILING,
    "statistics": ("SEGMENTS", "VALUES", "STATISTICS", "UPDATE_RAT"),
    "rasterise": ("SEGMENTS", "COLUMN"),
    "meanimage": ("SEGMENTS", "VALUES"),
    "polygons": ("SEGMENTS", "SIMPLIFY"),
    "levels": ("SEGMENTS", "LEVEL"),
    "parameters": (
        *("INPUT", "NUM_CLUSTERS", "MIN_PIXELS", "STRETCH", "WINDOWS", "WINDOW_SIZE", "CRITERION"),
        *("SAMPLING", "KMEANS_MAX_ITERATIONS", "NODATA_RULE", "WORKERS"),
    ),
    "checksegmentstatistics": ("INPUT", *NUMBERS),
    "coloursegments": ("SEGMENTS", "VALUES", "STATISTICS", "COLUMN"),
    "status": (),
}
LAYERS = ("raster", "source", "vector", "multilayer")  # types of what has to come from somewhere


def algorithms():
    provider = core.QgsApplication.processingRegistry().providerById("tiledseg")
    return [algorithm for algorithm in provider.algorithms() if not algorithm.flags() & algorithm.FlagHideFromModeler]


def static(value):
    return core.QgsProcessingModelChildParameterSource.fromStaticValue(value)


def from_input(name):
    return core.QgsProcessingModelChildParameterSource.fromModelParameter(name)


def is_optional(definition):
    return bool(definition.flags() & core.QgsProcessingParameterDefinition.FlagOptional)


def add_step(model, algorithm, sources, outputs=()):
    """Add a step with values and model outputs to a model; returns what the modeler says against it."""
    child = core.QgsProcessingModelChildAlgorithm(algorithm.id())
    child.setChildId(algorithm.name())
    for name, source in sources.items():
        child.addParameterSources(name, [source])
    ends = {}
    for name in outputs:
        end = core.QgsProcessingModelOutput(name, f"{algorithm.name()} {name}")
        end.setChildId(child.childId())
        end.setChildOutputName(name)
        ends[name] = end
    child.setModelOutputs(ends)
    model.addChildAlgorithm(child)
    return model.validateChildAlgorithm(child.childId())


def new_model():
    return core.QgsProcessingModelAlgorithm("own", "own", "own")


def add_input(model, definition):
    model.addModelParameter(definition.clone(), core.QgsProcessingModelParameter(definition.name()))
    return from_input(definition.name())


def destinations(algorithm):
    return [definition.name() for definition in algorithm.parameterDefinitions() if definition.isDestination()]


def saved_and_opened(model, folder):
    path = str(folder / "own.model3")
    assert model.toFile(path)
    opened = core.QgsProcessingModelAlgorithm()
    assert opened.fromFile(path)
    return opened


def test_step_of_an_earlier_version_is_valid(plugin, tmp_path):
    """Parameters that an algorithm gets later must be optional, or every model that was saved before has a red step.

    QGIS 3.22 calls one that is not optional mandatory, its default notwithstanding.
    """
    for algorithm in algorithms():
        model, sources = new_model(), {}
        for definition in algorithm.parameterDefinitions():
            if definition.name() in MANDATORY.get(algorithm.name(), ()):
                default = definition.defaultValue()
                sources[definition.name()] = add_input(model, definition) if default is None else static(default)
        if algorithm.name() in MANDATORY:
            assert add_step(model, algorithm, sources, destinations(algorithm)) == (True, []), algorithm.id()


@pytest.mark.parametrize("empty", [None, ""])
def test_step_with_every_value_as_it_is_proposed_is_valid(plugin, tmp_path, empty):
    """As the modeler saves a step whose dialog has been accepted: optional ones are named, with nothing in them."""
    for algorithm in algorithms():
        model, sources = new_model(), {}
        for definition in algorithm.parameterDefinitions():
            if definition.isDestination():
                continue
            if definition.type() in LAYERS and not is_optional(definition):
                sources[definition.name()] = add_input(model, definition)
            else:
                default = definition.defaultValue()
                sources[definition.name()] = static(empty if default is None else default)
        assert add_step(model, algorithm, sources, destinations(algorithm)) == (True, []), algorithm.id()
        assert saved_and_opened(model, tmp_path).validate() == (True, []), algorithm.id()


def test_step_with_every_parameter_as_an_input_of_the_model_is_valid(plugin, tmp_path):
    for algorithm in algorithms():
        model = new_model()
        sources = {
            definition.name(): add_input(model, definition)
            for definition in algorithm.parameterDefinitions()
            if not definition.isDestination()
        }
        assert add_step(model, algorithm, sources, destinations(algorithm)) == (True, []), algorithm.id()
        assert saved_and_opened(model, tmp_path).validate() == (True, []), algorithm.id()


def test_all_algorithms_in_one_model_with_all_outputs_run(plugin, small_raster, tmp_path):
    import processing

    by_name = {algorithm.name(): algorithm for algorithm in algorithms()}
    model = new_model()
    raster = add_input(model, core.QgsProcessingParameterRasterLayer("INPUT", "Raster"))
    segments = core.QgsProcessingModelChildParameterSource.fromChildOutput("segment", "OUTPUT")
    polygons = core.QgsProcessingModelChildParameterSource.fromChildOutput("polygons", "OUTPUT")
    given = {"INPUT": raster, "SEGMENTS": segments, "VALUES": raster, "MIN_PIXELS": static(10), "REFERENCE": polygons}
    given["LEVELS"] = static("500")
    first, models = ["segment", "polygons"], {"checksegmentstatistics", "coloursegments"}
    steps = [*first, *sorted(set(by_name) - {*first, *models})]
    for name in steps:
        definitions = by_name[name].parameterDefinitions()
        defaults = {d.name(): static(d.defaultValue()) for d in definitions if d.defaultValue() is not None}
        sources = {**defaults, **{d.name(): given[d.name()] for d in definitions if d.name() in given}}
        if {"INPUT", "SEGMENTS"} & set(sources):
            assert add_step(model, by_name[name], sources, destinations(by_name[name])) == (True, []), name
    opened = saved_and_opened(model, tmp_path)
    assert opened.validate() == (True, [])
    ends = {"rasterDestination": ".tif", "fileDestination": ".html"}
    asked_for = [definition for definition in opened.parameterDefinitions() if definition.isDestination()]
    paths = {d.name(): str(tmp_path / f"{i}{ends.get(d.type(), '.gpkg')}") for i, d in enumerate(asked_for)}
    processing.run(opened, {"INPUT": str(small_raster), **paths})
    assert len(paths) >= 8 and all(os.path.getsize(path) for path in paths.values())
