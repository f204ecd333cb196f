"""The copy of the project that has all mutants, and how it is built."""

import json
import re
import subprocess
import sys

from source import ROOT

TREE = ROOT / "target/mutants/tree"

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


class Tree:
    def __init__(self, mutants, functions, sources):
        self.functions, self.sources = functions, sources
        self.unviable = set()
        # Mutants that need a build of their own, and functions that have to stay `const`.
        self.alone = {mutant.id for mutant in mutants if mutant.function is None or mutant.function.alone}
        self.const = set()

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

    def write_alone(self, mutant):
        """Puts one mutant in the place of all of its file."""
        source = self.sources[mutant.file]
        update(TREE / mutant.file, mutant.text(source, 0, len(source.text)))


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
