# SPDX-License-Identifier: GPL-2.0-or-later
"""Results as tables for a terminal, which are Markdown as well."""

from summary import PRODUCT


def table(header, rows):
    """Columns as wide as needed; the first is aligned to the left, the others to the right."""
    rows = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[place]) for row in [header, *rows]) for place in range(len(header))]

    def line(row):
        cells = [
            cell.rjust(width) if place else cell.ljust(width) for place, (cell, width) in enumerate(zip(row, widths))
        ]
        return f"| {' | '.join(cells)} |"

    rule = ["-" * width if not place else "-" * (width - 1) + ":" for place, width in enumerate(widths)]
    return "\n".join([line(header), line(rule), *map(line, rows)])


def contenders_table(contenders):
    """Who takes part and who does not."""
    lines = []
    for contender in contenders:
        version = f" {contender.version}" if contender.version else ""
        state = f"missing: {contender.missing}" if contender.missing else contender.settings or "ready"
        lines.append(f"  {contender.label + version:<50} {state}")
    return "\n".join(["Contenders:", *lines])


def scene_table(results, scene):
    """Medians of a scene, the fastest first."""
    labels = {contender["name"]: contender["label"] for contender in results["contenders"]}
    entries = [entry for entry in results["summary"] if entry["scene"] == scene["name"]]
    entries.sort(key=lambda entry: entry["seconds"] or float("inf"))
    header = ["", "seconds", "least-most", "runs", "x product", "Mpx/s", "start s", "CPU s", "MB", "MB of others"]
    return table(header, [_row(labels, entry) for entry in entries])


def _row(labels, entry):
    label = labels[entry["contender"]]
    if not entry["seconds"]:
        return [label, entry["failure"], *[""] * 8]
    start = entry["start_seconds"]
    return [
        f"**{label}**" if entry["contender"] == PRODUCT else label,
        f"{entry['seconds']:.2f}",
        f"{entry['least']:.2f}-{entry['most']:.2f}",
        entry["runs"],
        f"{entry['ratio']:.2f}" if entry["ratio"] else "",
        f"{entry['megapixels_per_second']:.2f}",
        f"{start:.2f}" if start else "",
        f"{entry['cpu_seconds']:.1f}",
        f"{entry['peak_memory'] / 1e6:.0f}",
        _children(entry["child_peaks"]),
    ]


def _children(peaks):
    large = [f"{peak / 1e6:.0f}" for peak in peaks if peak >= 20e6]
    return ", ".join(large[:4]) + (" ..." if len(large) > 4 else "")


def stages_table(results):
    """What the stages of the product took; start-up is what its own clock does not see."""
    labels = {contender["name"]: contender["label"] for contender in results["contenders"]}
    entries = [entry for entry in results["summary"] if entry["seconds"] and entry["stages"]]
    names = list(dict.fromkeys(stage for entry in entries for stage in entry["stages"]))
    rows = []
    for entry in entries:
        stages = [f"{entry['stages'].get(name, 0):.2f}" for name in names]
        start = f"{entry['start_seconds']:.2f}" if entry["start_seconds"] else ""
        rows.append([f"{entry['scene']}, {labels[entry['contender']]}", start, *stages, f"{entry['seconds']:.2f}"])
    return table(["", "start", *(name.replace("_", " ") for name in names), "whole run"], rows)


def targets_table(results):
    """Target, measured value and verdict."""
    rows = [[target[key] for key in ("what", "target", "measured", "verdict")] for target in results["targets"]]
    return table(["", "target", "measured", ""], rows)
