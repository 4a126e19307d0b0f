#!/usr/bin/env python3
"""Is the example server ahead of Redis?

Runs redis-benchmark with the same flags against redis-server and against examples/resp_server (release build), and
prints Markdown tables of medians and of ratios to Redis. Both servers run side by side for a round, each on a fresh
directory of the real disk, and are measured in turn, one cell after the other; who comes first alternates. A ratio is
the median of the ratios within the rounds. Any error, of a server or of redis-benchmark, ends it with code 1.

    benches/redis/compare.py --out target/redis                      # everything: about twenty minutes
    benches/redis/compare.py --commands set,get --clients 50 --pipelines 16 --seconds 5
    benches/redis/compare.py --requests 1000 --fill 1000 --rounds 1  # only to see that it works

Neither rewrites its log or takes snapshots meanwhile: both would by default, each at a moment of its own. Needs
redis-server and redis-benchmark (Debian: redis-server, redis-tools) and Python's standard library.
"""

import argparse
import contextlib
import csv
import signal
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from servers import TARGET, Failed, Server, built, described, run, written

# What the two call the same thing.
POLICIES = {"always": ("always", "always"), "everysec": ("everysec", "interval:1000")}
SERVERS = ("redis", "mainstay")
COLUMNS = {"rps": "rps", "p50": "p50_latency_ms", "p99": "p99_latency_ms", "max": "max_latency_ms"}


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


def quiet_server(name, policy, binary, parent, shards):
    """One that makes neither snapshots nor a new log by itself."""
    redis, mainstay = POLICIES[policy]

    def command(port, directory):
        if name == "redis":
            return ["redis-server", "--port", port, "--bind", "127.0.0.1", "--dir", directory, "--save", "",
                    "--appendonly", "yes", "--appendfsync", redis, "--auto-aof-rewrite-percentage", 0]
        return [binary, "--port", port, "--dir", directory, "--sync", mainstay, "--shards", shards,
                "--snapshot-bytes", 0]

    return Server(name, command, parent)


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
        servers = [stack.enter_context(quiet_server(name, policy, binary, parent, args.shards)) for name in SERVERS]
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


def main():
    args = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    each = f"{args.requests} requests" if args.requests else f"about {args.seconds} s"
    load = f"-d {args.value_bytes} -r {args.keys}, {args.fill} SETs before, {each} a cell, {args.rounds} rounds"
    machine = {**described(args.data), "load": f"{load}, {args.shards} shard(s)"}
    binary, results = args.server or built(), {}
    with tempfile.TemporaryDirectory(prefix="redis-bench-", dir=args.data) as parent:
        for number in range(args.rounds):
            for policy in args.policies:
                one_round(number, policy, args, binary, Path(parent), results)
    cells = [summary(key, row) for key, row in results.items()]
    written(args.out, "redis", markdown(machine, cells), {"machine": machine, "cells": cells})


if __name__ == "__main__":
    try:
        main()
    except (Failed, OSError, subprocess.TimeoutExpired) as error:
        sys.exit(f"compare.py: {error}")
