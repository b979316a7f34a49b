"""tests/bench/measure.py - reading what the machine and the programs say."""
import os
import platform
import re
import statistics
import subprocess
from pathlib import Path

from tests.lib.dc import APP

TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid):
    """CPU of a process so far: the threads' schedstat (ns), or stat's ticks if more."""
    ns = 0
    for task in Path("/proc/%d/task" % pid).iterdir():
        try:
            ns += int((task / "schedstat").read_text().split()[0])
        except OSError:
            continue
    fields = Path("/proc/%d/stat" % pid).read_text().rpartition(")")[2].split()
    ticks = (int(fields[11]) + int(fields[12])) / TICKS
    # Ticks know threads that have ended; they are coarse, so only a clear excess counts.
    return ns / 1e9 if ns / 1e9 > ticks - 0.1 else ticks


def cpu_by_thread(pid):
    """{"name#n": seconds}, n counting the threads in the order they were started."""
    found = {}
    tasks = sorted(Path("/proc/%d/task" % pid).iterdir(), key=lambda task: int(task.name))
    for n, task in enumerate(tasks):
        try:
            name = "%s#%d" % ((task / "comm").read_text().strip(), n)
            found[name] = int((task / "schedstat").read_text().split()[0]) / 1e9
        except OSError:
            continue
    return found


def pss_kib(pid):
    text = Path("/proc/%d/smaps_rollup" % pid).read_text()
    return int(re.search(r"^Pss:\s+(\d+) kB", text, re.M).group(1))


def median(values):
    return statistics.median(values)


def percentile(values, p):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * p / 100))]


def run_sysbench(port, script, *words, **options):
    argv = ["sysbench", script, "--db-driver=mysql", "--mysql-host=127.0.0.1",
            "--mysql-port=%d" % port, "--mysql-user=" + APP[0], "--mysql-password=" + APP[1],
            "--mysql-db=sbtest", "--percentile=95"]
    argv += ["--%s=%s" % (k.replace("_", "-"), v) for k, v in options.items()] + list(words)
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0 or "FATAL" in done.stdout:
        raise RuntimeError("sysbench failed: %s\n%s" % (" ".join(argv), done.stdout[-3000:]))
    return done.stdout


def sysbench_figures(out):
    def number(pattern):
        return float(re.search(pattern, out).group(1))
    return {"queries": number(r"queries:\s+(\d+)"),
            "queries_per_s": number(r"queries:\s+\d+\s+\(([\d.]+) per sec"),
            "transactions_per_s": number(r"transactions:\s+\d+\s+\(([\d.]+) per sec"),
            "p95_ms": number(r"95th percentile:\s+([\d.]+)")}


def _first_line(*argv):
    try:
        return subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              stdin=subprocess.DEVNULL).stdout.splitlines()[0].strip()
    except (OSError, IndexError):
        return "not found"


def machine():
    cpu = re.search(r"model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text())
    memory = re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text())
    return {"cpu": cpu.group(1) if cpu else platform.machine(), "cores": os.cpu_count(),
            "memory_gib": round(int(memory.group(1)) / 1048576, 1),
            "kernel": platform.release(), "mariadbd": _first_line("mariadbd", "--version"),
            "haproxy": _first_line("haproxy", "-v"),
            "sysbench": _first_line("sysbench", "--version"),
            "load_before": os.getloadavg()[0]}


def print_table(title, header, rows):
    print("\n" + title)
    widths = [max(len(str(r[i])) for r in [header] + rows) for i in range(len(header))]
    for row in [header] + rows:
        print("  " + "  ".join(str(c).ljust(w) if i == 0 else str(c).rjust(w)
                               for i, (c, w) in enumerate(zip(row, widths))))
