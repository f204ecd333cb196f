"""Judges a report of Autobahn's cases: prints a line per group, and fails if a case is not OK.

kosoku itself accepts NON-STRICT, and does not notice that a case was not run.
"""

import collections
import json
import sys

# How many cases each group has, by what autobahn.sh calls the run.
RUNS = {
    "framing": {"1": 16, "2": 11, "3": 7, "4": 10, "5": 20, "6": 145, "7": 37, "9": 54, "10": 1},
    "deflate": {"12": 90, "13": 126},
    "some-deflate": {"12": 15, "13": 21},
}

# Autobahn gives no verdict on these: data after a close frame, and undefined close codes.
WITHOUT_VERDICT = {"7.1.6", "7.13.1", "7.13.2"}


def main(path, run):
    with open(path, encoding="utf-8") as file:
        ((_, cases),) = json.load(file).items()
    groups = collections.defaultdict(list)
    for case, result in cases.items():
        groups[case.split(".")[0]].append((case, result))
    failed = False
    for group, expected in RUNS[run].items():
        results = groups.pop(group, [])
        bad = [describe(case, result) for case, result in results if not is_ok(case, result)]
        if len(results) != expected:
            bad.append(f"{len(results)} cases instead of {expected}")
        seconds = sum(result["duration"] for _, result in results) / 1000
        undecided = sum(case in WITHOUT_VERDICT for case, _ in results)
        verdict = "; ".join(bad) or f"{expected - undecided} OK"
        if undecided:
            verdict += f", {undecided} without a verdict"
        print(f"autobahn {group}: {verdict} ({seconds:.1f} s)")
        failed = failed or bool(bad)
    if groups:
        print(f"autobahn: the groups {sorted(groups)} are not part of this run")
    return 1 if failed or groups else 0


def is_ok(case, result):
    allowed = {"OK", "INFORMATIONAL"} if case in WITHOUT_VERDICT else {"OK"}
    return result["behavior"] in allowed and result["behaviorClose"] in allowed


def describe(case, result):
    return f"{case} is {result['behavior']}, its close {result['behaviorClose']}"


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
