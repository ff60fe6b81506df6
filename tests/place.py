"""A folder with a program that is built, run and reported on, for tests of names and lines; and the count of what was checked."""
import os
import re
import subprocess
import sys
from pathlib import Path

from report import read_report

VIEWER = Path(os.environ.get("BMM_BUILD", "build/release")).resolve() / "brainmm"
counts = {"passed": 0, "failed": 0, "skipped": 0}


def check(name, is_good, said=""):
    counts["passed" if is_good else "failed"] += 1
    if not is_good:
        print(f"FAILED {name}: {said}", file=sys.stderr)


def finish():
    print(", ".join(f"{count} {word}" for word, count in counts.items()))
    sys.exit(1 if counts["failed"] else 0)


def shell(*words, **more):
    return subprocess.run([str(word) for word in words], check=True, stdout=subprocess.PIPE, text=True, **more).stdout


class Place:
    """The folder, the program in it, and a cache of its own."""

    def __init__(self, folder, text):
        self.folder = folder
        self.cache = folder / "cache"
        self.file = self.cache / "symbols-1.db"
        self.program = folder / "program"
        self.build(text)

    def build(self, text, id_flag="-Wl,--build-id"):
        (self.folder / "program.c").write_text(text)
        shell("gcc", "-g", "-O1", "-fno-builtin", "-w", id_flag, "-o", self.program, self.folder / "program.c")

    def build_id(self):
        return re.search(r"Build ID: (\w+)", shell("readelf", "-n", self.program)).group(1)

    def report(self, snapshot=None, **variables):
        """Leaked bytes → (function, line) of the program's frames; and the report."""
        target = self.folder / "report.json"
        environment = {**os.environ, "BRAINMM_CACHE": str(self.cache), **variables}
        if snapshot is None:
            shell(VIEWER, "run", "--quiet", "--mode", "leak", "--report", target, "--", self.program, env=environment)
        else:
            shell(VIEWER, "export", "-o", target, snapshot, env=environment)
        report = read_report(target)
        return {leak["bytes"]: [(frame["function"], frame["line"]) for frame in leak["stack"]
                                if frame["module"] == str(self.program) and frame["function"] != "_start"]
                for leak in report["leaks"]}, report

    def snapshot(self):
        environment = {**os.environ, "LD_PRELOAD": str(VIEWER.parent / "libbrainmm_debug.so"),
                       "BRAINMM_OPTIONS": f"mode=leak,report=none,summary=off,dir={self.folder}"}
        subprocess.run([self.program], env=environment, check=True)
        return next(self.folder.glob("*.bmm"))
