#!/bin/sh
# Build the sample firmware: build.sh [OUTPUT], by default demo.elf beside this script.
#
# demo.elf as committed comes from arm-none-eabi-gcc 12.2.1 (15:12.2.rel1-1) with binutils 2.40 of Debian 12; the same
# tools make the same bytes in any directory.
set -eu
output=$(realpath "${1:-$(dirname "$0")/demo.elf}")
cd "$(dirname "$0")"
exec "${CC:-arm-none-eabi-gcc}" -march=armv7-a -marm -mfloat-abi=soft -O2 -g -gdwarf-4 -std=c17 \
    -ffreestanding -fno-tree-loop-distribute-patterns -fno-asynchronous-unwind-tables -fno-ident -fno-common \
    -ffile-prefix-map="$PWD"=. -Wall -Wextra -Werror \
    -nostdlib -static -T demo.ld -Wl,--build-id=none -Wl,-z,noexecstack -Wl,--fatal-warnings \
    -o "$output" start.c main.c packet.c generator.c crc.c allocator.c ring.c scheduler.c semihosting.c
