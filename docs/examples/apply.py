#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Applies a configuration, brings its connections up, and waits until they are.

    apply.py net.json [socket [seconds]]

It waits for 60 seconds by default. A connection that is not up by then stays wanted, and is tried further.
"""

import json
import sys

from extsock import Connection, Refused, SOCKET


def main():
    path = sys.argv[2] if len(sys.argv) > 2 else SOCKET
    patience = float(sys.argv[3]) if len(sys.argv) > 3 else 60
    with open(sys.argv[1], encoding="utf-8") as file:
        configuration = json.load(file)
    with Connection(path) as extsock:
        try:
            names = extsock.apply(configuration)
        except Refused as refused:
            # One line for each error in the configuration.
            sys.exit(str(refused))
        # From here on no event is missed: the subscription is older than the initiation.
        extsock.request("SUBSCRIBE ike_sa_up failover_exhausted " + " ".join(names))
        waiting = set(names)
        for name in names:
            extsock.request(f"INITIATE {name}")
            # It may have been up before, or be up by now.
            report(extsock, name, waiting)
        try:
            for event in extsock.events(patience) if waiting else ():
                report(extsock, event["connection"], waiting)
                if not waiting:
                    return
        except TimeoutError:
            pass
    if waiting:
        # The other connection to the plugin is of no use after the timeout.
        with Connection(path) as extsock:
            sys.exit("\n".join(why_not_up(extsock, name) for name in sorted(waiting)))


def report(extsock, name, waiting):
    if name not in waiting:
        return
    status = extsock.request(f"STATUS {name}")["connections"][0]
    if status["state"] == "established":
        print(f"{name}: up, to {status['active_gateway']}", flush=True)
        waiting.discard(name)
    elif status["state"] == "exhausted" and status["next_retry_ms"] is None:
        # With exhausted_delay 0 nothing more happens by itself.
        sys.exit(why_not_up(extsock, name))


def why_not_up(extsock, name):
    status = extsock.request(f"STATUS {name}")["connections"][0]
    reasons = [
        f"{gateway['gateway']} failed ({gateway['last_result']})"
        for gateway in status["gateway_status"]
        if gateway["last_result"] not in (None, "established")
    ]
    if status["next_retry_ms"] is not None:
        reasons.insert(0, f"next attempt in {status['next_retry_ms'] / 1000:.0f} s")
    return "; ".join([f"{name} is {status['state']}", *reasons])


if __name__ == "__main__":
    main()
