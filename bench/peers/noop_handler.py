"""A handler process without an SDK, whose one job type does nothing: what the hop costs in Python."""

import json
import os
import socket

channel = socket.socket(fileno=int(os.environ["POLYCHRON_FD"]))
channel.sendall(b'{"hello":{"protocol":1,"types":["noop"]}}\n')
for line in channel.makefile("rb"):
    message = json.loads(line)
    if "start" in message:
        done = {"done": {"id": message["start"]["id"], "result": None}}
        channel.sendall(json.dumps(done).encode() + b"\n")
