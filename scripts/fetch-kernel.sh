#!/bin/sh
# Fetch what Linux guests for the tests consist of: Debian's kernels for armhf, a static busybox, gdbserver with its
# libraries, and a static busybox of A32 code as a program to probe.
#
# Afterwards .cache/debian/armhf/kernel/vmlinuz is the kernel, kernel-lpae/vmlinuz there one for large physical
# addresses, kernel-backports/vmlinuz a newer one, and busybox-static/bin/busybox the other.
set -eu
cd "$(dirname "$0")/.."
export ARMPROBE_CACHE="$PWD/.cache/debian"

scripts/fetch-debian.sh gdbserver:armhf libc6:armhf libstdc++6:armhf libgcc-s1:armhf busybox-static:armel
sh src/armprobe/demo/fetch-guest.sh
sh src/armprobe/demo/fetch-guest.sh --lpae
sh src/armprobe/demo/fetch-guest.sh --backports ||
    echo "fetch-kernel: no kernel of the backports: what is tested with it is skipped" >&2
