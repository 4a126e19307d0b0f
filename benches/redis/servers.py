"""What the comparisons with Redis share: servers that are started and stopped, and a machine that is described."""

import contextlib
import datetime
import json
import os
import platform
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
READY_S, STOP_S = 30, 60


class Failed(Exception):
    """What ends the comparison."""


def run(command, **options):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, **options)
    if done.returncode != 0:
        raise Failed(f"{command[0]} ended with {done.returncode}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done


def built():
    """The example server, release build."""
    done = run(["cargo", "build", "--release", "--example", "resp_server", "--message-format=json"], cwd=ROOT)
    made = [json.loads(line).get("executable") for line in done.stdout.splitlines() if '"resp_server"' in line]
    return Path([path for path in made if path][-1])


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A running server; the end of the `with` block stops it and wants the exit code 0.

    `command` makes the command line of a port and a directory. A directory that is not given is made, and removed in
    the end."""

    def __init__(self, name, command, parent, directory=None, ready_s=READY_S):
        self.name, self.port, self.ready_s = name, free_port(), ready_s
        self.is_own = directory is None
        self.dir = directory or Path(tempfile.mkdtemp(prefix=f"{name}-", dir=parent))
        self.command = [str(word) for word in command(self.port, self.dir)]

    def __enter__(self):
        self.log = open(self.dir.with_suffix(".log"), "w+", encoding="utf-8", errors="replace")
        started = time.monotonic()
        self.process = subprocess.Popen(self.command, stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL)
        try:
            while not self.answers():
                self.must_run()
                if time.monotonic() > started + self.ready_s:
                    raise Failed(f"{self.name} is not ready after {self.ready_s} s: {self.last_words()}")
                time.sleep(0.005)
        except BaseException as error:
            self.__exit__(type(error), None, None)
            raise
        # From the start of the process to the first answer.
        self.start_s = time.monotonic() - started
        return self

    def answers(self):
        with contextlib.suppress(OSError), self.connected(1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(64).startswith(b"+PONG")
        return False

    def connected(self, timeout_s):
        return socket.create_connection(("127.0.0.1", self.port), timeout_s)

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
        if self.is_own:
            shutil.rmtree(self.dir)
        if code != 0 and kind is None:
            raise Failed(f"{self.name} was told to stop and ended with {code}: {words}")


def described(data):
    """The machine, and what is compared on it. `data` is where the directories will be."""
    data.mkdir(parents=True, exist_ok=True)
    if (file_system := run(["stat", "-f", "-c", "%T", data]).stdout.strip()) == "tmpfs":
        raise Failed(f"{data} is in memory: choose a disk with --data")
    return {
        "made": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="minutes"),
        "machine": f"{os.cpu_count()} processors, {platform.release()} {platform.machine()}, {file_system}",
        "redis": run(["redis-server", "--version"]).stdout.strip(),
        "mainstay": run(["git", "describe", "--always", "--dirty"], cwd=ROOT).stdout.strip(),
    }


def written(out, name, text, figures):
    """Keeps what was found as Markdown and as JSON, if a directory for it is given."""
    print(text, end="")
    if out:
        out.mkdir(parents=True, exist_ok=True)
        (out / f"{name}.md").write_text(text)
        (out / f"{name}.json").write_text(json.dumps(figures, indent=1) + "\n")
