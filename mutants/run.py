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
import re
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
WORK = ROOT / "target/mutants"
TREE = WORK / "tree"
OUTCOMES = WORK / "outcomes.json"
# A chunk of tests that takes longer than this and five times what it took without a mutant hangs.
GRACE = 8.0
# How many tests are run at a time. The most promising come first, and most mutants get no further.
CHUNKS = [4, 16, 64, 256]
MEMORY = 8 << 30
SURVIVED = ("survived", "not reached")

SWITCH = """use std::{env, fs::File, io::Write, sync::LazyLock, sync::atomic::{AtomicBool, Ordering}};
static ACTIVE: LazyLock<u32> = LazyLock::new(|| env::var("MUTANT").map_or(0, |id| id.parse().unwrap()));
static TRACE: LazyLock<Option<File>> = LazyLock::new(|| {
    env::var("MUTANT_TRACE").ok().map(|path| File::options().append(true).create(true).open(path).unwrap())
});
static SEEN: [AtomicBool; COUNT] = [const { AtomicBool::new(false) }; COUNT];
pub(crate) fn at(function: u16) -> u32 {
    if let Some(mut file) = TRACE.as_ref() {
        if !SEEN[usize::from(function)].swap(true, Ordering::Relaxed) {
            file.write_all(&function.to_le_bytes()).unwrap();
        }
    }
    *ACTIVE
}
"""


class Source:
    """A file of src/, with positions as cargo-mutants counts them."""

    def __init__(self, path):
        self.path = path
        self.text = (ROOT / path).read_text(encoding="utf-8")
        self.lines = [0]
        for line in self.text.splitlines(keepends=True):
            self.lines.append(self.lines[-1] + len(line))

    def offset(self, position):
        return self.lines[position["line"] - 1] + position["column"] - 1

    def range(self, span):
        return self.offset(span["start"]), self.offset(span["end"])

    def line(self, position):
        return self.text[self.lines[position["line"] - 1] : self.lines[position["line"]]].strip()


class Mutant:
    def __init__(self, number, found, source):
        self.id = number
        self.file = found["file"]
        self.replacement = found["replacement"]
        self.start, self.end = source.range(found["span"])
        self.function = None
        what = found["name"].split(": ", 1)[1]
        self.name = f"{self.file}: {what}"
        if found["genre"] != "FnValue":
            self.name += f" | {source.line(found['span']['start'])}"

    def text(self, source, start, end):
        return source.text[start : self.start] + self.replacement + source.text[self.end : end]


class Function:
    """A function with mutants. Its body is the part of the source from `start` to `end`, without the braces."""

    def __init__(self, number, found, source):
        self.id = number
        self.mutants = []
        first, last = source.range(found["span"])
        self.start, self.end = body_of(source.text, first, last), last - 1
        self.head = first
        head = source.text[first : self.start]
        self.const = re.search(r"\bconst (?=(async |unsafe )*fn\b)", head)
        # The branches of a choice would not have the same type.
        self.alone = "impl " in found["return_type"]


# What may hold a brace or a bracket that is none: comments, strings, characters.
NO_CODE = re.compile(r"""//[^\n]*|/\*.*?\*/|b?"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])'""", re.S)


def body_of(text, start, end):
    """Where the body of the function begins, after its brace."""
    depth = 0
    while start < end:
        if skipped := NO_CODE.match(text, start):
            start = skipped.end()
            continue
        depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(text[start], 0)
        start += 1
        if text[start - 1] == "{" and depth == 0:
            return start
    raise ValueError(f"a function without a body: {text[start:end]}")


class Run:
    def __init__(self, mutants, functions, sources):
        self.mutants, self.functions, self.sources = mutants, functions, sources
        self.unviable = set()
        # Mutants that need a build of their own, and functions that have to stay `const`.
        self.alone = {m.id for m in mutants if m.function is None or m.function.alone}
        self.const = set()
        # Those to run, and what became of all that were run, by name.
        self.chosen, self.outcomes = mutants, {}
        self.killers = collections.defaultdict(list)
        self.lock = threading.Lock()

    # The copy with all mutants.

    def write(self):
        """Writes the copy. Returns where each mutant is, as the file and its lines."""
        places = {}
        for path, source in self.sources.items():
            edits = []
            for function in self.functions:
                if function.source is source and function.id not in self.const:
                    edits += self.edits(function)
            text, line, done = [], 1, 0
            for at, end, new, mutant in sorted(edits, key=lambda edit: edit[:2]):
                text += [source.text[done:at], new]
                line += source.text.count("\n", done, at)
                if mutant:
                    places[mutant.id] = path, line, line + new.count("\n")
                line += new.count("\n")
                done = end
            text.append(source.text[done:])
            update(TREE / path, "".join(text))
        update(TREE / "src/mutants.rs", SWITCH.replace("COUNT", str(len(self.functions) + 1)))
        return places

    def edits(self, function):
        """Parts of the source to replace: the choice comes before the body, which stays as it is."""
        source, start = function.source, function.start
        if function.const:
            at = function.head + function.const.start()
            yield at, function.head + function.const.end(), "", None
        yield start, start, f" match crate::mutants::at({function.id}) {{", None
        for mutant in function.mutants:
            if mutant.id not in self.unviable | self.alone:
                body = mutant.text(source, start, function.end)
                yield start, start, f"\n{mutant.id} => return {{ {body} }},\n", mutant
        yield start, start, " _ => {} }\n", None

    def check(self):
        """Writes copies until one builds, without the mutants that the compiler rejects."""
        while True:
            places = self.write()
            # Some lints come with the code only.
            errors = compiler_errors(["check", "--lib"]) or compiler_errors(["build", "--lib"])
            if not errors:
                return
            before = len(self.unviable) + len(self.alone) + len(self.const)
            for error in errors:
                self.reject(error, places)
            if len(self.unviable) + len(self.alone) + len(self.const) == before:
                sys.exit("\n".join(error["rendered"] for error in errors[:5]))

    def reject(self, error, places):
        spans = [outermost(span) for span in error["spans"]]
        spans.sort(key=lambda span: not span["is_primary"])
        for span in spans:
            for number, (path, first, last) in places.items():
                if path == span["file_name"] and first <= span["line_start"] <= last:
                    self.unviable.add(number)
                    return
        # A function that constants call has to be `const`.
        if found := re.search(r"non-const .*`(?:.*::)?(\w+)(?:::<.*>)?`", error["message"]):
            for function in self.functions:
                if function.const and re.search(rf"fn {found[1]}\b", function.source.text[function.head : function.start]):
                    self.const.add(function.id)
                    self.alone |= {mutant.id for mutant in function.mutants}

    # The tests.

    def trace(self):
        """Runs each test alone, to see how long it takes and which functions it reaches."""
        tests = []
        for binary in self.binaries:
            listed = subprocess.run([binary, "--list", "--format", "terse"], cwd=TREE, capture_output=True, text=True)
            tests += [(binary, line[: -len(": test")]) for line in listed.stdout.splitlines() if line.endswith(": test")]
        self.seconds, self.reached, self.breadth = {}, collections.defaultdict(list), {}
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            for test, seconds, functions, status in pool.map(self.trace_one, range(len(tests)), tests):
                if status != 0:
                    sys.exit(f"{test[1]} fails without a mutant ({status})")
                self.seconds[test] = seconds
                self.breadth[test] = len(functions)
                for function in functions:
                    self.reached[function].append(test)

    def trace_one(self, number, test):
        file = WORK / f"trace/{number}"
        file.unlink(missing_ok=True)
        start = time.monotonic()
        status = execute([test[0], "--exact", test[1]], 120, {"MUTANT_TRACE": str(file)})
        data = file.read_bytes() if file.exists() else b""
        numbers = {int.from_bytes(data[at : at + 2], "little") for at in range(0, len(data), 2)}
        return test, time.monotonic() - start, numbers, status

    def outcome(self, mutant):
        """Runs the tests that reach the function, those that are quick and reach little else first."""
        function = mutant.function
        if function is None or function.id in self.const:
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
                names = [name for of, name in chunk if of == binary]
                limit = GRACE + 5 * sum(self.seconds[binary, name] for name in names)
                status = execute([binary, "--exact", *names], limit, {"MUTANT": str(mutant.id)}) if names else 0
                if status != 0:
                    with self.lock:
                        self.killers[function] += [test for test in chunk if len(chunk) == CHUNKS[0]]
                    return "timed out" if status is None else "caught"
        return "survived"

    def outcome_alone(self, mutant):
        """With a build of its own."""
        source = self.sources[mutant.file]
        update(TREE / mutant.file, mutant.text(source, 0, len(source.text)))
        try:
            # The binaries have the names that they had.
            if not build():
                return "unviable"
            self.killers.clear()
            return self.outcome(mutant)
        finally:
            self.write()

    def run(self, deadline):
        for directory in [TREE, WORK / "trace"]:
            directory.mkdir(parents=True, exist_ok=True)
        copy(self.sources)
        self.check()
        for mutant in self.mutants:
            if mutant.id in self.unviable:
                self.report(mutant, "unviable")
        self.binaries = build() or sys.exit("the copy does not build")
        print(f"built after {since()}, {len(self.unviable)} are unviable", flush=True)
        self.trace()
        print(f"traced {len(self.seconds)} tests after {since()}", flush=True)

        def in_time(outcome, mutant):
            if time.monotonic() < deadline:
                self.report(mutant, outcome(mutant))

        chosen = [mutant for mutant in self.chosen if mutant.id not in self.unviable]
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            together = [mutant for mutant in chosen if mutant.id not in self.alone]
            list(pool.map(lambda mutant: in_time(self.outcome, mutant), together))
        for mutant in chosen:
            if mutant.id in self.alone:
                in_time(self.outcome_alone, mutant)

    def report(self, mutant, outcome):
        with self.lock:
            self.outcomes[mutant.name] = outcome
            OUTCOMES.write_text(json.dumps(self.outcomes, indent=0))
        if outcome in SURVIVED:
            print(f"{outcome}: {mutant.name}", flush=True)


# Processes.


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


def cargo(arguments):
    command = ["cargo", *arguments, "--all-features", "--message-format", "json", "--target-dir", str(ROOT / "target")]
    done = subprocess.run(command, cwd=TREE, capture_output=True, text=True)
    messages = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return done, messages


def compiler_errors(arguments):
    done, messages = cargo(arguments)
    errors = [m["message"] for m in messages if m["reason"] == "compiler-message"]
    errors = [error for error in errors if error["level"].startswith("error") and error["spans"]]
    if done.returncode != 0 and not errors:
        sys.exit(done.stderr)
    return errors


def build():
    """Returns the two test binaries, or nothing if they do not build."""
    done, messages = cargo(["test", "--no-run", "--lib", "--test", "it"])
    if done.returncode != 0:
        return None
    made = {m["target"]["name"]: m["executable"] for m in messages if m["reason"] == "compiler-artifact" and m["executable"]}
    return [made["tower_upgrade"], made["it"]]


def outermost(span):
    """Where a macro was called, for a span inside of it."""
    while span["expansion"] and not span["file_name"].startswith("src/"):
        span = {**span["expansion"]["span"], "is_primary": span["is_primary"]}
    return span


# Files.


def copy(sources):
    """The rest of the project, without the lints, which the mutants need not keep."""
    names = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True)
    kept = {name for name in names.stdout.splitlines() if (ROOT / name).is_file()}
    for old in TREE.rglob("*.rs"):
        if str(old.relative_to(TREE)) not in kept | {"src/mutants.rs"}:
            old.unlink()
    for path in kept - sources.keys():
        data = (ROOT / path).read_bytes()
        if path == "Cargo.toml":
            data = re.sub(rb"^\[lints.*?(?=^\[(?!lints)|\Z)", b"", data, flags=re.M | re.S)
            data += b"\n[profile.dev.package.tower-upgrade]\ndebug = false\n"
        if path == "src/lib.rs":
            data += b"\nmod mutants;\n"
        update(TREE / path, data)


def update(path, text):
    """Writes the file, unless it is as it should be: a file that is touched is built again."""
    data = text.encode() if isinstance(text, str) else text
    if not path.exists() or path.read_bytes() != data:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


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


BEGINNING = time.monotonic()


def since():
    return f"{time.monotonic() - BEGINNING:.0f} s"


def find(paths):
    """Asks cargo-mutants for the mutants of these files."""
    if not shutil.which("cargo-mutants"):
        subprocess.run(["cargo", "install", "--locked", "cargo-mutants"], check=True)
    only = [argument for path in paths for argument in ("--file", path)]
    command = ["cargo", "mutants", "--list", "--json", "--all-features", *only]
    found = json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout or "[]")
    # lib.rs has no function.
    sources = {path: Source(path) for path in paths if path != "src/lib.rs"}
    functions, mutants, seen = {}, [], collections.Counter()
    for number, entry in enumerate(found, 1):
        source = sources[entry["file"]]
        mutant = Mutant(number, entry, source)
        seen[mutant.name] += 1
        if seen[mutant.name] > 1:
            mutant.name += f" | {seen[mutant.name]}"
        mutants.append(mutant)
        if entry["function"]:
            key = entry["file"], *source.range(entry["function"]["span"])
            if key not in functions:
                functions[key] = Function(len(functions) + 1, entry["function"], source)
                functions[key].source = source
            mutant.function = functions[key]
            mutant.function.mutants.append(mutant)
    return Run(mutants, list(functions.values()), sources)


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
    run = find(chosen)
    if options.survivors:
        run.outcomes = last
        run.chosen = [mutant for mutant in run.mutants if last.get(mutant.name, "survived") in SURVIVED]
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
