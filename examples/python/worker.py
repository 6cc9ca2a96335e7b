#!/usr/bin/env python3
"""Processes the messages of `amqp` jobs.

    pip install pika
    AMQP_URL=amqp://guest:guest@127.0.0.1:5672 python3 worker.py

See README.md for the job that publishes them.
"""

import json
import os

import pika

connection = pika.BlockingConnection(pika.URLParameters(os.environ["AMQP_URL"]))
channel = connection.channel()
channel.exchange_declare("greetings", exchange_type="direct", durable=True)
channel.queue_declare("greetings.todo", durable=True)
channel.queue_bind("greetings.todo", "greetings", routing_key="greet")
done = set()  # a real worker keeps this in its database


def greet(channel, delivery, properties, body):
    # A retried job publishes a message with the same id.
    if properties.message_id not in done:
        done.add(properties.message_id)
        name = json.loads(body)["name"]
        print(f"Hello, {name}, from {properties.headers['polychron-tenant']}", flush=True)
    channel.basic_ack(delivery.delivery_tag)


channel.basic_qos(prefetch_count=10)
channel.basic_consume("greetings.todo", greet)
print("waiting", flush=True)
channel.start_consuming()
