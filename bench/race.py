"""What the tools of this folder share: which libraries there are, running a command once, numbers and tables.

A *library* is a name and a shared object to preload; glibc is the one without. A *workload* is a line of a list such as
workloads.txt. A *run* is one execution of a workload under a library: a dictionary of its figures, or of "failed".
"""
import math
import mmap
import os
import re
import shlex
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).resolve().parent
ROOT = BENCH.parent
BUILD = Path(os.environ.get("BMM_BUILD", ROOT / "build/release"))
OUT = ROOT / "build/bench"
OURS = "brainmm"

# Debian's: name → file name of the library.
PACKAGED = {"jemalloc": "libjemalloc.so.2", "mimalloc": "libmimalloc.so.2.0", "tcmalloc": "libtcmalloc_minimal.so.4",
            "tbbmalloc": "libtbbmalloc_proxy.so.2"}


def stop(text):
    sys.exit(f"bench: {text}")


# ---- libraries ----

def machine_folder():
    return Path("/usr/lib") / subprocess.run(["gcc", "-print-multiarch"], capture_output=True, text=True).stdout.strip()


def is_loaded(path):
    """Whether the library really is in a process that preloads it: the loader only warns when it cannot."""
    maps = subprocess.run(["cat", "/proc/self/maps"], env=dict(os.environ, LD_PRELOAD=str(path)), capture_output=True,
                          text=True).stdout
    return str(path.resolve()) in maps


def is_malloc(path):
    names = subprocess.run(["nm", "-D", "--defined-only", str(path)], capture_output=True, text=True).stdout.split()
    return any(name.partition("@")[0] == "malloc" for name in names)


def libraries(given=(), pattern=None):
    """Name → path (None for glibc): ours first, then Debian's, then those given as NAME=PATH, which may replace any.
    A pattern keeps those whose whole name matches, and ours."""
    found = {OURS: BUILD / "libbrainmm.so", "glibc": None}
    for name, file in PACKAGED.items():
        for path in machine_folder().glob(file):
            found[name] = path
    for word in given:
        name, path = word.split("=", 1)
        found[name] = Path(path).absolute()
    if pattern:
        found = {name: path for name, path in found.items() if name == OURS or re.fullmatch(pattern, name)}
    for name, path in found.items():
        if path and not path.exists():
            stop(f"{name}: there is no {path}")
        if path and not is_loaded(path):
            stop(f"{name}: {path} cannot be preloaded")
        if path and not is_malloc(path):
            stop(f"{name}: {path} has no malloc")
    return found


# ---- workloads ----

class Workload:
    """One line: NAME [OPTION…] -- COMMAND, as workloads.txt explains."""

    def __init__(self, line, replace):
        head, command = line.split(" -- ", 1)
        words = shlex.split(head)
        self.name, self.line = words[0], line
        self.is_apart = self.is_inner = False
        self.input = self.folder = self.time = self.rate = None
        self.scale, self.environment = 1.0, {}
        for option in words[1:]:
            key, _, value = option.partition("=")
            value = replace(value)
            if key == "apart":
                self.is_apart = True
            elif key == "inner":
                self.is_inner = True
            elif key == "in":
                self.input = value
            elif key == "cwd":
                self.folder = value
            elif key == "env":
                name, _, text = value.partition("=")
                self.environment[name] = text
            elif key == "scale":
                self.scale = float(value)
            elif key in ("time", "rate"):
                setattr(self, key, value)
            else:
                stop(f"unknown option {option} of workload {self.name}")
        self.command = [replace(word) for word in shlex.split(command)]
        if self.command[0] == "python3":  # which may be a version manager's, a shell script that starts it
            self.command[0] = sys.executable
        ours = BUILD / "bench" / self.command[0]
        self.is_ours = "/" not in self.command[0] and ours.exists()
        if self.is_ours:
            self.command[0] = str(ours)

    def is_here(self):
        return shutil.which(self.command[0], path=None if "/" not in self.command[0] else "") is not None or \
            (Path(self.folder or ".") / self.command[0]).exists()


def workloads(file, pattern=None):
    """Those of the list whose name the pattern matches, and that this machine has the program for."""
    scratch = OUT / "scratch"
    scratch.mkdir(parents=True, exist_ok=True)

    def replace(text):
        for name, value in (("{bench}", BENCH), ("{build}", BUILD), ("{work}", scratch)):
            text = text.replace(name, str(value))
        return text

    found = []
    for line in Path(file).read_text().splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        workload = Workload(line, replace)
        if pattern and not re.search(pattern, workload.name):
            continue
        if not workload.is_here():
            print(f"bench: {workload.name} is left out: there is no {workload.command[0]}", file=sys.stderr)
            continue
        found.append(workload)
    if not found:
        stop("no workload matches")
    return found


# ---- running ----

FIGURES = ("wall_ns", "user_us", "system_us", "resident_kib", "faults", "faults_of_disk", "switches",
           "switches_forced", "status")


def run(workload, library, command=None, seconds=120, work=None, environment=None):
    """Runs it once, by measure.c. The figures are {"seconds", "cpu_seconds", "resident_kib", "faults",
    "switches", "switches_forced", "checksum", "values": {name: number}}, or {"failed": why}."""
    command = list(command or workload.command)
    if work and workload.is_ours:
        command.append(f"work={work}")
    result = OUT / f"scratch/result-{os.getpid()}"
    preload = str(library or "")
    variables = dict(os.environ, **workload.environment, **(environment or {}))
    if workload.is_inner:
        variables["BENCH_PRELOAD"], preload = preload, ""
    with open(workload.input or os.devnull, "rb") as source:
        done = subprocess.run([BUILD / "bench/measure", result.absolute(), preload, str(seconds), *command],
                              stdin=source, capture_output=True, env=variables, cwd=workload.folder)
    out = done.stdout.decode(errors="replace")
    numbers = dict(zip(FIGURES, map(int, result.read_text().split())))
    result.unlink()
    status = numbers["status"]
    if status:
        signal = status & 127
        if signal == 9 and numbers["wall_ns"] > seconds * 0.9e9:
            why = f"killed after {seconds} s"
        else:
            why = f"signal {signal}" if signal else f"status {status >> 8}"
        last = (done.stderr.decode(errors="replace").strip() or out.strip()).splitlines()[-1:]
        return {"failed": ": ".join([why, *last])}
    values = {name: float(number) for name, number in re.findall(r"^value (\S+) ([\d.]+)$", out, re.M)}
    seconds_taken = values.pop("seconds", numbers["wall_ns"] / 1e9)
    for pattern in filter(None, (workload.time, workload.rate)):
        match = re.search(pattern, out)
        if not match:
            return {"failed": "its figure is missing"}
        seconds_taken = float(match[1]) if workload.time else workload.scale / float(match[1])
    return {"seconds": seconds_taken, "cpu_seconds": (numbers["user_us"] + numbers["system_us"]) / 1e6,
            "resident_kib": values.pop("resident_kib", numbers["resident_kib"]),
            "faults": numbers["faults"] + numbers["faults_of_disk"], "switches": numbers["switches"],
            "switches_forced": numbers["switches_forced"], "values": values,
            "latency": dict(zip(("operations", "p50", "p99.9", "max"), map(int, re.findall(
                r"^latency_ns operations (\d+) p50 (\d+) p99.9 (\d+) max (\d+)$", out, re.M)[0])))
            if "latency_ns" in out else None,
            "checksum": " ".join(re.findall(r"^checksum\S* ?\S*$", out, re.M))}


# ---- numbers ----

def touch_memory(size):
    """Has the host of a virtual machine give it that much of the memory that is free: it takes back what is free for some seconds,
    and whoever comes to it first then waits ten times as long for a page."""
    size &= -mmap.PAGESIZE
    with mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        memory.madvise(mmap.MADV_HUGEPAGE)
        memory[::mmap.PAGESIZE] = bytes(size // mmap.PAGESIZE)


def median(numbers):
    return statistics.median(numbers)


def error_percent(ratios):
    """The standard error of the median of ratios, on their logarithms, as if they were normal; nan for fewer than two."""
    if len(ratios) < 2:
        return math.nan
    return 100 * 1.2533 * statistics.stdev(map(math.log, ratios)) / math.sqrt(len(ratios))


def geometric_mean(numbers):
    return math.exp(sum(map(math.log, numbers)) / len(numbers)) if numbers else math.nan


def short(number, digits=3):
    """About so many digits: 0.0123, 1.23, 123, 12345."""
    if number is None or math.isnan(number):
        return "–"
    if number == 0:
        return "0"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(number))))
    return f"{number:.{decimals}f}"


def markdown(head, rows):
    """A table; every column but the first is numbers."""
    lines = ["| " + " | ".join(head) + " |", "|" + "|".join(["---"] + ["--:"] * (len(head) - 1)) + "|"]
    return "\n".join(lines + ["| " + " | ".join(map(str, row)) + " |" for row in rows]) + "\n"


def machine():
    """One line on where the figures were taken."""
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    release = os.uname()
    libc = os.confstr("CS_GNU_LIBC_VERSION")
    huge = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    pages = re.search(r"\[(\w+)\]", huge.read_text())[1] if huge.exists() else "unknown"
    return (f"{cpu[1] if cpu else release.machine}, {os.cpu_count()} processors, {release.sysname} {release.release}, "
            f"{libc}, transparent huge pages: {pages}")
