#!/bin/sh
# Fetch what a Linux guest consists of: Debian's kernel for armhf and a static busybox.
#
#     ARMPROBE_CACHE=FOLDER fetch-guest.sh [--backports | --lpae]
#
# Afterwards armhf/kernel/vmlinuz in that folder is the kernel, armhf/busybox-static/bin/busybox the other. With
# --backports, armhf/kernel-backports/vmlinuz is a newer kernel; with --lpae, armhf/kernel-lpae/vmlinuz is one for large
# physical addresses.
set -eu
suite= suffix= package=linux-image-armmp
case ${1:-} in
    '') ;;
    --backports) suite=--backports suffix=-backports ;;
    --lpae) suffix=-lpae package=linux-image-armmp-lpae ;;
    *) echo "fetch-guest: wanted --backports, --lpae or nothing, got '$1'" >&2; exit 2 ;;
esac
release=${suite:+-${suite#--}}
armhf=$ARMPROBE_CACHE/armhf
fetch=$(dirname "$0")/fetch-debian.sh

sh "$fetch" busybox-static:armhf
[ ! -e "$armhf/kernel$suffix/vmlinuz" ] || exit 0
# The package of that name is empty, and depends on the kernel of the day.
sh "$fetch" $suite $package:armhf
kernel=$(APT_CONFIG=$ARMPROBE_CACHE/apt$release/apt.conf apt-cache depends $package:armhf |
    sed -n 's/^ *Depends: \(linux-image-[^:]*\).*/\1/p' | head -n 1)
[ -n "$kernel" ] || { echo "fetch-guest: $package:armhf depends on no kernel; remove $armhf and try again" >&2; exit 1; }
sh "$fetch" $suite "$kernel:armhf"
mkdir -p "$armhf/kernel$suffix"
ln -sf "$(cd "$armhf$release/$kernel/boot" && pwd)"/vmlinuz-* "$armhf/kernel$suffix/vmlinuz"
