# SPDX-License-Identifier: GPL-2.0-or-later
"""Medians of the runs: what a contender took on a scene."""

from collections import defaultdict
from statistics import median

PRODUCT = "qgis"


def summarise(results):
    """One entry for each scene and contender that has at least one run.

    Returns
    -------
    list of dict: scene, contender, runs; median, least and most seconds; call_seconds, the time without start-up,
    and start_seconds, the rest, where known; megapixels_per_second; ratio, to the whole run of the product (above 1:
    slower); cpu_seconds; peak_memory of the first process and child_peaks of the others, bytes, each the largest of
    all runs; stages; failure
    """
    megapixels = {scene["name"]: scene["megapixels"] for scene in results["scenes"]}
    grouped = defaultdict(list)
    for record in results["records"]:
        grouped[record["scene"], record["contender"]].append(record)
    entries = [_entry(*key, megapixels[key[0]], records) for key, records in grouped.items()]
    product = {entry["scene"]: entry["seconds"] for entry in entries if entry["contender"] == PRODUCT}
    for entry in entries:
        base = product.get(entry["scene"])
        entry["ratio"] = entry["seconds"] / base if base and entry["seconds"] else None
    return entries


def _entry(scene, contender, megapixels, records):
    good = [record for record in records if not record["failure"]]
    entry = {"scene": scene, "contender": contender, "runs": len(good), "seconds": None}
    entry["failure"] = next((record["failure"] for record in records if record["failure"]), "")
    if not good:
        return entry
    seconds = [record["seconds"] for record in good]
    calls = [record["details"]["call_seconds"] for record in good if "call_seconds" in record["details"]]
    stages = [record["details"].get("stages", {}) for record in good]
    entry.update(
        seconds=median(seconds),
        least=min(seconds),
        most=max(seconds),
        call_seconds=median(calls) if calls else None,
        start_seconds=median(seconds) - median(calls) if calls else None,
        megapixels_per_second=megapixels / median(seconds),
        cpu_seconds=median(record["cpu_seconds"] for record in good),
        peak_memory=max(record["peak_memory"] for record in good),
        child_peaks=_child_peaks(good),
        stages={stage: median(one[stage] for one in stages) for stage in stages[0]},
        segments=good[0]["details"].get("segments"),
    )
    return entry


def _child_peaks(records):
    """Of the largest, second largest ... child, the largest of all runs."""
    peaks = [[child["peak_memory"] for child in record["children"]] for record in records]
    longest = max(map(len, peaks))
    return [max(one[place] for one in peaks if len(one) > place) for place in range(longest)]


def find(results, scene, contender):
    """The entry that has seconds, or None."""
    for entry in results["summary"]:
        if entry["scene"] == scene and entry["contender"] == contender and entry["seconds"]:
            return entry
    return None
