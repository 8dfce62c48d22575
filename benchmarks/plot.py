# SPDX-License-Identifier: GPL-2.0-or-later
"""Draw the results: throughput of all contenders over the size of the scene, and where the product's time goes.

usage: plot.py bench.json bench.png
"""

import itertools
import json
import sys

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402
from matplotlib.ticker import FuncFormatter, NullLocator  # noqa: E402

COLOURS = {  # Okabe and Ito's palette, which colour-blind readers can tell apart
    "qgis": "#d55e00",
    "qgis-plain": "#e69f00",
    "pyshepseg": "#0072b2",
    "pyshepseg-threads": "#56b4e9",
    "rsgislib": "#009e73",
    "otb": "#cc79a7",
    "grass": "#8c6d31",
    "gdal": "#777777",
}
STAGE_COLOURS = ("#bbbbbb", "#56b4e9", "#d55e00", "#009e73", "#e69f00", "#0072b2", "#cc79a7", "#f0e442", "#8c6d31")


def main():
    source, target = sys.argv[1:3]
    with open(source, encoding="utf-8") as file:
        results = json.load(file)
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.8), gridspec_kw={"width_ratios": [3, 2]})
    draw_throughput(left, results)
    draw_stages(right, results)
    here = results["machine"]
    figure.text(
        0.01, 0.01, f"{here['processor']}, {here['cores']} cores; medians of whole runs", size=8, color="#555555"
    )
    figure.tight_layout(rect=(0, 0.03, 1, 1))
    figure.savefig(target, dpi=130)


def full_scenes(results):
    """{name: megapixels} of the plain scenes."""
    return {scene["name"]: scene["megapixels"] for scene in results["scenes"] if scene["kind"] == "full"}


def draw_throughput(axes, results):
    sizes = full_scenes(results)
    labels = {contender["name"]: contender["label"] for contender in results["contenders"]}
    drawn = []
    for name, colour in COLOURS.items():
        points = sorted(
            (sizes[entry["scene"]], entry["megapixels_per_second"])
            for entry in results["summary"]
            if entry["contender"] == name and entry["scene"] in sizes and entry["seconds"]
        )
        if not points:
            continue
        style = {"linestyle": "--"} if name == "gdal" else {"linewidth": 2.6 if name == "qgis" else 1.6}
        axes.plot(*zip(*points), marker="o", markersize=4, color=colour, **style)
        drawn.append((points[-1], labels[name], colour))
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks(list(sizes.values()))
    axes.xaxis.set_minor_locator(NullLocator())
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, place: f"{value:g}"))
    axes.set_xlabel("size of the scene, million pixels")
    axes.set_title("Throughput, million pixels a second", loc="left", size=11)
    axes.grid(True, axis="y", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    _tidy(axes)
    _write_labels(axes, drawn)


def _write_labels(axes, drawn):
    """Names at the ends of the lines, in a column beside the axes, kept apart."""
    to_axes = axes.transData + axes.transAxes.inverted()
    places = sorted((to_axes.transform(point)[1], point, label, colour) for point, label, colour in drawn)
    height = -1.0
    for wanted, point, label, colour in places:
        height = max(wanted, height + 0.06)
        axes.annotate(
            label,
            xy=point,
            xytext=(1.04, height),
            textcoords="axes fraction",
            color=colour,
            size=9,
            va="center",
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.5, "alpha": 0.5},
        )


def draw_stages(axes, results):
    sizes = full_scenes(results)
    entries = [
        (sizes[entry["scene"]], entry)
        for entry in results["summary"]
        if entry["contender"] == "qgis" and entry["scene"] in sizes and entry["seconds"]
    ]
    entries.sort(key=lambda pair: pair[0])
    lowest = [0.0] * len(entries)
    stages = list(dict.fromkeys(stage for _, entry in entries for stage in entry["stages"]))
    for stage, colour in zip(["start", *stages], itertools.cycle(STAGE_COLOURS)):
        heights = [
            (entry["start_seconds"] if stage == "start" else entry["stages"].get(stage, 0)) / size
            for size, entry in entries
        ]
        label = stage.replace("_", " ")
        axes.bar(range(len(entries)), heights, bottom=lowest, color=colour, width=0.6, label=label)
        lowest = [low + height for low, height in zip(lowest, heights)]
    for place, (_, entry) in enumerate(entries):
        axes.text(place, lowest[place], f"{entry['seconds']:.1f} s", ha="center", va="bottom", size=9)
    axes.set_xlim(-0.6, max(len(entries), 3) - 0.4)
    axes.set_xticks(range(len(entries)))
    axes.set_xticklabels([f"{size:g}" for size, _ in entries])
    axes.set_xlabel("size of the scene, million pixels")
    axes.set_title("Tiled Segmentation: seconds a million pixels", loc="left", size=11)
    handles, names = axes.get_legend_handles_labels()
    axes.legend(handles[::-1], names[::-1], loc="upper left", bbox_to_anchor=(1, 1), frameon=False, fontsize=9)
    _tidy(axes)


def _tidy(axes):
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


if __name__ == "__main__":
    main()
