"""The signal with which the benchmark makes a program enqueue its jobs."""

import os
import signal

JOBS = int(os.environ.get("JOBS", "0"))

# Blocked from the start, so that it stays pending until the program waits for it.
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})


def wait():
    print("ready", flush=True)
    signal.sigwait({signal.SIGUSR1})
