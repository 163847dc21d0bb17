"""Another program's view of the receiver: CloudEvents by the `cloudevents` package of PyPI, signed
with Python's own hmac, sent with its own http client. Prints a line for each thing that held."""

import hashlib
import hmac
import http.client
import json
import sys
import time

from cloudevents.conversion import to_json, to_structured
from cloudevents.http import CloudEvent

host, port, secret_file = sys.argv[1], int(sys.argv[2]), sys.argv[3]
secret = open(secret_file, "rb").read().strip()
# The same for all: an event that comes again with a later time is a refresh and no duplicate.
observed = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def post(path, headers, body):
    stamp = str(int(time.time()))
    signature = hmac.new(secret, stamp.encode() + b"\n" + body, hashlib.sha256).hexdigest()
    connection = http.client.HTTPConnection(host, port, timeout=10)
    signed = {**headers, "X-Routerd-Timestamp": stamp, "X-Routerd-Signature": signature}
    connection.request("POST", path, body, signed)
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read())


def cloud_event(id, **more):
    attributes = {
        "id": id,
        "type": "routerd.client.ipv4.observed",
        "source": "https://example.net/nodes/onprem-router",
        "subject": "10.88.60.9/32",
        "datacontenttype": "application/json",
        "time": observed,
        **more,
    }
    return CloudEvent(attributes, {"address": "10.88.60.9/32"})


def holds(what, is_so, saw):
    if not is_so:
        sys.exit(f"{what}: {saw}")
    print(f"ok: {what}")


headers, body = to_structured(cloud_event("interop-1"))
status, answer = post("/v1/events", headers, body)
holds("a structured CloudEvent is accepted", (status, answer["accepted"]) == (200, True), answer)
status, answer = post("/v1/events", headers, body)
holds("the same again is a duplicate", (status, answer["duplicate"]) == (200, True), answer)

batch = b"[" + b",".join(to_json(cloud_event(f"interop-{n}")) for n in (1, 2, 3)) + b"]"
kind = {"Content-Type": "application/cloudevents-batch+json; charset=utf-8"}
status, answer = post("/v1/events", kind, batch)
seen = [(result["status"], result["duplicate"]) for result in answer["results"]]
holds("a batch of CloudEvents has an answer for each", seen == [(200, True), (200, False), (200, False)], answer)

own = {
    "id": "interop-4",
    "group": "cloudedge",
    "type": "routerd.client.ipv4.observed",
    "sourceNode": "onprem-router",
    "subject": "10.88.60.10/32",
}
status, answer = post("/v1/events", {"Content-Type": "application/json"}, json.dumps(own).encode())
holds("the protocol's own JSON is accepted", (status, answer["accepted"]) == (200, True), answer)

secret = b"another"
status, answer = post("/v1/events", headers, body)
holds("another secret is refused", (status, answer["accepted"]) == (401, False), answer)
