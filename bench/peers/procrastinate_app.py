"""Procrastinate: one worker of ten tasks at once, on PostgreSQL alone, notified of new jobs by NOTIFY.

`worker` runs it; `enqueue` makes its tables, and enqueues JOBS jobs on SIGUSR1.
"""

import asyncio
import os
import sys

import procrastinate

import starting_signal

CONCURRENCY = 10
GROUP = 500

connector = procrastinate.PsycopgConnector(conninfo=os.environ["DATABASE_URL"], min_size=2, max_size=CONCURRENCY)
app = procrastinate.App(connector=connector)


@app.task(name="noop")
async def noop():
    pass


async def work():
    async with app.open_async():
        print("ready", flush=True)
        await app.run_worker_async(concurrency=CONCURRENCY, install_signal_handlers=False)


async def enqueue():
    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        starting_signal.wait()
        for first in range(0, starting_signal.JOBS, GROUP):
            group = min(GROUP, starting_signal.JOBS - first)
            await noop.batch_defer_async(*[{}] * group)
        starting_signal.wait()


asyncio.run({"worker": work, "enqueue": enqueue}[sys.argv[1]]())
