#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Follows the tunnels of all connections through losses of events and restarts of charon.

Prints a line for each tunnel that goes up or down. A program that programs a data plane keeps its tunnels
like this: events for what changes, and what STATUS says whenever events may have been missed.

    follow.py [socket]
"""

import sys
import time

from extsock import Connection, SOCKET


def main():
    path = sys.argv[1] if len(sys.argv) > 1 else SOCKET
    while True:
        try:
            with Connection(path) as extsock:
                follow(extsock)
        except (OSError, ValueError) as problem:
            # charon restarts, or has dropped us because we did not read fast enough.
            say(f"disconnected: {problem}")
            time.sleep(1)


def follow(extsock):
    # Without a subscription all events are sent, from the connection on: what STATUS does not have yet
    # comes as an event, and what comes twice does no harm.
    resynchronise(extsock)
    last = None
    for event in extsock.events():
        # Numbers grow by one with each event, whoever it is sent to.
        if last is not None and event["seq"] != last + 1:
            say(f"{event['seq'] - last - 1} events were lost")
            resynchronise(extsock)
        last = event["seq"]
        if event["event"] in ("tunnel_up", "tunnel_down"):
            state = event["event"].removeprefix("tunnel_")
            say(f"{event['child_sa_name']}: {state}, to {event['dst']}, SPIs "
                f"{event['spi_in']:08x} in and {event['spi_out']:08x} out")


def resynchronise(extsock):
    for connection in extsock.request("STATUS")["connections"]:
        tunnels = ", ".join(connection["child_sas"]) or "no tunnel"
        say(f"{connection['name']}: {connection['state']}, {tunnels}")


def say(text):
    print(text, flush=True)


if __name__ == "__main__":
    main()
