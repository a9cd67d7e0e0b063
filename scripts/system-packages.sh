#!/usr/bin/env bash
# Install the Debian packages that `make test` needs and that are missing; say which, where that is not possible.
set -euo pipefail

missing=()
need() { # COMMAND PACKAGE
    command -v "$1" >/dev/null || missing+=("$2")
}
need qemu-arm qemu-user
need qemu-system-arm qemu-system-arm
need openocd openocd
need arm-none-eabi-gcc gcc-arm-none-eabi
need arm-none-eabi-objdump binutils-arm-none-eabi
need llvm-mc llvm
need gdb-multiarch gdb-multiarch
[ ${#missing[@]} -gt 0 ] || exit 0

install=(apt-get install --yes --no-install-recommends "${missing[@]}")
if ! command -v apt-get >/dev/null; then
    printf 'tests need programs that are missing; in Debian they are in: %s\n' "${missing[*]}" >&2
    exit 1
fi
if [ "$(id -u)" = 0 ]; then
    as_root=()
elif sudo -n true 2>/dev/null; then
    as_root=(sudo -n)
else
    printf 'tests need Debian packages that are missing, and this user may not install them. Run as root:\n  %s\n' \
        "${install[*]}" >&2
    exit 1
fi
echo "installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" "${install[@]}" -qq
