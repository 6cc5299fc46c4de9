# SPDX-License-Identifier: GPL-2.0-or-later
"""extsock's control socket, for Python programs; needs nothing but Python's own library.

    with Connection() as extsock:
        extsock.apply({"connections": {...}, "secrets": {...}})
        print(extsock.request("STATUS net")["connections"][0]["state"])
        for event in extsock.events():
            print(event["event"])
"""

import collections
import json
import socket
import time

SOCKET = "/run/charon.extsock"


class Refused(Exception):
    """The plugin refused a request; `error` has the keys code, name and message."""

    def __init__(self, error):
        super().__init__(f"{error['name']}: {error['message']}")
        self.error = error


class Connection:
    """A connection to the plugin. Requests are answered in their order, events come in between."""

    def __init__(self, path=SOCKET, timeout=10):
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(timeout)
        try:
            self._socket.connect(path)
        except OSError:
            self._socket.close()
            raise
        self._lines = self._socket.makefile("r", encoding="utf-8", newline="\n")
        self._waiting = collections.deque()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self._lines.close()
        self._socket.close()

    def request(self, text):
        """Sends a request and returns the reply; events that come before it are kept."""
        # A newline would end the request: JSON never has one within a text.
        self._socket.sendall(text.encode() + b"\n")
        while True:
            message = self._read()
            if "reply" not in message:
                self._waiting.append(message)
            elif message["ok"]:
                return message
            else:
                raise Refused(message["error"])

    def apply(self, configuration):
        """Loads connections and secrets, and returns the connections' names."""
        return self.request("APPLY_CONFIG " + json.dumps(configuration))["connections"]

    def events(self, timeout=None):
        """The events, as they come. For ever, or with a timeout for so many seconds: then TimeoutError is
        raised, and the connection is of no use any more."""
        end = None if timeout is None else time.monotonic() + timeout
        while True:
            left = None if end is None else end - time.monotonic()
            if left is not None and left <= 0:
                raise TimeoutError
            # A request between two events has as long.
            self._socket.settimeout(left)
            yield self._waiting.popleft() if self._waiting else self._read()

    def _read(self):
        line = self._lines.readline()
        if not line.endswith("\n"):
            raise ConnectionError("the plugin has closed the connection")
        return json.loads(line)
