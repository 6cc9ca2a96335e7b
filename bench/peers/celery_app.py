"""Celery with RabbitMQ, as durable as what it is compared with: persistent messages with confirms,
acknowledged after the run; start and result recorded in PostgreSQL.

Run by itself, it enqueues JOBS tasks on SIGUSR1.
"""

import os

from celery import Celery
from celery.signals import worker_ready

app = Celery("celery_app")
app.conf.update(
    broker_url=os.environ["AMQP_URL"],
    broker_connection_retry_on_startup=True,
    broker_transport_options={"confirm_publish": True},
    result_backend=os.environ["DATABASE_URL"].replace("postgres://", "db+postgresql+psycopg://"),
    task_acks_late=True,
    task_default_delivery_mode="persistent",
    task_track_started=True,
)


@app.task(name="noop")
def noop():
    pass


@worker_ready.connect
def say_ready(**_):
    print("ready", flush=True)


if __name__ == "__main__":
    import starting_signal

    with app.connection_for_write() as connection, connection.channel() as channel:
        producer = app.amqp.Producer(channel)
        # Declares the queue.
        app.amqp.queues["celery"].bind(channel).declare()
        starting_signal.wait()
        for _ in range(starting_signal.JOBS):
            noop.apply_async(producer=producer)
    starting_signal.wait()
