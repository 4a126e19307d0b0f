#!/usr/bin/env python3
"""Is the example server ahead of Redis?

Runs redis-benchmark with the same flags against redis-server and against examples/resp_server (release build), and
prints Markdown tables of medians and of ratios to Redis. Both servers run side by side for a round, each on a fresh
directory of the real disk, and are measured in turn, one cell after the other; who comes first alternates. A ratio is
the median of the ratios within the rounds. Any error, of a server or of redis-benchmark, ends it with code 1.

    benches/redis/compare.py --out target/redis                      # everything: about twenty minutes
    benches/redis/compare.py --commands set,get --clients 50 --pipelines 16 --seconds 5
    benches/redis/compare.py --requests 1000 --fill 1000 --rounds 1  # only to see that it works

Redis does not rewrite its log meanwhile (mainstay does not reclaim its own yet), and takes no snapshots. Needs
redis-server and redis-benchmark (Debian: redis-server, redis-tools) and Python's standard library.
"""

import argparse
import contextlib
import csv
import datetime
import json
import os
import platform
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
# What the two call the same thing.
POLICIES = {"always": ("always", "always"), "everysec": ("everysec", "interval:1000")}
SERVERS = ("redis", "mainstay")
COLUMNS = {"rps": "rps", "p50": "p50_latency_ms", "p99": "p99_latency_ms", "max": "max_latency_ms"}
READY_S, STOP_S = 30, 60


class Failed(Exception):
    """What ends the comparison."""


def arguments():
    def words(kind, allowed=None):
        def parse(text):
            items = [kind(word) for word in text.lower().split(",")]
            if allowed and not set(items) <= set(allowed):
                raise argparse.ArgumentTypeError(f"one or more of {', '.join(allowed)}")
            return items
        return parse

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="directory for redis.md and redis.json")
    parser.add_argument("--policies", type=words(str, POLICIES), default=list(POLICIES))
    parser.add_argument("--commands", type=words(str, ["set", "get", "incr", "mset"]), default="set,get,incr,mset")
    parser.add_argument("--pipelines", type=words(int), default="1,16,64")
    parser.add_argument("--clients", type=words(int), default="1,50,256")
    parser.add_argument("--rounds", type=int, default=3)
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--seconds", type=float, default=2.0, help="for a cell, by the slower server's first pace")
    length.add_argument("--requests", type=int, help="for a cell, instead of --seconds")
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--value-bytes", type=int, default=100)
    parser.add_argument("--fill", type=int, default=1_000_000, help="random SETs before the first cell")
    parser.add_argument("--shards", type=int, default=1, help="of resp_server")
    parser.add_argument("--server", type=Path, help="a resp_server that is built already")
    parser.add_argument("--data", type=Path, default=TARGET, help="where the fresh directories are made")
    return parser.parse_args()


def run(command, **options):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, **options)
    if done.returncode != 0:
        raise Failed(f"{command[0]} ended with {done.returncode}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done


def built():
    done = run(["cargo", "build", "--release", "--example", "resp_server", "--message-format=json"], cwd=ROOT)
    made = [json.loads(line).get("executable") for line in done.stdout.splitlines() if '"resp_server"' in line]
    return Path([path for path in made if path][-1])


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A running server; the end of the `with` block stops it and wants the exit code 0."""

    def __init__(self, name, policy, binary, parent, shards):
        self.name, self.port = name, free_port()
        self.dir = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=parent))
        redis, mainstay = POLICIES[policy]
        if name == "redis":
            command = ["redis-server", "--port", self.port, "--bind", "127.0.0.1", "--dir", self.dir, "--save", "",
                       "--appendonly", "yes", "--appendfsync", redis, "--auto-aof-rewrite-percentage", 0]
        else:
            command = [binary, "--port", self.port, "--dir", self.dir, "--sync", mainstay, "--shards", shards]
        self.command = [str(word) for word in command]

    def __enter__(self):
        self.log = open(self.dir.with_suffix(".log"), "w+", encoding="utf-8", errors="replace")
        self.process = subprocess.Popen(self.command, stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL)
        until = time.monotonic() + READY_S
        try:
            while not self.answers():
                self.must_run()
                if time.monotonic() > until:
                    raise Failed(f"{self.name} is not ready after {READY_S} s: {self.last_words()}")
                time.sleep(0.05)
        except BaseException as error:
            self.__exit__(type(error), None, None)
            raise
        return self

    def answers(self):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(64).startswith(b"+PONG")
        return False

    def last_words(self):
        self.log.seek(0)
        return self.log.read()[-2000:]

    def must_run(self):
        if self.process.poll() is not None:
            raise Failed(f"{self.name} ended with {self.process.returncode}: {self.last_words()}")

    def __exit__(self, kind, _value, _trace):
        self.process.terminate()
        try:
            code = self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        words = self.last_words()
        self.log.close()
        shutil.rmtree(self.dir)
        if code != 0 and kind is None:
            raise Failed(f"{self.name} was told to stop and ended with {code}: {words}")


def measure(server, args, command, clients, pipeline, requests):
    """The figures of one run of redis-benchmark."""
    flags = ["-t", command, "-c", clients, "-P", pipeline, "-n", requests, "-d", args.value_bytes, "-r", args.keys]
    line = ["redis-benchmark", "-h", "127.0.0.1", "-p", server.port, "--csv", "--precision", 3, *flags]
    done = run(line, timeout=60 + requests / 100)  # no disk is as slow as that
    server.must_run()
    rows = list(csv.DictReader(done.stdout.splitlines()))
    if len(rows) != 1 or not rows[0]["test"].lower().startswith(command) or "rror" in done.stdout + done.stderr:
        raise Failed(f"{server.name}, {' '.join(map(str, flags))}: {done.stdout[-1000:]}{done.stderr[-1000:]}")
    figures = {name: float(rows[0][column]) for name, column in COLUMNS.items()}
    return figures


def length(servers, args, cell):
    """So many requests take as long as they should on the slower server."""
    if args.requests:
        return args.requests
    _, clients, pipeline = cell
    paces = [measure(server, args, *cell, max(500, 20 * clients * pipeline))["rps"] for server in servers]
    return max(int(min(paces) * args.seconds), clients * pipeline)


def one_round(number, policy, args, binary, parent, results):
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(Server(name, policy, binary, parent, args.shards)) for name in SERVERS]
        if args.fill:
            for server in servers:
                measure(server, args, "set", 50, 64, args.fill)
        cells = [(c, n, p) for c in args.commands for n in args.clients for p in args.pipelines]
        for at, cell in enumerate(cells):
            row = results.setdefault((policy, *cell), {"requests": None, "rounds": []})
            row["requests"] = row["requests"] or length(servers, args, cell)
            order = servers if (number + at) % 2 == 0 else servers[::-1]
            row["rounds"].append({server.name: measure(server, args, *cell, row["requests"]) for server in order})
            print(f"round {number + 1}, {policy}, {cell}: {row['rounds'][-1]}", file=sys.stderr)


def summary(key, row):
    rounds = row["rounds"]
    ratios = [r["mainstay"]["rps"] / r["redis"]["rps"] for r in rounds]
    medians = {s: {c: statistics.median(r[s][c] for r in rounds) for c in COLUMNS} for s in SERVERS}
    ratio = {"median": statistics.median(ratios), "least": min(ratios), "most": max(ratios)}
    cell = dict(zip(("policy", "command", "clients", "pipeline"), key))
    return {**cell, "requests": row["requests"], "ratio": ratio, **medians, "rounds": rounds}


def markdown(machine, cells):
    lines = ["# redis-benchmark: resp_server beside redis-server", ""]
    lines += [f"- {name}: {value}" for name, value in machine.items()]
    for policy in dict.fromkeys(cell["policy"] for cell in cells):
        redis, mainstay = POLICIES[policy]
        lines += ["", f"## Redis {redis}, mainstay {mainstay}", "",
                  "Requests a second; latencies in ms, Redis / mainstay; ratio to Redis: median (least-most).", "",
                  "| command | clients | pipeline | Redis | mainstay | ratio | p50 | p99 | max |",
                  "|---|---|---|---|---|---|---|---|---|"]
        for cell in (cell for cell in cells if cell["policy"] == policy):
            ours, theirs, ratio = cell["mainstay"], cell["redis"], cell["ratio"]
            pairs = " | ".join(f"{theirs[c]:.3f} / {ours[c]:.3f}" for c in ("p50", "p99", "max"))
            ratios = f"**{ratio['median']:.2f}** ({ratio['least']:.2f}-{ratio['most']:.2f})"
            lines.append(f"| {cell['command'].upper()} | {cell['clients']} | {cell['pipeline']} | "
                         f"{theirs['rps']:,.0f} | {ours['rps']:,.0f} | {ratios} | {pairs} |")
    return "\n".join(lines) + "\n"


def described(args):
    if (file_system := run(["stat", "-f", "-c", "%T", args.data]).stdout.strip()) == "tmpfs":
        raise Failed(f"{args.data} is in memory: choose a disk with --data")
    commit = run(["git", "describe", "--always", "--dirty"], cwd=ROOT).stdout.strip()
    each = f"{args.requests} requests" if args.requests else f"about {args.seconds} s"
    return {
        "made": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="minutes"),
        "machine": f"{os.cpu_count()} processors, {platform.release()} {platform.machine()}, {file_system}",
        "redis": run(["redis-server", "--version"]).stdout.strip(),
        "mainstay": f"{commit}, {args.shards} shard(s)",
        "load": f"-d {args.value_bytes} -r {args.keys}, {args.fill} SETs before, {each} a cell, {args.rounds} rounds",
    }


def main():
    args = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    args.data.mkdir(parents=True, exist_ok=True)
    machine, binary, results = described(args), args.server or built(), {}
    with tempfile.TemporaryDirectory(prefix="redis-bench-", dir=args.data) as parent:
        for number in range(args.rounds):
            for policy in args.policies:
                one_round(number, policy, args, binary, Path(parent), results)
    cells = [summary(key, row) for key, row in results.items()]
    print(text := markdown(machine, cells), end="")
    if args.out:
        args.out.mkdir(parents=True, exist_ok=True)
        (args.out / "redis.md").write_text(text)
        (args.out / "redis.json").write_text(json.dumps({"machine": machine, "cells": cells}, indent=1) + "\n")


if __name__ == "__main__":
    try:
        main()
    except (Failed, OSError, subprocess.TimeoutExpired) as error:
        sys.exit(f"compare.py: {error}")
