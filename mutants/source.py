"""The mutants that cargo-mutants finds, and where in the sources they are."""

import collections
import json
import pathlib
import re
import shutil
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent


def find(paths):
    """Asks cargo-mutants for the mutants of these files. Returns them, their functions, and the files by path."""
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
    return mutants, list(functions.values()), sources


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
