#!/bin/sh
# Fetch what a Linux guest for the tests consists of: Debian's kernel for armhf, a static busybox, gdbserver with its
# libraries, and a static busybox of A32 code as a program to probe.
#
# Afterwards .cache/debian/armhf/kernel/vmlinuz is the kernel, .cache/debian/armhf/busybox-static/bin/busybox the other.
set -eu
cd "$(dirname "$0")/.."
armhf=.cache/debian/armhf

scripts/fetch-debian.sh gdbserver:armhf libc6:armhf libstdc++6:armhf libgcc-s1:armhf busybox-static:armel
[ -e "$armhf/kernel/vmlinuz" ] && [ -x "$armhf/busybox-static/bin/busybox" ] && exit 0
# The package of the name below is empty, and depends on the kernel of the day.
scripts/fetch-debian.sh busybox-static:armhf linux-image-armmp:armhf
kernel=$(APT_CONFIG=.cache/debian/apt/apt.conf apt-cache depends linux-image-armmp:armhf |
    sed -n 's/^ *Depends: \(linux-image-[^:]*\).*/\1/p' | head -n 1)
[ -n "$kernel" ] || { echo "fetch-kernel: linux-image-armmp:armhf depends on no kernel; remove $armhf and try again" >&2; exit 1; }
scripts/fetch-debian.sh "$kernel:armhf"
mkdir -p "$armhf/kernel"
ln -sf "$(cd "$armhf/$kernel/boot" && pwd)"/vmlinuz-* "$armhf/kernel/vmlinuz"
