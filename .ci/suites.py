#!/usr/bin/env python3
"""Runs every test suite of the workspace, two at a time: most of them wait for servers, not for the processor.

Builds first (cargo's own progress on stderr), then prints each suite's output whole when it has ended, and at last what
failed and how many there were. Suites with a Kafka broker never run beside each other: brokers, collectors and processors under load are the
heaviest of all. Exit code 1 if any suite failed.

Usage: .ci/suites.py [LANES]    (default 2)
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

CARGO = ["cargo", "test", "--locked", "--workspace"]
# Begun first, so that none of them is left over at the end: those that take more than a minute.
LONG = ["reports", "store", "alerts", "outage", "keycloak", "together", "snapshot", "rollup", "journal", "correlation", "backstage"]
# Seconds after which a suite hangs. Long forms, which environment variables ask for, take hours.
LONGEST = 2400 if os.environ.get("CI") else 24 * 3600
# One of these at a time.
BROKERS = ["kafka_refused", "kafka_owner", "kafka_faults", "kafka_kill", "kafka", "carrier", "kafka_source", "kafka_sizes"]


def build():
    """Test executables with the folder of their package, as cargo would run them."""
    suites = []
    command = [*CARGO, "--no-run", "--message-format=json-render-diagnostics"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as cargo:
        for line in cargo.stdout:
            said = json.loads(line)
            if said.get("reason") == "compiler-artifact" and said["profile"]["test"] and said["executable"]:
                folder = Path(said["manifest_path"]).parent
                source = Path(said["target"]["src_path"]).relative_to(folder)
                suites.append((said["target"]["name"], f"{folder.name} {source}", said["executable"], folder))
    if cargo.returncode:
        sys.exit(cargo.returncode)
    return suites


class Runs:
    """Suites that wait, and what became of the others. Lanes share it."""

    def __init__(self, suites):
        rank = {name: place for place, name in enumerate(BROKERS + LONG)}
        self.waiting = sorted(suites, key=lambda suite: rank.get(suite[0], len(rank)))
        self.turn = threading.Condition()
        self.broker = False
        self.told = 0
        self.failed = []

    def take(self):
        """The next suite that may run now; none if all have been taken."""
        with self.turn:
            while self.waiting:
                fit = (suite for suite in self.waiting if not (self.broker and suite[0] in BROKERS))
                suite = next(fit, None)
                if suite:
                    self.waiting.remove(suite)
                    self.broker = self.broker or suite[0] in BROKERS
                    return suite
                self.turn.wait()
        return None

    def tell(self, suite, output, code, took):
        name, where, *_ = suite
        with self.turn:
            print(f"== {where}\n{output}== {where}: {'ok' if code == 0 else f'FAILED ({code})'} in {took}", flush=True)
            self.told += 1
            if code:
                self.failed.append(where)
            if name in BROKERS:
                self.broker = False
            self.turn.notify_all()

    def lane(self):
        while suite := self.take():
            began = time.monotonic()
            output, code, cpu = run(suite)
            self.tell(suite, output, code, f"{time.monotonic() - began:.0f} s, {cpu:.0f} s of processor")


def run(suite):
    """Output, exit code and processor seconds of one suite, with all that it started. The output goes to a file: servers that a
    killed suite leaves would hold a pipe open."""
    _, _, executable, folder = suite
    with tempfile.TemporaryFile() as said:
        command = {"stdin": subprocess.DEVNULL, "stdout": said, "stderr": subprocess.STDOUT}
        env = {**os.environ, "CARGO_MANIFEST_DIR": str(folder)}
        try:
            child = subprocess.Popen([executable], cwd=folder, env=env, **command)
        except OSError as error:
            return f"{error}\n", 1, 0.0
        hangs = threading.Timer(LONGEST, child.kill)
        hangs.start()
        _, status, used = os.wait4(child.pid, 0)
        in_time = hangs.is_alive()
        hangs.cancel()
        code = child.returncode = os.waitstatus_to_exitcode(status)
        if not in_time:
            said.write(f"no end after {LONGEST} s\n".encode())
        said.seek(0)
        return said.read().decode(errors="replace"), code, used.ru_utime + used.ru_stime


def main():
    lanes = int(sys.argv[1]) if len(sys.argv) > 1 else 2
    suites = build()
    runs = Runs(suites)
    threads = [threading.Thread(target=runs.lane) for _ in range(lanes)]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            thread.join()
    except KeyboardInterrupt:
        runs.waiting.clear()
        raise
    if subprocess.run([*CARGO, "--doc"], check=False).returncode:
        runs.failed.append("documentation tests")
    for where in runs.failed:
        print(f"== FAILED: {where}")
    print(f"== {runs.told} of {len(suites)} suites were run, {len(runs.failed)} failed")
    sys.exit(0 if runs.told == len(suites) and suites and not runs.failed else 1)


if __name__ == "__main__":
    main()
