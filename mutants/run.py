"""Runs the mutants of cargo-mutants, all of them in two builds. mutants/README.md says how that works.

Usage: run.py [--changed] [--survivors] [--seconds N] [FILE...]

  FILE         the mutants of these files of src/; without any, of all files
  --changed    those of the files that are not as they were when RESULTS.md was written
  --survivors  those that survived, or were not run, when this was run last, after tests were added
  --seconds N  starts no mutant later than this, and says how many were left out

Fails if a mutant survives that is neither in accepted.txt nor in open.txt, or if one that is there does not
survive. Writes RESULTS.md, unless the time was limited.
"""

import argparse
import collections
import concurrent.futures
import json
import os
import pathlib
import resource
import signal
import subprocess
import sys
import threading
import time

sys.dont_write_bytecode = True

from source import ROOT, find
from tree import TREE, Tree, build, copy

HERE = pathlib.Path(__file__).resolve().parent
TRACES = ROOT / "target/mutants/trace"
OUTCOMES = ROOT / "target/mutants/outcomes.json"
# A chunk of tests that takes longer than this and five times what it took without a mutant hangs.
GRACE = 8.0
# How many tests are run at a time. The most promising come first, and most mutants get no further.
CHUNKS = [4, 16, 64, 256]
MEMORY = 8 << 30
SURVIVED = ("survived", "not reached")
BEGINNING = time.monotonic()


class Run:
    def __init__(self, mutants, tree):
        self.mutants, self.tree = mutants, tree
        # Those to run, and what became of all that were run, by name.
        self.chosen, self.outcomes = mutants, {}
        # The tests that were the first to fail, by function.
        self.killers = collections.defaultdict(list)
        self.lock = threading.Lock()

    def trace(self):
        """Runs each test alone, to see how long it takes and which functions it reaches."""
        tests = []
        for binary in self.binaries:
            listed = subprocess.run([binary, "--list", "--format", "terse"], cwd=TREE, capture_output=True, text=True)
            tests += [(binary, line[: -len(": test")]) for line in listed.stdout.splitlines() if line.endswith(": test")]
        self.seconds, self.reached, self.breadth = {}, collections.defaultdict(list), {}
        failed = 0
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            for test, seconds, functions, status in pool.map(self.trace_one, range(len(tests)), tests):
                if status != 0:
                    # A test of allocations may see that of the choice itself.
                    print(f"left out, since it fails without a mutant: {test[1]} ({status})", flush=True)
                    failed += 1
                    if failed > 5:
                        sys.exit("too many tests fail without a mutant")
                    continue
                self.seconds[test] = seconds
                self.breadth[test] = len(functions)
                for function in functions:
                    self.reached[function].append(test)

    def trace_one(self, number, test):
        file = TRACES / str(number)
        file.unlink(missing_ok=True)
        start = time.monotonic()
        status = execute([test[0], "--exact", test[1]], 120, {"MUTANT_TRACE": str(file)})
        data = file.read_bytes() if file.exists() else b""
        numbers = {int.from_bytes(data[at : at + 2], "little") for at in range(0, len(data), 2)}
        return test, time.monotonic() - start, numbers, status

    def outcome(self, mutant):
        """Runs the tests that reach the function, those that are quick and reach little else first."""
        function = mutant.function
        if function is None or function.id in self.tree.const:
            tests = list(self.seconds)
        else:
            tests = self.reached[function.id]
        if not tests:
            return "not reached"
        with self.lock:
            killers = list(self.killers[function])
        tests = sorted(tests, key=lambda test: (test not in killers, (self.seconds[test] + 0.02) * self.breadth[test]))
        size = iter(CHUNKS)
        while tests:
            count = next(size, len(tests))
            chunk, tests = tests[:count], tests[count:]
            for binary in self.binaries:
                status = self.status(mutant, binary, [name for of, name in chunk if of == binary])
                if status != 0:
                    with self.lock:
                        self.killers[function] += [test for test in chunk if len(chunk) == CHUNKS[0]]
                    return "timed out" if status is None else "caught"
        return "survived"

    def status(self, mutant, binary, names):
        """Returns 0 if the tests pass, `None` if they hang. They have to fail twice: one may fail by chance."""
        if not names:
            return 0
        limit = GRACE + 5 * sum(self.seconds[binary, name] for name in names)
        for _ in range(2):
            status = execute([binary, "--exact", *names], limit, {"MUTANT": str(mutant.id)})
            if not status:
                break
        return status

    def outcome_alone(self, mutant):
        """With a build of its own, whose binaries have the names that they had."""
        self.tree.write_alone(mutant)
        try:
            if not build():
                return "unviable"
            self.killers.clear()
            return self.outcome(mutant)
        finally:
            self.tree.write()

    def run(self, deadline):
        for directory in [TREE, TRACES]:
            directory.mkdir(parents=True, exist_ok=True)
        copy(self.tree.sources)
        self.tree.check()
        for mutant in self.mutants:
            if mutant.id in self.tree.unviable:
                self.report(mutant, "unviable")
        self.binaries = build() or sys.exit("the copy does not build")
        print(f"built after {since()}, {len(self.tree.unviable)} are unviable", flush=True)
        self.trace()
        print(f"traced {len(self.seconds)} tests after {since()}", flush=True)

        def in_time(outcome, mutant):
            if time.monotonic() < deadline:
                self.report(mutant, outcome(mutant))

        chosen = [mutant for mutant in self.chosen if mutant.id not in self.tree.unviable]
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            together = [mutant for mutant in chosen if mutant.id not in self.tree.alone]
            list(pool.map(lambda mutant: in_time(self.outcome, mutant), together))
        for mutant in chosen:
            if mutant.id in self.tree.alone:
                in_time(self.outcome_alone, mutant)

    def report(self, mutant, outcome):
        with self.lock:
            self.outcomes[mutant.name] = outcome
            OUTCOMES.write_text(json.dumps(self.outcomes, indent=0))
        if outcome in SURVIVED:
            print(f"{outcome}: {mutant.name}", flush=True)


def execute(command, limit, environment):
    """Returns the exit status, or `None` if it takes longer. A mutant may also ask for all memory there is."""
    child = subprocess.Popen(
        command, cwd=TREE, env={**os.environ, **environment}, start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY)),
    )  # fmt: skip
    try:
        return child.wait(limit)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        return None


def listed(name):
    """The mutants in a list: its indented lines."""
    lines = (HERE / name).read_text(encoding="utf-8").splitlines()
    return {line.strip() for line in lines if line.startswith("  ")}


def hashes(paths):
    done = subprocess.run(["git", "hash-object", *paths], cwd=ROOT, capture_output=True, text=True, check=True)
    return dict(zip(paths, (line[:12] for line in done.stdout.split())))


def recorded():
    """The rows of RESULTS.md, by file."""
    path = HERE / "RESULTS.md"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    rows = [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in lines if line.startswith("| `src/")]
    return {row[0]: row for row in rows}


COLUMNS = ["file", "mutants", "unviable", "caught", "accepted", "open", "not run", "blob"]


def write_results(rows):
    total = ["all"] + [str(sum(int(row[at]) for row in rows.values())) for at in range(1, len(COLUMNS) - 1)] + [""]
    lines = ["# What became of the mutants", "", "Written by `mutants/run.py`. `blob` is git's hash of the file as it was then.", ""]
    lines += ["| " + " | ".join(COLUMNS) + " |", "|---" * len(COLUMNS) + "|"]
    lines += [f"| `{row[0]}` | " + " | ".join(row[1:-1]) + f" | `{row[-1]}` |" for _, row in sorted(rows.items())]
    lines += ["| " + " | ".join(total) + " |", ""]
    (HERE / "RESULTS.md").write_text("\n".join(lines), encoding="utf-8")


def since():
    return f"{time.monotonic() - BEGINNING:.0f} s"


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--changed", action="store_true")
    parser.add_argument("--survivors", action="store_true")
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("files", nargs="*")
    options = parser.parse_args()
    files = subprocess.run(["git", "ls-files", "src/*.rs"], cwd=ROOT, capture_output=True, text=True).stdout.split()
    blobs, rows = hashes(files), {path: row for path, row in recorded().items() if path in files}
    last = json.loads(OUTCOMES.read_text()) if OUTCOMES.exists() else {}
    chosen = options.files or files
    if options.changed:
        chosen = [path for path in chosen if path not in rows or rows[path][-1] != blobs[path]]
    if not chosen:
        print("no file has changed")
        return 0
    mutants, functions, sources = find(chosen)
    run = Run(mutants, Tree(mutants, functions, sources))
    if options.survivors:
        run.chosen = [mutant for mutant in run.mutants if last.get(mutant.name, "survived") in SURVIVED]
    for mutant in run.chosen:
        last.pop(mutant.name, None)
    run.outcomes = last
    if run.chosen:
        run.run(BEGINNING + options.seconds)

    accepted, opened = listed("accepted.txt"), listed("open.txt")
    names = {mutant.name for mutant in run.mutants}
    survivors = {name for name in names if run.outcomes.get(name) in SURVIVED}
    left = names - run.outcomes.keys()
    for path in chosen:
        of = {mutant.name for mutant in run.mutants if mutant.file == path}
        count = collections.Counter(run.outcomes[name] for name in of - left)
        numbers = [len(of), count["unviable"], count["caught"] + count["timed out"]]
        numbers += [len(survivors & accepted & of), len((survivors - accepted) & of), len(left & of)]
        rows[path] = [path, *map(str, numbers), blobs[path]]
    if options.seconds == float("inf"):
        write_results(rows)
    print(f"{len(names)} mutants of {len(chosen)} files in {since()}, {len(survivors)} survive, {len(left)} were left out")
    new = survivors - accepted - opened
    for name in sorted(new):
        print(f"survives, and is in no list: {name}")
    stale = {name for name in accepted | opened if name.split(":")[0] in chosen} - survivors - left
    for name in sorted(stale):
        print(f"in a list, and does not survive: {name}")
    return 1 if new or stale else 0


if __name__ == "__main__":
    sys.exit(main())
