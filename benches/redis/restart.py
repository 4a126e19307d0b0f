#!/usr/bin/env python3
"""Does the example server restart faster than Redis, from a snapshot each?

Puts the same keys and values into redis-server and into examples/resp_server (release build), has both SAVE and stops
them. Then it starts each in turn, several rounds, who comes first moves on by one each time, and takes the time from
the start of the process to the first answer to a PING; Redis answers one as soon as it has loaded, mainstay listens
when everything is there. Every start is followed by DBSIZE and by GETs of keys all over. A ratio is the median of the
ratios within the rounds. Any error, or a key that is missing, ends it with code 1.

    benches/redis/restart.py --out target/redis              # 5,000,000 keys: about six minutes
    benches/redis/restart.py --keys 100000 --rounds 1        # only to see that it works

Redis keeps no log (`appendonly no`) and loads its RDB file, written with compression, the default, and without; half of
a value can be compressed. mainstay's log holds nothing that its snapshot does not. All files are synced and dropped
from the page cache before a start, unless --warm says not to; mainstay drops its own in any case. Both allocate with
jemalloc. Needs redis-server and Python's standard library.
"""

import argparse
import contextlib
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from servers import TARGET, Failed, Server, built, described, written

VALUE_BYTES, CHUNK, SAMPLES = 100, 2_000, 1_000
PATIENCE_S = 600
# RDB files by whether they are compressed, which is an option of writing only.
FILES = {"yes": "dump.rdb", "no": "dump-uncompressed.rdb"}
# Where values are cut out of: half of each cannot be compressed.
NOISE = random.Random(7).randbytes(1 << 20)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="directory for restart.md and restart.json")
    parser.add_argument("--keys", type=int, default=5_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--shards", type=lambda text: [int(word) for word in text.split(",")], default=[1, 2],
                        help="of resp_server; each number is a directory of its own (default 1,2)")
    parser.add_argument("--warm", action="store_true", help="leave the page cache as it is")
    parser.add_argument("--server", type=Path, help="a resp_server that is built already")
    parser.add_argument("--data", type=Path, default=TARGET, help="where the fresh directories are made")
    return parser.parse_args()


def key(number):
    return b"key:%012d" % number


def value(number):
    half = VALUE_BYTES // 2
    at = number * 7_919 % (len(NOISE) - half)
    return NOISE[at:at + half] + b"v" * (VALUE_BYTES - half)


def request(*words):
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


class Connection:
    """Requests in a row, and their answers."""

    def __init__(self, server):
        self.socket = server.connected(PATIENCE_S)
        self.answers = self.socket.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.answers.close()
        self.socket.close()

    def answer(self):
        line = self.answers.readline()
        if not line.endswith(b"\r\n") or line[:1] == b"-":
            raise Failed(f"an answer is {line!r}")
        if line[:1] != b"$":
            return line[1:-2]
        length = int(line[1:])
        return self.answers.read(length + 2)[:-2] if length >= 0 else None

    def ask(self, *words):
        self.socket.sendall(request(*words))
        return self.answer()

    def load(self, keys):
        """Stores all keys, pipelined: one thread sends while this one reads."""
        def send():
            # If it fails the answers end, and the other thread says so.
            with contextlib.suppress(OSError):
                for first in range(0, keys, CHUNK):
                    numbers = range(first, min(first + CHUNK, keys))
                    self.socket.sendall(b"".join(request(b"SET", key(n), value(n)) for n in numbers))

        sender = threading.Thread(target=send, daemon=True)
        sender.start()
        for _ in range(keys):
            if self.answer() != b"OK":
                raise Failed("a key was not stored")
        sender.join()


class Contender:
    """A directory, and how a server is started on it."""

    def __init__(self, name, directory, words):
        self.name, self.dir, self.words = name, directory, words
        self.dir.mkdir(exist_ok=True)

    def server(self):
        return Server(self.name, self.words, None, self.dir, PATIENCE_S)


def contenders(args, binary, parent):
    """Those whose starts are measured. The first of those with the same directory fills it."""
    def redis(compressed):
        return lambda port, directory: [
            "redis-server", "--port", port, "--bind", "127.0.0.1", "--dir", directory, "--save", "", "--appendonly",
            "no", "--rdbcompression", compressed, "--dbfilename", FILES[compressed], "--enable-protected-configs",
            "yes"]

    def mainstay(shards):
        return lambda port, directory: [
            binary, "--port", port, "--dir", directory, "--sync", "interval:1000", "--shards", shards]

    made = {f"Redis, rdbcompression {word}": (parent / "redis", redis(word)) for word in FILES}
    for shards in args.shards:
        made[f"mainstay, {shards} shard{'s' * (shards > 1)}"] = (parent / f"mainstay-{shards}", mainstay(shards))
    return [Contender(name, *rest) for name, rest in made.items()]


def fill(contender, keys):
    started = time.monotonic()
    with contender.server() as server, Connection(server) as connection:
        connection.load(keys)
        loaded = time.monotonic()
        connection.ask(b"SAVE")
        saved = time.monotonic()
        if contender.name.startswith("Redis"):
            for compressed, file in FILES.items():
                connection.ask(b"CONFIG", b"SET", b"rdbcompression", compressed.encode())
                connection.ask(b"CONFIG", b"SET", b"dbfilename", file.encode())
                connection.ask(b"SAVE")
    print(f"{contender.name}: loaded in {loaded - started:.1f} s, saved in {saved - loaded:.1f} s", file=sys.stderr)


def files(contender):
    return [path for path in contender.dir.rglob("*") if path.is_file()]


def snapshot_bytes(contender, server_words):
    """Length of what is loaded."""
    wanted = [word for word in server_words if str(word).endswith(".rdb")]
    return sum(p.stat().st_size for p in files(contender) if p.suffix == ".snap" or p.name in wanted)


def forget(contender):
    """Drops the files from the page cache. What is not synced would stay in it."""
    for path in files(contender):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(handle)


def resident_bytes(server):
    lines = Path(f"/proc/{server.process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:"))


def start(contender, args):
    """Starts it, looks whether everything is there, and stops it."""
    if not args.warm:
        forget(contender)
    with contender.server() as server, Connection(server) as connection:
        found = {"seconds": server.start_s, "resident_bytes": resident_bytes(server),
                 "bytes": snapshot_bytes(contender, server.command)}
        if (count := int(connection.ask(b"DBSIZE"))) != args.keys:
            raise Failed(f"{contender.name} has {count} keys")
        for number in random.sample(range(args.keys), min(SAMPLES, args.keys)):
            if connection.ask(b"GET", key(number)) != value(number):
                raise Failed(f"{contender.name} has another value under {key(number)}")
    print(f"{contender.name}: {found}", file=sys.stderr)
    return found


def summary(name, rounds, baselines):
    own = [found[name] for found in rounds]
    ratios = {base: [found[base]["seconds"] / found[name]["seconds"] for found in rounds] for base in baselines}
    medians = {column: statistics.median(found[column] for found in own) for column in own[0]}
    faster = {base: {"median": statistics.median(r), "least": min(r), "most": max(r)} for base, r in ratios.items()}
    return {"name": name, **medians, "faster": faster, "rounds": own}


def markdown(machine, rows, keys):
    baselines = list(rows[0]["faster"])
    lines = ["# Restart from a snapshot: resp_server beside redis-server", ""]
    lines += [f"- {name}: {text}" for name, text in machine.items()]
    lines += ["", "Medians. How many times as fast as Redis: median (least-most) of the ratios within the rounds.", "",
              "| server | s to the first answer | keys/s | file MB | MB/s | resident MB | "
              + " | ".join(f"faster than {base}" for base in baselines) + " |",
              "|---" * (6 + len(baselines)) + "|"]
    for row in rows:
        ratios = [f"{r['median']:.2f} ({r['least']:.2f}-{r['most']:.2f})" for r in row["faster"].values()]
        seconds, megabytes = row["seconds"], row["bytes"] / 1e6
        lines.append(f"| {row['name']} | {seconds:.2f} | {keys / seconds:,.0f} | {megabytes:,.0f} | "
                     f"{megabytes / seconds:,.0f} | {row['resident_bytes'] / 1e6:,.0f} | " + " | ".join(ratios) + " |")
    return "\n".join(lines) + "\n"


def main():
    args = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    cache = "warm" if args.warm else "cold"
    load = f"{args.keys} keys of 16 bytes, values of {VALUE_BYTES}, {args.rounds} rounds, page cache {cache}"
    machine, binary, rounds = {**described(args.data), "load": load}, args.server or built(), []
    with tempfile.TemporaryDirectory(prefix="redis-restart-", dir=args.data) as parent:
        all_of_them = contenders(args, binary, Path(parent))
        for contender in {contender.dir: contender for contender in reversed(all_of_them)}.values():
            fill(contender, args.keys)
        for number in range(args.rounds):
            first = number % len(all_of_them)
            order = all_of_them[first:] + all_of_them[:first]
            found = {contender.name: start(contender, args) for contender in order}
            rounds.append(found)
    names = [contender.name for contender in all_of_them]
    baselines = [name for name in names if name.startswith("Redis")]
    rows = [summary(name, rounds, baselines) for name in names]
    written(args.out, "restart", markdown(machine, rows, args.keys), {"machine": machine, "rows": rows})


if __name__ == "__main__":
    try:
        main()
    except (Failed, OSError, subprocess.TimeoutExpired) as error:
        sys.exit(f"restart.py: {error}")
