# SPDX-License-Identifier: GPL-2.0-or-later
"""The targets, each held against what was measured."""

from summary import PRODUCT, find

LARGE = ("full16", "full64")
MET, NOT_MET, NOT_MEASURED = "met", "not met", "not measured"


def judge(results):
    """The targets as dicts: what, target, measured (a text), value (a number or None), verdict.

    A ratio between two programs, which decides, is one of whole runs, each from its start as a process to its end.
    Beside it stand, where the peer says it, the ratio of its call alone (without imports and compilation) to the whole
    run of the product, which is the hardest comparison for the product, and the ratio of the two calls.
    """
    ten = next((scene["name"] for scene in results["scenes"] if scene["kind"] == "bands"), "bands16")
    found = []
    for scene in LARGE:
        found += [
            _faster(results, scene, "pyshepseg", 10),
            _faster(results, scene, "rsgislib", 8),
            _ratio(
                f"{_title(scene)}: whole run, times gdal_translate",
                results,
                scene,
                PRODUCT,
                "gdal",
                "at most 4",
                _most(4),
            ),
        ]
    found.append(_faster(results, ten, "pyshepseg", 6))
    plain = [scene for scene in ("full16", "full4", "full1") if find(results, scene, "qgis-plain")]
    found.append(_faster(results, plain[0] if plain else "full16", "pyshepseg", 1, "qgis-plain"))
    return [*found, _growth(results), _scaling(results), *_memory(results), _small(results)]


def _title(scene):
    for kind, words in (("full", "Mpx"), ("slanted", "Mpx slanted"), ("bands", "Mpx, 10 bands")):
        if scene.startswith(kind):
            return f"{scene[len(kind) :]} {words}"
    return scene


def _least(limit):
    return lambda value: value >= limit


def _most(limit):
    return lambda value: value <= limit


def _target(what, target, value=None, test=None, measured="", why=""):
    if value is None:
        return {"what": what, "target": target, "value": None, "measured": why or "no runs", "verdict": NOT_MEASURED}
    verdict = MET if test(value) else NOT_MET
    return {"what": what, "target": target, "value": value, "measured": measured, "verdict": verdict}


def _ratio(what, results, scene, above, below, target, test):
    """Seconds of one through seconds of the other."""
    over, under = find(results, scene, above), find(results, scene, below)
    if not over or not under:
        lacking = above if not over else below
        return _target(what, target, why=f"no run of {lacking} on {scene}")
    value = over["seconds"] / under["seconds"]
    return _target(what, target, value, test, f"{value:.2f} x")


def _faster(results, scene, peer, least, ours=PRODUCT):
    name = {"pyshepseg": "pyshepseg tiled", "rsgislib": "RSGISLib untiled"}[peer]
    plain = ", plain kernels" if ours != PRODUCT else ""
    what = f"{_title(scene)}{plain}: faster than {name}"
    target = _ratio(what, results, scene, peer, ours, f"at least {least} x", _least(least))
    theirs, own = find(results, scene, peer), find(results, scene, ours)
    if theirs and own and theirs["call_seconds"]:
        target["warm_ratio"] = theirs["call_seconds"] / own["seconds"]
        target["measured"] += f" ({target['warm_ratio']:.2f} x by its call alone"
        if own["call_seconds"]:
            target["call_ratio"] = theirs["call_seconds"] / own["call_seconds"]
            target["measured"] += f", {target['call_ratio']:.2f} x call against call"
        target["measured"] += ")"
    return target


def _growth(results):
    what, target = "time a pixel, 4 to 64 Mpx (engine, again in the same process)", "within 15 %"
    small, large = (find(results, scene, "engine-warm") for scene in ("full4", "full64"))
    if not small or not large:
        return _target(what, target, why="needs 4 and 64 Mpx")
    change = large["call_seconds"] / 64 / (small["call_seconds"] / 4) - 1
    return _target(what, target, change, lambda value: abs(value) <= 0.15, f"{change:+.0%}")


def _scaling(results):
    what = "64 Mpx, engine alone: 2 workers against 1"
    if results["settings"]["workers"] != 2:
        return _target(what, "at least 1.75 x", why=f"the runs are with {results['settings']['workers']} workers")
    return _ratio(what, results, "full64", "engine-1", "engine", "at least 1.75 x", _least(1.75))


def _memory(results):
    whole, processes = find(results, "full64", PRODUCT), find(results, "full64", "engine-processes")
    lines = []
    for what, target, limit, value in (
        ("parent (with QGIS, and with threads for workers)", "at most 900 MB", 900e6, whole and whole["peak_memory"]),
        ("a worker process", "at most 400 MB", 400e6, processes and next(iter(processes["child_peaks"]), None)),
    ):
        measured = f"{value / 1e6:.0f} MB" if value else ""
        lines.append(_target(f"64 Mpx, peak memory: {what}", target, value, _most(limit), measured, "needs 64 Mpx"))
    return lines


def _small(results):
    entry = find(results, "full1", "engine-warm")
    value = entry and entry["seconds"]
    measured = f"{value:.2f} s" if value else ""
    return _target(
        "1 Mpx, engine alone after warm-up", "under 0.5 s", value, lambda one: one < 0.5, measured, "needs 1 Mpx"
    )
