#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Sends one request to extsock with nothing but socat and jq, and prints the reply; fails if the request did.
#
#   request.sh STATUS net
#   SOCKET=/run/charon.extsock request.sh FAILOVER net 192.0.2.12
set -eu

# Events may come before the reply; a reply has the key "reply". socat ends when the plugin, having
# answered, closes the connection after our end of it: -t is how long to wait for that.
printf '%s\n' "$*" |
    socat -t 10 - "UNIX-CONNECT:${SOCKET:-/run/charon.extsock}" |
    jq --compact-output --exit-status 'select(has("reply")) | ., .ok' |
    {
        read -r reply
        read -r ok
        printf '%s\n' "$reply"
        [ "$ok" = true ]
    }
