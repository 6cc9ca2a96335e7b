"""How the benchmark tells a program that it is time to hand in its jobs."""

import os
import signal

JOBS = int(os.environ.get("JOBS", "0"))

# Blocked from the start, so that it is kept until somebody waits for it.
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})


def wait():
    print("ready", flush=True)
    signal.sigwait({signal.SIGUSR1})
