# SPDX-License-Identifier: GPL-2.0-or-later
"""The engine alone: segment a scene without QGIS, once or several times, and tell how long it took."""

import argparse
import json
import statistics
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

from headless import plugin_path  # noqa: E402


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scene")
    parser.add_argument("output")
    parser.add_argument("--execution", default="auto")
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--again", type=int, default=0, help="further runs, of which the median is printed")
    given = parser.parse_args()

    sys.path.insert(0, str(plugin_path()))
    from tiledseg.tiledseg_plugin.engine.parameters import SegmentParameters
    from tiledseg.tiledseg_plugin.engine.progress import Feedback
    from tiledseg.tiledseg_plugin.engine.segmentation import segment

    parameters = SegmentParameters(given.scene, given.output, execution=given.execution, workers=given.workers)
    seconds, results = [], []
    for _ in range(1 + given.again):
        started = time.monotonic()
        results.append(segment(parameters, Feedback()))
        seconds.append(time.monotonic() - started)
    results = results[1:] or results  # the first one loads the kernels
    details = {
        "call_seconds": statistics.median(seconds[1:] or seconds),
        "stages": {stage: statistics.median(result.stages[stage] for result in results) for stage in results[0].stages},
        "segments": results[-1].segment_count,
    }
    Path("details.json").write_text(json.dumps(details))


if __name__ == "__main__":
    main()
