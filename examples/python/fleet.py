#!/usr/bin/env python3
"""A client of Drover's public API: lists devices, reads and executes resources, follows the events of the fleet.

The modules drover.v1.* are generated from the .proto files; README.md tells how.
"""

import argparse
import json
import os
import random
import sys
import time
import uuid

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from drover.v1 import drover_pb2 as drover
from drover.v1 import drover_pb2_grpc as services

# Between attempts to go on with a watch: the first, doubled each time up to the last.
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 10.0
# A node that is gone without a word is noticed by its silence.
KEEPALIVE = [("grpc.keepalive_time_ms", 20_000), ("grpc.keepalive_timeout_ms", 10_000)]


def reason(error):
    """What went wrong, for programs: the reason in the ErrorInfo of an error, or None."""
    status = rpc_status.from_call(error)
    for detail in status.details if status else ():
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            return info.reason
    return None


def list_devices(channel, page_size):
    """All registered devices, a page at a time."""
    devices = services.DevicesStub(channel)
    request = drover.ListDevicesRequest(page_size=page_size)
    while True:
        page = devices.ListDevices(request, timeout=30)
        yield from page.devices
        if not page.next_page_token:
            return
        request.page_token = page.next_page_token


def read(channel, endpoint, path):
    """The values at a path, asked of the device."""
    request = drover.ReadRequest(endpoint=endpoint, path=path)
    return services.OperationsStub(channel).Read(request, timeout=30).values


def execute_once(channel, endpoint, path, argument):
    """Executes a resource. Asked twice, as after a lost answer: the same request id is the same operation."""
    request = drover.ExecuteRequest(
        endpoint=endpoint,
        path=path,
        arguments=argument,
        delivery=drover.Delivery(request_id=str(uuid.uuid4())),
    )
    operations = services.OperationsStub(channel)
    first = operations.Execute(request, timeout=60).operation
    again = operations.Execute(request, timeout=60).operation
    return first, again


class Progress:
    """The token of the last event that was handled, in a file."""

    def __init__(self, file):
        self.file = file
        self.token = ""
        if os.path.exists(file):
            with open(file, encoding="ascii") as stored:
                self.token = stored.read().strip()

    def keep(self, token):
        """In one step: who is killed leaves the token before, or this one."""
        with open(self.file + ".new", "w", encoding="ascii") as stored:
            stored.write(token + "\n")
        os.replace(self.file + ".new", self.file)
        self.token = token


def follow(channel, progress, handle):
    """Handles events until the watch ends. What was handled and not kept comes again."""
    request = drover.WatchEventsRequest(
        resume_token=progress.token,
        # Without a token the devices as they are come first.
        include_initial=True,
    )
    for message in services.DevicesStub(channel).WatchEvents(request):
        if message.HasField("event"):
            handle(message.event)
        progress.keep(message.resume_token)


def watch(addresses, progress, handle):
    """Follows the events for good, at one node or another."""
    pause = FIRST_PAUSE
    for attempt in range(sys.maxsize):
        before = progress.token
        try:
            with connect(addresses[attempt % len(addresses)]) as channel:
                follow(channel, progress, handle)
        except grpc.RpcError as error:
            why = reason(error)
            if why == "RESUME_TOKEN_EXPIRED":
                # Too much has happened since: begin again with the devices as they are.
                progress.token = ""
            elif error.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.UNIMPLEMENTED):
                raise
            print(f"watch interrupted, going on: {why or error.code().name}", file=sys.stderr)
        if progress.token != before:
            pause = FIRST_PAUSE
        time.sleep(pause * random.uniform(0.5, 1.0))
        pause = min(pause * 2, LONGEST_PAUSE)


def connect(address):
    return grpc.insecure_channel(address, options=KEEPALIVE)


def value_of(value):
    kind = value.WhichOneof("kind")
    content = getattr(value, kind)
    return content if isinstance(content, (str, int, float, bool)) else str(content)


def as_line(event):
    """An event as a JSON object."""
    kind = event.WhichOneof("kind")
    line = {"endpoint": event.endpoint, "event": kind}
    if kind == "values_reported":
        reported = event.values_reported.values
        line["values"] = [[value.path, value_of(value.value)] for value in reported]
    return json.dumps(line)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--api", default="127.0.0.1:7443", help="HOST:PORT of state nodes, with commas between them")
    commands = parser.add_subparsers(dest="command", required=True)
    listing = commands.add_parser("list", help="list the registered devices")
    listing.add_argument("--page-size", type=int, default=100)
    reading = commands.add_parser("read", help="read from a device")
    reading.add_argument("endpoint")
    reading.add_argument("path")
    executing = commands.add_parser("execute", help="execute a resource once, asked for twice")
    executing.add_argument("endpoint")
    executing.add_argument("path")
    executing.add_argument("--argument", default="")
    watching = commands.add_parser("watch", help="follow the events of the fleet")
    watching.add_argument("--token-file", default="seen.token")
    options = parser.parse_args()
    addresses = options.api.split(",")

    if options.command == "watch":
        progress = Progress(options.token_file)
        watch(addresses, progress, lambda event: print(as_line(event), flush=True))
        return
    with connect(addresses[0]) as channel:
        if options.command == "list":
            for device in list_devices(channel, options.page_size):
                print(device.endpoint, device.transport, device.peer)
        elif options.command == "read":
            for value in read(channel, options.endpoint, options.path):
                print(value.path, value_of(value.value))
        else:
            for operation in execute_once(channel, options.endpoint, options.path, options.argument):
                print(operation.id, drover.Operation.State.Name(operation.state))


if __name__ == "__main__":
    try:
        main()
    except grpc.RpcError as error:
        sys.exit(f"{error.code().name}: {error.details()} [{reason(error)}]")
    except KeyboardInterrupt:
        sys.exit(130)
