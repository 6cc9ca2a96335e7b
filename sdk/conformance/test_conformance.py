"""Shows that each check can fail: runs it on a process with that fault, and without any."""

import concurrent.futures
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
FAULTS = {
    "half lines": "P5",
    "empty lines": "P1",
    "not UTF-8": "P1",
    "inherited socket": "P2",
    "inherited variable": "P2",
    "strict fields": "P3",
    "strict kinds": "P3",
    "reads between handlers only": "P4",
    "ignores cancels": "P14",
    "strict cancels": "P14",
    "alive first": "P5",
    "wrong hello": "P5",
    "second hello": "P5",
    "starts alone": "P5",
    "answers twice": "P6",
    "keeps a payload": "P6",
    "one read is one message": "P6",
    "always retries": "P6",
    "seconds": "P6",
    "stays": "P7",
    "wrong status": "P7",
    "newest version": "P8",
    "silent": "P9",
    "long line": "P10",
    "large result fails": "P10",
    "long error": "P11",
    "keeps a tenant": "P12",
    "quotes": "P13",
    "no flush": "P15",
    "SIGINT": "P16",
    "finishes alone": "P17",
}


def report(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(HERE / "conformance.py"), *arguments]
    environment = {**os.environ, "CONFORMANCE_PATIENCE": "3"}
    return subprocess.run(command, capture_output=True, text=True, env=environment)


def wrong(fault: str) -> str | None:
    """What is wrong with the report about a process with this fault."""
    rule = FAULTS[fault]
    ran = report("--only", rule, "--", sys.executable, str(HERE / "broken.py"), fault)
    seen = any(line.startswith(f"FAIL       {rule} ") for line in ran.stdout.splitlines())
    return None if seen and ran.returncode == 1 else f"{fault}: {rule} was not reported\n{ran.stdout}{ran.stderr}"


def main() -> int:
    whole = report("--sdk", "--", sys.executable, str(HERE / "broken.py"))
    problems = [] if whole.returncode == 0 else [f"without a fault:\n{whole.stdout}{whole.stderr}"]
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        problems += filter(None, pool.map(wrong, FAULTS))
    for problem in problems:
        print(problem)
    print(f"{len(FAULTS)} faults, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
