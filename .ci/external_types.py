"""Fails if the public API names a type of a crate that Cargo.toml does not allow.

Called with the JSON that rustdoc writes. The list is `allowed_external_types`, in which `*` stands for any path.
"""

import fnmatch
import json
import subprocess
import sys

with open(sys.argv[1], encoding="utf-8") as file:
    doc = json.load(file)
metadata = subprocess.check_output(["cargo", "metadata", "--no-deps", "--format-version=1"])
package = json.loads(metadata)["packages"][0]
allowed = package["metadata"]["cargo_check_external_types"]["allowed_external_types"]


def paths(value):
    """Yields the paths of all types and traits in a part of the JSON, except those of this crate and of std."""
    if isinstance(value, dict):
        summary = doc["paths"].get(str(value.get("id")))
        if summary and summary["crate_id"] != 0:
            if summary["path"][0] not in ("alloc", "core", "std"):
                yield "::".join(summary["path"])
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from paths(part)


def is_written(item):
    """Whether somebody wrote it: impls of auto traits are derived, also by pin-project-lite."""
    impl = item["inner"].get("impl")
    if not impl:
        return True
    is_auto = impl["is_synthetic"] or (impl["trait"] and impl["trait"]["path"] == "Unpin")
    return not is_auto and not impl["blanket_impl"]


named = {}
for item in doc["index"].values():
    if item["crate_id"] == 0 and is_written(item):
        for path in paths(item["inner"]):
            named.setdefault(path, item)

failed = False
for path, item in sorted(named.items()):
    if not any(fnmatch.fnmatchcase(path, pattern) for pattern in allowed):
        span = item["span"] or {"filename": "?", "begin": [0]}
        print(f"{span['filename']}:{span['begin'][0]}: `{path}` is not allowed in the public API")
        failed = True
for pattern in allowed:
    if not any(fnmatch.fnmatchcase(path, pattern) for path in named):
        print(f"Cargo.toml: nothing in the public API matches `{pattern}`")
        failed = True
print("Public dependencies:", *sorted({path.split("::")[0] for path in named}))
sys.exit(failed)
