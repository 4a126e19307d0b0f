#!/usr/bin/env python3
"""How many instructions does one operation take, and is that what it took before?

Runs benches/instructions.rs under callgrind, each case with so many operations and with none, and divides the
difference, over all threads, by their number. That repeats to 1 % on a machine of any load; a regression is seen
whatever else the machine does. Recorded in benches/instructions.json.

    benches/instructions.py                 # counts, beside what is recorded
    benches/instructions.py --check         # fails if a count is off by more than 3 % (--tolerance), up or down, or if
                                            # a limit on memory that is not reached costs as much
    benches/instructions.py --update        # records the counts
    benches/instructions.py --only submit --profile target/profile   # and where they went, by function

Counts change with the compiler, libc and valgrind, whose versions are recorded too. Needs valgrind. The bench is
built with the features that tests have, mutants included, which cost a submit a few loads.
"""

import argparse
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
RECORD = ROOT / "benches/instructions.json"
# Name: case of the program, operations, how many of them count as one, and the case that makes its log.
CASES = {
    "submit, one after the other": ("submit", 10_000, 1, None),
    "submit, by 64 tasks": ("submit-tasks", 20_480, 1, None),
    "submit_many of 64, a command": ("submit-many", 20_480, 1, None),
    "view and get": ("view", 100_000, 1, None),
    "get": ("get", 100_000, 1, None),
    "frame of 1: encode and seal": ("frame-1", 10_000, 1, None),
    "frame of 64: encode and seal": ("frame-64", 10_000, 1, None),
    "frame of 1: recover": ("open", 10_000, 1, "log-1"),
    "frame of 64: recover": ("open", 10_048, 64, "log-64"),
    "kv set: apply and land": ("apply", 10_000, 1, None),
    "submit, one after the other, without a limit": ("submit-unlimited", 10_000, 1, None),
    "submit, by 64 tasks, without a limit": ("submit-tasks-unlimited", 20_480, 1, None),
    "submit_many of 64, a command, without a limit": ("submit-many-unlimited", 20_480, 1, None),
    "view and get, without a limit": ("view-unlimited", 100_000, 1, None),
    "get, without a limit": ("get-unlimited", 100_000, 1, None),
}
# Others have a limit, and spill beyond it. What they do without one is what the idle tier is held against.
UNLIMITED = ", without a limit"


class Failed(Exception):
    """What ends the count."""


def run(command, **options):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, **options)
    if done.returncode != 0:
        raise Failed(f"{command[0]} ended with {done.returncode}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done


def built():
    command = ["cargo", "build", "--profile", "bench", "--bench", "instructions", "--message-format=json"]
    lines = run(command, cwd=ROOT).stdout.splitlines()
    made = [json.loads(line).get("executable") for line in lines if '"instructions"' in line]
    return Path([path for path in made if path][-1])


class Bench:
    """The program, and directories for it. A log is filled once, so that all runs hash their keys alike."""

    def __init__(self, work, profile):
        self.binary, self.work, self.profile = built(), work, profile
        self.dir = work / "dir"
        run([self.binary, "fill", 0, self.fresh(None)])
        self.dir.rename(work / "filled")

    def fresh(self, source):
        shutil.rmtree(self.dir, ignore_errors=True)
        if source:
            shutil.copytree(source, self.dir)
        else:
            self.dir.mkdir()
        return self.dir

    def instructions(self, case, count, log, out):
        """Of one run, all threads together."""
        directory = self.fresh(self.work / "filled")
        if log:
            run([self.binary, log, count, directory])
        valgrind = ["valgrind", "--tool=callgrind", "--fair-sched=yes", f"--callgrind-out-file={out}"]
        done = run([*valgrind, self.binary, case, count, directory], timeout=600)
        return int(re.search(r"Collected : (\d+)", done.stderr).group(1))

    def count(self, name, repeat):
        """Instructions of one operation: the median of so many pairs of runs."""
        case, count, each, log = CASES[name]
        place = self.profile or self.work
        file = re.sub(r"\W+", "-", name)
        full, empty = place / f"{file}.out", place / f"{file}.none.out"
        counts = []
        for _ in range(repeat):
            difference = self.instructions(case, count, log, full) - self.instructions(case, 0, log, empty)
            counts.append(difference * each / count)
        if self.profile:
            report(name, full, empty, count / each)
        return statistics.median(counts), (max(counts) - min(counts)) / statistics.median(counts)


def functions(path):
    """Self cost of each function, from callgrind's format: numbers stand for names that came before."""
    names, costs, function, called = {}, Counter(), None, False
    for line in path.read_text().splitlines():
        if match := re.match(r"fn=\((\d+)\)(?: (.*))?", line):
            number, name = match.groups()
            names[number] = name or names[number]
            function = names[number]
        elif match := re.match(r"cfn=\((\d+)\) (.*)", line):
            names[match.group(1)] = match.group(2)
        elif line.startswith("calls="):
            called = True
        elif function and re.match(r"[+\-*\d]", line):
            # The line after `calls=` is what the callee took.
            costs[function] += 0 if called else int(line.split()[1])
            called = False
    return costs


def report(name, full, empty, operations):
    """Where the instructions of one operation go: the difference of two profiles. Bare addresses are blake3's."""
    costs = functions(full)
    costs.subtract(functions(empty))
    print(f"\n{name}: instructions of one operation by function, itself only")
    for function, cost in costs.most_common(25):
        print(f"{cost / operations:10.1f}  {function[:105]}")


def versions():
    return {
        "rustc": run(["rustc", "--version"], cwd=ROOT).stdout.strip(),
        "valgrind": run(["valgrind", "--version"]).stdout.strip(),
        "libc": " ".join(platform.libc_ver()),
        "machine": platform.machine(),
    }


def idle_tier(counts, tolerance):
    """What a limit costs that is not reached: prints it, and returns what is too much."""
    pairs = [(name, count, counts.get(name + UNLIMITED)) for name, count in counts.items()]
    pairs = [(name, limited, unlimited) for name, limited, unlimited in pairs if unlimited]
    if pairs:
        print("\n| operation | with a limit | without one | its cost |\n|---|---|---|---|")
    for name, limited, unlimited in pairs:
        print(f"| {name} | {limited:,} | {unlimited:,} | {(limited / unlimited - 1) * 100:+.2f} % |")
    return [
        f"{name}: {limited:,} with a limit, {unlimited:,} without"
        for name, limited, unlimited in pairs
        if (limited / unlimited - 1) * 100 > tolerance
    ]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--check", action="store_true", help="fail if a count is not what is recorded")
    what.add_argument("--update", action="store_true", help="record the counts")
    parser.add_argument("--tolerance", type=float, default=3.0, help="of --check, in percent")
    parser.add_argument("--only", default="", help="cases whose names begin with this")
    parser.add_argument("--repeat", type=int, default=1, help="pairs of runs, of which the median counts")
    parser.add_argument("--profile", type=Path, help="keep callgrind's files here, and print the costs by function")
    return parser.parse_args()


def main():
    args = arguments()
    chosen = [name for name in CASES if name.startswith(args.only)]
    if not chosen:
        raise Failed(f"no case begins with {args.only!r}: {', '.join(CASES)}")
    TARGET.mkdir(parents=True, exist_ok=True)
    if args.profile:
        args.profile.mkdir(parents=True, exist_ok=True)
    record = json.loads(RECORD.read_text()) if RECORD.exists() else {"versions": {}, "instructions": {}}
    known, present = record["instructions"], versions()
    if known and record["versions"] != present:
        print(f"note: recorded with {record['versions']}, counted with {present}", file=sys.stderr)
    counts, wrong = {}, []
    with tempfile.TemporaryDirectory(prefix="instructions-", dir=TARGET) as work:
        bench = Bench(Path(work), args.profile)
        print("| operation | instructions | spread | recorded | change |\n|---|---|---|---|---|")
        for name in chosen:
            count, spread = bench.count(name, args.repeat)
            spread = f"{spread:.2%}" if args.repeat > 1 else "-"
            counts[name], before = round(count), known.get(name)
            change = (count / before - 1) * 100 if before else 0.0
            print(f"| {name} | {count:,.0f} | {spread} | {before or '-'} | {change:+.2f} % |", flush=True)
            if not before or abs(change) > args.tolerance:
                wrong.append(f"{name}: {count:,.0f}, recorded {before or 'nothing'}")
    wrong += idle_tier(counts, args.tolerance)
    if args.update:
        # What an older compiler counted is not kept beside what this one did.
        counts = (known if record["versions"] == present else {}) | counts
        record = {"versions": present, "instructions": {name: counts[name] for name in CASES if name in counts}}
        RECORD.write_text(json.dumps(record, indent=1) + "\n")
    if args.check and wrong:
        raise Failed(f"off by more than {args.tolerance} % (--update records what is meant): " + "; ".join(wrong))


if __name__ == "__main__":
    try:
        main()
    except (Failed, OSError, subprocess.TimeoutExpired) as error:
        sys.exit(f"instructions.py: {error}")
