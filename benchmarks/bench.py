# SPDX-License-Identifier: GPL-2.0-or-later
"""`make bench`: run the product and its peers side by side, alternating, and tell how they compare.

Scenes are made from a small raster: --raster, else the Sentinel-2 raster of the shared folder (TILEDSEG_SHARED, or
../shared), else one that is drawn. Peers are found on PATH and by what Python can import, and by these variables:
PYSHEPSEG_PATH and PYSHEPSEG_THREADS_PATH, folders that hold the package pyshepseg (a version with threads in the
second), and RSGISLIB_ENV, a shell file that sets the environment of RSGISLib. Peers that are not there are
named with the reason. Results: bench.json and bench.png in --folder.
"""

import argparse
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "scripts"))

import first_runs  # noqa: E402
import layouts  # noqa: E402
from contenders import Contender  # noqa: E402
from headless import BUILD  # noqa: E402
from measure import measure  # noqa: E402
from peers import NAMES, peers  # noqa: E402
from product import VARIANTS, product  # noqa: E402
from scenes import Scene  # noqa: E402
from summary import summarise  # noqa: E402
from tables import contenders_table, scene_table, stages_table, targets_table  # noqa: E402
from targets import judge  # noqa: E402

SHARED_RASTER = "data/sen2_20210527_aber_10band.tif"
SHARED_BANDS = (8, 9, 3)
MOST_SPECIAL = 16  # Mpx of the scenes with a slanted footprint and with ten bands


def arguments(given=None):
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--sizes", type=float, nargs="+", default=[1, 4, 16, 64], help="of the scenes, Mpx (default: 1 4 16 64)"
    )
    parser.add_argument("--runs", type=int, default=3, help="of each contender on each scene (default: 3)")
    parser.add_argument(
        "--peers",
        nargs="*",
        default=list(NAMES),
        choices=[*NAMES, "none"],
        metavar="PEER",
        help=f"which to run, or none (default: {' '.join(NAMES)})",
    )
    parser.add_argument(
        "--variants",
        nargs="+",
        default=list(VARIANTS),
        choices=VARIANTS,
        metavar="VARIANT",
        help=f"of the product (default: {' '.join(VARIANTS)})",
    )
    parser.add_argument("--no-warm-up", action="store_true", help="do not run each contender once before, untimed")
    parser.add_argument("--layouts", action="store_true", help="only: the largest full scene in other layouts of files")
    parser.add_argument("--no-first", action="store_true", help="leave out first runs, with nothing compiled yet")
    parser.add_argument("--no-slanted", action="store_true", help="leave out the scene with a slanted footprint")
    parser.add_argument("--no-bands", action="store_true", help="leave out the scene with ten bands")
    parser.add_argument("--workers", type=int, default=cores(), help="of the product (default: cores)")
    parser.add_argument("--slow-most", type=float, default=4, help="largest scene for OTB and GRASS, Mpx (default: 4)")
    parser.add_argument(
        "--plain-most", type=float, default=16, help="largest scene for the plain kernels, Mpx (default: 16)"
    )
    parser.add_argument(
        "--once-above", type=float, default=60, help="what takes longer is run once only, s (default: 60)"
    )
    parser.add_argument("--time-limit", type=float, default=900, help="of a run, s (default: 900)")
    parser.add_argument("--raster", default=os.environ.get("RASTER", ""), help="to make the scenes from")
    parser.add_argument("--raster-bands", type=int, nargs="+", help="of it (default: the first three)")
    parser.add_argument("--folder", type=Path, default=BUILD / "bench", help="for scenes and results")
    return parser.parse_args(given)


def cores():
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def source_of(given):
    """The raster to make scenes from and its bands; empty for a drawn one."""
    if given.raster:
        return str(Path(given.raster).expanduser().resolve()), tuple(given.raster_bands or (1, 2, 3))
    shared = Path(os.environ.get("TILEDSEG_SHARED", HERE.parent.parent / "shared")) / SHARED_RASTER
    return (str(shared.resolve()), SHARED_BANDS) if shared.exists() else ("", (1, 2, 3))


def scenes_of(given):
    """What is to be segmented."""
    source, bands = source_of(given)
    found = [Scene("full", size, source, bands) for size in sorted(given.sizes)]
    special = max([size for size in given.sizes if size <= MOST_SPECIAL], default=min(given.sizes))
    if not given.no_slanted:
        found.append(Scene("slanted", special, source, bands))
    if not given.no_bands:
        ten = tuple(range(1, 11)) if not given.raster else tuple((bands * 10)[:10])
        found.append(Scene("bands", special, source, ten))
    return found


def make_scenes(scenes, folder):
    """The files, {scene name: path}, made where they are not there yet."""
    paths = {}
    for scene in scenes:
        path = paths[scene.name] = scene.path(folder)
        if not path.exists():
            print(f"Making the scene {scene.title} ...", flush=True)
            words = [path, scene.kind, scene.megapixels, "--source", scene.source, "--seed", scene.seed]
            words += ["--source-bands", *scene.source_bands]
            subprocess.run([sys.executable, HERE / "scenes.py", *map(str, words)], check=True)
    return paths


class Race:
    """Runs contenders on scenes; keeps all records, and leaves out who has failed."""

    def __init__(self, folder, paths, time_limit, once_above):
        self.folder, self.paths = folder, paths
        self.time_limit, self.once_above = time_limit, once_above
        self.records = []
        self._failed = {}  # contender: why; larger scenes would only take longer to fail
        self._slow = set()

    def warm_up(self, contenders, scene):
        """Run what compiles and caches once, untimed."""
        for contender in contenders:
            if contender.takes_part(scene):
                self._measure(contender, scene)

    def run(self, contenders, scene, runs):
        """All contenders in turn, so many times; each round starts with another one."""
        racing = [contender for contender in contenders if contender.takes_part(scene)]
        for number in range(runs):
            first = number % max(1, len(racing))
            for contender in racing[first:] + racing[:first]:
                if contender.name not in self._failed and (contender.name, scene.name) not in self._slow:
                    self._record(contender, scene, number)

    def _record(self, contender, scene, number):
        measured, details, digest, failure = self._measure(contender, scene, digested=number == 0)
        if failure:
            self._failed[contender.name] = failure
        if measured.seconds > self.once_above:
            self._slow.add((contender.name, scene.name))
        seconds = details.get("call_seconds", measured.seconds) if contender.by_call else measured.seconds
        said = failure or f"{seconds:.2f} s"
        print(f"  {scene.name:<12}run {number + 1}  {contender.label:<42}{said}", flush=True)
        self.records.append(
            {
                "scene": scene.name,
                "contender": contender.name,
                "run": number + 1,
                "seconds": seconds,
                "process_seconds": measured.seconds,
                "cpu_seconds": measured.cpu_seconds,
                "peak_memory": measured.peak_memory,
                "children": measured.children,
                "failure": failure,
                "said": measured.said if failure else "",
                "details": details,
                "digest": digest,
            }
        )

    def _measure(self, contender, scene, digested=False):
        folder = self.folder / contender.name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        command = contender.command(self.paths[scene.name], scene, folder / "segments")
        environment = with_byte_code(contender.environment, self.folder / "byte-code")
        measured = measure(command, environment, folder, self.time_limit)
        details, digest, failure = {}, "", measured.failure()
        if not failure:
            try:
                details = contender.details(folder)
                digest = digest_of(folder / contender.output) if digested and contender.output else ""
            except (OSError, ValueError, KeyError, subprocess.CalledProcessError) as error:
                failure = f"it left no result: {error}"
        shutil.rmtree(folder, ignore_errors=True)
        return measured, details, digest, failure


def with_byte_code(environment, folder):
    """The environment of a command whose Python keeps the byte code of all modules, but not beside them.

    Where Python cannot write beside the modules, or is told not to, each start compiles those that were installed
    without byte code anew; as QGIS's own are on Debian, that would be a part of every run of the product.
    """
    kept = {name: value for name, value in (environment or os.environ).items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "PYTHONPYCACHEPREFIX": str(folder)}


def digest_of(path):
    """A fingerprint of a raster's pixels, taken in another process."""
    done = subprocess.run([sys.executable, HERE / "digest.py", path], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def machine():
    """What this is measured on."""
    model = ""
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    facts = {"processor": model or platform.machine(), "cores": cores(), "memory": memory}
    return {**facts, "system": platform.platform(), "python": platform.python_version(), "load": os.getloadavg()[0]}


def main(given=None):
    given = arguments(given)
    folder = given.folder.resolve()
    here = machine()
    print(f"{here['processor']}, {here['cores']} cores, {here['memory'] / 1e9:.0f} GB; load {here['load']:.1f}")
    if here["load"] > 0.5:
        print("The machine is busy with something else: times will be too long and will scatter.")
    scenes = scenes_of(given)
    paths = make_scenes(scenes, folder / "scenes")
    if given.layouts:
        return _layouts(scenes, paths, folder / "layouts")
    ours = product(given.variants, folder / "profile", given.workers, given.plain_most)
    names = [] if "none" in given.peers else given.peers
    others = peers(names, given.workers, given.slow_most)
    contenders = ours + others
    print(contenders_table(contenders))

    started = time.time()
    race = Race(folder / "runs", paths, given.time_limit, given.once_above)
    stopped, first = False, {}
    try:
        if not given.no_warm_up:
            print(f"Warming up: each variant and peer once, untimed, on {scenes[0].title}.", flush=True)
            race.warm_up(contenders, scenes[0])
            first_runs.wait_for_kernels()
        for scene in scenes:
            print(f"{scene.title}:", flush=True)
            race.run(contenders, scene, given.runs)
        first = {} if given.no_first else _first_runs(given, ours, scenes, paths)
    except KeyboardInterrupt:
        stopped = True
        print("Stopped; these are the results so far.")

    results = {
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(started)),
        "seconds": time.time() - started,
        "stopped": stopped,
        "machine": here,
        "settings": {key: str(value) if isinstance(value, Path) else value for key, value in vars(given).items()},
        "scenes": [_plain(scene) for scene in scenes],
        "contenders": [_plain_contender(contender) for contender in contenders],
        "records": race.records,
        "first_runs": first,
    }
    results["summary"] = summarise(results)
    results["targets"] = judge(results) + first_runs.judge(results)
    finish(results, folder)
    return results


def _layouts(scenes, paths, folder):
    scene = max(
        (scene for scene in scenes if scene.kind == "full" and scene.megapixels <= 16), key=lambda one: one.side
    )
    print(f"{scene.title}, in layouts that files come in:", flush=True)
    first_runs.wait_for_kernels()
    rows = layouts.measure(paths[scene.name], folder / scene.name)
    print(f"\n{layouts.layouts_table(rows)}")
    return rows


def _first_runs(given, ours, scenes, paths):
    contender = next((one for one in ours if one.name == "qgis"), None)
    if contender is None:
        return {}
    print("First runs, with nothing compiled yet:", flush=True)
    return first_runs.FirstRuns(contender, given.folder.resolve() / "first", given.time_limit).run(scenes, paths)


def _plain(scene):
    facts = {"name": scene.name, "title": scene.title, "kind": scene.kind, "megapixels": scene.side**2 / 1e6}
    return {**facts, "width": scene.side, "height": scene.side, "bands": scene.bands, "source": Path(scene.source).name}


def _plain_contender(contender: Contender):
    return {key: getattr(contender, key) for key in ("name", "label", "kind", "version", "settings", "missing")}


def finish(results, folder):
    """Print the tables; write the JSON and the plot."""
    for scene in results["scenes"]:
        print(f"\n{scene['title']}\n{scene_table(results, scene)}")
    print(f"\nStages, seconds\n{stages_table(results)}")
    reported = defaultdict(set)
    for record in results["records"]:
        if record["digest"]:
            reported[record["scene"]].add(record["digest"])
    same = all(len(digests) == 1 for digests in reported.values())
    results["identical"] = same
    if reported:
        print(f"\nSegments of all variants of the product are {'identical' if same else 'NOT IDENTICAL'}.")
    if any(
        record["details"].get("kernels") == "plain" for record in results["records"] if record["contender"] == "qgis"
    ):
        print("There are no compiled kernels here: all variants of the product ran with the plain ones.")
    for contender in results["contenders"]:
        if contender["missing"]:
            print(f"Missing: {contender['label']}: {contender['missing']}")
    print(f"\nTargets\n{targets_table(results)}")
    path = folder / "bench.json"
    path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    plot = folder / "bench.png"
    subprocess.run([sys.executable, HERE / "plot.py", path, plot], check=True)
    print(f"\nResults in {path}\nPlot in {plot}\nThe benchmark took {results['seconds'] / 60:.1f} minutes.")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # whatever ends it, no peer runs on, and results are kept
    try:
        main()
    except (OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"make bench: {error}")
    except KeyboardInterrupt:
        sys.exit("make bench: stopped")
