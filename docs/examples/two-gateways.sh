#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Two security gateways to try failovers with, on this machine: 192.0.2.11 and 192.0.2.12, each a charon in
# a network namespace of its own. 10.2.0.1 is behind both of them, 10.1.0.1 behind this machine, 192.0.2.1.
#
#   two-gateways.sh up      makes them
#   two-gateways.sh down    removes them and all that belongs to them
#
# A gateway dies with `ip link set segw1 down` and comes back with `ip link set segw1 up`.
set -eu

gateway() {
    ip netns add "$1"
    ip link add "$1" type veth peer name eth0 netns "$1"
    ip link set "$1" master segw up
    ip -netns "$1" address add "$2/24" dev eth0
    ip -netns "$1" address add 10.2.0.1/32 dev lo
    ip -netns "$1" link set lo up
    ip -netns "$1" link set eth0 up
    # What is below /etc/netns/<name> stands in the place of what is below /etc, for this gateway.
    mkdir -p "/etc/netns/$1/extsock.d"
    cat > "/etc/netns/$1/extsock.d/segw.json" <<END
{
  "connections": {
    "segw": {
      "version": 2,
      "local_addrs": "$2",
      "local_auth": {"auth": "psk", "id": "segw"},
      "remote_auth": {"auth": "psk", "id": "client"},
      "children": {"data": {"local_ts": "10.2.0.0/24", "remote_ts": "10.1.0.0/24"}}
    }
  },
  "secrets": {"ike": [{"id": "client", "secret": "only-for-trying-it-out"}]}
}
END
    # Its /run is its own, too: the pid file and the sockets are there.
    ip netns exec "$1" sh -c 'mount -t tmpfs tmpfs /run && exec /usr/lib/ipsec/charon' \
        > "/run/$1.log" 2>&1 &
    pid=$!
    echo "$pid" > "/run/$1.pid"
    tries=0
    until [ -S "/proc/$pid/root/run/charon.extsock" ]; do
        tries=$((tries + 1))
        if [ "$tries" -gt 100 ] || ! kill -0 "$pid"; then
            echo "the charon of $1 does not serve, with the plugin, within 10 s; see /run/$1.log" >&2
            exit 1
        fi
        sleep 0.1
    done
    echo "gateway $1: $2"
}

case ${1-} in
up)
    ip link add segw type bridge forward_delay 0
    ip address add 192.0.2.1/24 dev segw
    ip address add 10.1.0.1/32 dev segw
    ip link set segw up
    gateway segw1 192.0.2.11
    gateway segw2 192.0.2.12
    ;;
down)
    for name in segw1 segw2; do
        kill "$(cat "/run/$name.pid")" || true
        ip netns delete "$name" || true
        ip link delete "$name" || true
        rm -rf "/run/$name.pid" "/run/$name.log" "/etc/netns/$name"
    done
    ip link delete segw
    ;;
*)
    sed -n 's/^# \{0,1\}//; 3,8p' "$0"
    exit 2
    ;;
esac
