#!/bin/sh
# Fetch what a Linux guest consists of: Debian's kernel for armhf and a static busybox.
#
#     ARMPROBE_CACHE=FOLDER fetch-guest.sh [--backports]
#
# Afterwards armhf/kernel/vmlinuz in that folder is the kernel, armhf/busybox-static/bin/busybox the other. With
# --backports, armhf/kernel-backports/vmlinuz is a newer kernel.
set -eu
suite=${1:-}
suffix=${suite:+-${suite#--}}
armhf=$ARMPROBE_CACHE/armhf
fetch=$(dirname "$0")/fetch-debian.sh

sh "$fetch" busybox-static:armhf
[ ! -e "$armhf/kernel$suffix/vmlinuz" ] || exit 0
# The package of the name below is empty, and depends on the kernel of the day.
sh "$fetch" $suite linux-image-armmp:armhf
kernel=$(APT_CONFIG=$ARMPROBE_CACHE/apt$suffix/apt.conf apt-cache depends linux-image-armmp:armhf |
    sed -n 's/^ *Depends: \(linux-image-[^:]*\).*/\1/p' | head -n 1)
[ -n "$kernel" ] || { echo "fetch-guest: linux-image-armmp:armhf depends on no kernel; remove $armhf and try again" >&2; exit 1; }
sh "$fetch" $suite "$kernel:armhf"
mkdir -p "$armhf/kernel$suffix"
ln -sf "$(cd "$armhf$suffix/$kernel/boot" && pwd)"/vmlinuz-* "$armhf/kernel$suffix/vmlinuz"
