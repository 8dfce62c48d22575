# SPDX-License-Identifier: GPL-2.0-or-later
"""GRASS i.segment, within a session of GRASS: import a scene, segment it, export the segments.

usage: run_grass.py SCENE OUTPUT BANDS
"""

import json
import subprocess
import sys
import time
from pathlib import Path


def grass(module, *arguments):
    subprocess.run([module, "--quiet", *arguments], check=True)


def main():
    scene, output, bands = sys.argv[1], sys.argv[2], int(sys.argv[3])
    grass("r.in.gdal", f"input={scene}", "output=scene", "memory=1000")
    names = [f"scene.{band}" for band in range(1, bands + 1)] if bands > 1 else ["scene"]
    grass("g.region", f"raster={names[0]}")
    grass("i.group", "group=scene", f"input={','.join(names)}")
    started = time.monotonic()
    grass("i.segment", "group=scene", "output=segments", "threshold=0.05", "minsize=100", "memory=2000")
    details = {"call_seconds": time.monotonic() - started}
    options = "createopt=TILED=YES,COMPRESS=DEFLATE"
    grass("r.out.gdal", "-c", "input=segments", f"output={output}", "type=UInt32", options)
    Path("details.json").write_text(json.dumps(details))


if __name__ == "__main__":
    main()
