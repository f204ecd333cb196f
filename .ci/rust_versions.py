"""Fails if a dependency that reaches users needs a newer Rust than this crate says. Reads `cargo metadata`."""

import json
import sys

metadata = json.load(sys.stdin)
packages = {package["id"]: package for package in metadata["packages"]}
nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
root = packages[metadata["resolve"]["root"]]


def version(text):
    return [int(part) for part in text.split(".")]


reached, waiting = set(), [root["id"]]
while waiting:
    id = waiting.pop()
    if id not in reached:
        reached.add(id)
        for dependency in nodes[id]["deps"]:
            # Neither those of tests nor of build scripts, of which the kind is not null.
            if any(kind["kind"] is None for kind in dependency["dep_kinds"]):
                waiting.append(dependency["pkg"])

newer = [
    f"{package['name']} {package['version']} needs Rust {package['rust_version']}"
    for package in map(packages.get, sorted(reached))
    if version(package["rust_version"] or "1.0")[:2] > version(root["rust_version"])
]
print(*newer or [f"{len(reached)} packages are fine with Rust {root['rust_version']}"], sep="\n")
sys.exit(bool(newer))
