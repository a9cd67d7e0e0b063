#!/bin/sh
# Fetch what Linux guests for the tests consist of: Debian's kernels for armhf, a static busybox, gdbserver with its
# libraries, and a static busybox of A32 code as a program to probe.
#
# Afterwards .cache/debian/armhf/kernel/vmlinuz is the kernel, kernel-backports/vmlinuz there a newer one, and
# .cache/debian/armhf/busybox-static/bin/busybox the other.
set -eu
cd "$(dirname "$0")/.."
armhf=.cache/debian/armhf

# kernel NAME DIRECTORY [--backports]: let $armhf/DIRECTORY/vmlinuz be the kernel that the package NAME depends on.
kernel() {
    [ ! -e "$armhf/$2/vmlinuz" ] || return 0
    suite=${3#--}
    # The package of that name is empty, and depends on the kernel of the day.
    scripts/fetch-debian.sh $3 "$1:armhf" || return 1
    real=$(APT_CONFIG=.cache/debian/apt${suite:+-$suite}/apt.conf apt-cache depends "$1:armhf" |
        sed -n 's/^ *Depends: \(linux-image-[^:]*\).*/\1/p' | head -n 1)
    [ -n "$real" ] || { echo "fetch-kernel: $1:armhf depends on no kernel; remove $armhf and try again" >&2; return 1; }
    scripts/fetch-debian.sh $3 "$real:armhf" || return 1
    mkdir -p "$armhf/$2"
    ln -sf "$(cd "$armhf${suite:+-$suite}/$real/boot" && pwd)"/vmlinuz-* "$armhf/$2/vmlinuz"
}

scripts/fetch-debian.sh gdbserver:armhf libc6:armhf libstdc++6:armhf libgcc-s1:armhf busybox-static:armel \
    busybox-static:armhf
kernel linux-image-armmp kernel ""
kernel linux-image-armmp kernel-backports --backports ||
    echo "fetch-kernel: no kernel of the backports: what is tested with it is skipped" >&2
