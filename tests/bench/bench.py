"""tests/bench/bench.py - runs the parts, prints the tables, writes the JSON; see run.sh."""
import argparse
import json
import os
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.bench import delay, drain, measure, relay  # noqa: E402
from tests.lib import dc  # noqa: E402

PARTS = {"relay": relay, "drain": drain, "delay": delay}


def number(name, default):
    return int(os.environ.get(name, default))


def main():
    p = argparse.ArgumentParser(prog="tests/bench/run.sh")
    p.add_argument("parts", nargs="*", help="relay, drain, delay (default: all)")
    p.add_argument("--short", action="store_true", help="one quick round of everything")
    p.add_argument("--socket", action="store_true",
                   help="both proxies reach the database by its unix socket, not by TCP")
    args = p.parse_args()
    unknown = set(args.parts) - set(PARTS)
    if unknown:
        p.error("no such part: " + ", ".join(sorted(unknown)))
    if not dc.diarchy_binary().exists():
        p.error("no %s: build it first" % dc.diarchy_binary())
    rounds = number("BENCH_ROUNDS", 1 if args.short else 5)
    config = {
        "rounds": rounds, "seconds": number("BENCH_SECONDS", 3 if args.short else 6),
        "threads": [int(t) for t in os.environ.get("BENCH_THREADS", "8 32" if not args.short
                                                   else "8").split()],
        "tables": 4, "table_size": number("BENCH_TABLE_SIZE", 25000),
        "idle_connections": number("BENCH_IDLE", 1000), "by_socket": args.socket,
        "flush": number("BENCH_FLUSH", 2),
        "drain_transactions": number("BENCH_DRAIN_TXNS", 20000 if args.short else 200000),
        "drain_rounds": number("BENCH_DRAIN_ROUNDS", rounds), "drain_tables": 4,
        "drain_table_size": number("BENCH_TABLE_SIZE", 25000),
        "delay_rate": number("BENCH_RATE", 500), "delay_rounds": rounds,
        "delay_seconds": number("BENCH_DELAY_SECONDS", 4 if args.short else 10),
    }
    results = {"machine": measure.machine(), "config": config,
               "when": time.strftime("%Y-%m-%d %H:%M:%S %z")}
    for key, value in results["machine"].items():
        print("%-12s %s" % (key, value))
    for name, part in PARTS.items():
        if args.parts and name not in args.parts:
            continue
        print("\n== %s" % name, flush=True)
        begun = time.monotonic()
        results[name] = part.bench(config)
        results[name]["took_s"] = time.monotonic() - begun
        part.show(results[name])
    out = Path(os.environ.get("BENCH_OUT", ROOT / "build" / "bench"))
    out.mkdir(parents=True, exist_ok=True)
    path = out / time.strftime("bench-%Y%m%d-%H%M%S.json")
    path.write_text(json.dumps(results, indent=1) + "\n")
    print("\nall figures: %s" % path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
