#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Gives the guest the machine's files, with all that it writes in memory, and runs the script of the command
# that started it. If anything fails, this ends, the kernel panics, and QEMU ends.
set -e
/bin/busybox --install -s /bin
export PATH=/bin
mkdir -p /proc /sys /dev /lower /memory /root
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
for module in /modules/*; do insmod "$module"; done

share() {
    mount -t 9p -o "trans=virtio,version=9p2000.L,msize=512000,$3" "$1" "$2"
}
share root /lower ro,cache=loose
mount -t tmpfs -o size=75%,mode=755 memory /memory
mkdir /memory/upper /memory/work /exchange
share exchange /exchange cache=none
tar -x -f /exchange/files -C /memory/upper
mount -t overlay -o lowerdir=/lower,upperdir=/memory/upper,workdir=/memory/work root /root
mkdir -p /root/lib/modules
share modules /root/lib/modules ro,cache=loose
mount -t tmpfs -o mode=755 run /root/run
mkdir -p /root/run/vm /dev/pts /dev/shm
mount -o move /exchange /root/run/vm
mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts /dev/pts
mount -t tmpfs -o mode=1777 shm /dev/shm
for there in proc sys dev; do mount -o move "/$there" "/root/$there"; done
exec switch_root /root /bin/sh /run/vm/script
