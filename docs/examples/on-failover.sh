#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Acts on failovers: writes a line to syslog for each, and an alert for a connection that is exhausted.
#
#   on-failover.sh [extsockctl's options...]
#
# It ends when charon does, or is restarted: run it as a service of systemd with Restart=always.
set -eu

extsockctl "$@" --json monitor failover_started failover_established failover_exhausted |
while read -r event; do
    text=$(printf '%s\n' "$event" | jq --raw-output '
        if .event == "failover_started" then
            "notice \(.connection): \(.from) failed (\(.reason)), trying \(.to)"
        elif .event == "failover_established" then
            "notice \(.connection): up again on \(.gateway) after \(.outage_ms) ms"
        elif .event == "failover_exhausted" then
            "alert \(.connection): exhausted after \(.retries) failovers"
        else empty end')
    [ -n "$text" ] || continue
    echo "$text"
    logger --tag extsock --priority "daemon.${text%% *}" -- "${text#* }" || true
done
