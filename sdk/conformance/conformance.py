#!/usr/bin/env python3
"""Drives a handler process through the whole handler protocol, good and bad, and prints what it gets
wrong. Needs Python 3.10 and nothing else. README.md says which job types the process must offer.

    python3 conformance.py [--sdk] [--only P6] -- COMMAND [ARGUMENT …]
"""

from __future__ import annotations

import argparse
import concurrent.futures
import sys
import traceback
from dataclasses import dataclass

import checks
from driver import Ended, Silence
from rules import RULES, Rule, Violation, Watched


@dataclass
class Verdict:
    rule: Rule
    state: str  # ok, FAIL, not tested
    why: str = ""


def verdict(rule: Rule, command: list[str], types: set[str]) -> Verdict:
    """Runs one check in processes of its own."""
    missing = [name for name in rule.needs if name not in types]
    if missing:
        return Verdict(rule, "not tested", f"no job type {', '.join(missing)}")
    started: list[Watched] = []

    def start(**environment: str) -> Watched:
        started.append(Watched(command, **environment))
        return started[-1]

    try:
        rule.check(start)
        return Verdict(rule, "ok")
    except (Violation, Ended, Silence) as error:
        why = str(error) or type(error).__name__
    except Exception as error:  # an answer of a form that nobody expected
        why = f"{type(error).__name__}: {error} ({traceback.extract_tb(error.__traceback__)[-1]})"
    finally:
        printed = "".join(one.printed() for one in started)
        for one in started:
            one.__exit__()
    return Verdict(rule, "FAIL", f"{why}{_quote(printed)}")


def _quote(printed: str) -> str:
    lines = printed.strip().splitlines()[-5:]
    return "".join(f"\n        | {line}" for line in lines)


def offered(command: list[str]) -> set[str]:
    """The job types in the process's hello. Raises Violation."""
    with Watched(command) as process:
        try:
            return set(process.hello()["types"])
        except (Violation, Ended, Silence) as error:
            raise Violation(f"no hello: {error}{_quote(process.printed())}") from None


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sdk", action="store_true", help="fail if a rule cannot be tested")
    parser.add_argument("--only", metavar="RULE", help="test one rule, such as P6")
    parser.add_argument("--quiet", action="store_true", help="print what is wrong only")
    parser.add_argument("command", nargs="+", metavar="COMMAND", help="starts a handler process")
    options = parser.parse_args(arguments)
    try:
        types = offered(options.command)
    except Violation as error:
        print(f"FAIL       P5  {error}")
        return 1
    rules = [rule for rule in RULES if options.only in (None, rule.name)]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        # The longest first.
        verdicts = list(pool.map(lambda rule: verdict(rule, options.command, types), rules))
    for one in sorted(verdicts, key=lambda one: int(one.rule.name[1:])):
        is_wrong = one.state == "FAIL" or (one.state == "not tested" and options.sdk)
        if is_wrong or not options.quiet:
            why = f": {one.why}" if one.why else ""
            print(f"{one.state:10} {one.rule.name:4}{one.rule.text}{why}")
    count = {state: sum(one.state == state for one in verdicts) for state in ("ok", "FAIL")}
    untested = len(verdicts) - count["ok"] - count["FAIL"]
    print(f"{count['ok']} kept, {count['FAIL']} violated, {untested} not tested")
    return 1 if count["FAIL"] or (options.sdk and untested) or not verdicts else 0


assert checks  # it fills RULES

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
