#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Applies a configuration, brings its connections up, and waits until each is or was given up.

    apply.py net.json [socket [seconds]]

A connection with max_retries 0 is not given up, nor is one without its credentials: the waiting ends when
nothing was heard for some seconds, 120 by default.
"""

import json
import sys

from extsock import Connection, Refused, SOCKET


def main():
    path = sys.argv[2] if len(sys.argv) > 2 else SOCKET
    patience = float(sys.argv[3]) if len(sys.argv) > 3 else 120
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
                name = event["connection"]
                if event["event"] == "failover_exhausted":
                    sys.exit(f"{name}: no gateway could be reached")
                report(extsock, name, waiting)
                if not waiting:
                    return
        except TimeoutError:
            sys.exit(f"{', '.join(sorted(waiting))}: not up, and nothing heard for {patience:g} s")


def report(extsock, name, waiting):
    status = extsock.request(f"STATUS {name}")["connections"][0]
    if name in waiting and status["state"] == "established":
        print(f"{name}: up, to {status['active_gateway']}", flush=True)
        waiting.discard(name)


if __name__ == "__main__":
    main()
