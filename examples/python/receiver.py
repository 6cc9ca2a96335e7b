#!/usr/bin/env python3
"""Receives the calls of an `http` job and accepts only signed ones.

    HOOK_SECRET=correct-horse-battery python3 receiver.py 8090

Standard library only. See README.md for the job that calls it.
"""

import base64
import hashlib
import hmac
import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SECRET = os.environ["HOOK_SECRET"].encode()
MAX_AGE = 300  # seconds; an older call may be a replay
done = set()  # a real receiver keeps this in its database


def is_genuine(headers, body):
    """Standard Webhooks: HMAC-SHA256 over id, timestamp and body."""
    call, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "0")
    signed = f"{call}.{timestamp}.".encode() + body
    expected = base64.b64encode(hmac.new(SECRET, signed, hashlib.sha256).digest()).decode()
    signatures = headers.get("webhook-signature", "").split(" ")
    is_fresh = abs(time.time() - int(timestamp)) < MAX_AGE
    return is_fresh and any(hmac.compare_digest(f"v1,{expected}", one) for one in signatures)


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if not is_genuine(self.headers, body):
            return self.answer(401, {"error": "the signature does not match"})
        key = self.headers["idempotency-key"]
        again = key in done  # every attempt at one occurrence has the same key
        done.add(key)
        print(f"attempt {self.headers['polychron-attempt']}: {body.decode()}", flush=True)
        self.answer(200, {"greeted": json.loads(body)["name"], "again": again})

    def answer(self, status, value):
        text = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Receiver).serve_forever()
