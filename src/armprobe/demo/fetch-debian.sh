#!/bin/sh
# Download and unpack Debian packages, also of other architectures, without touching the system's apt:
#
#     scripts/fetch-debian.sh [NAME:ARCH ...]
#     scripts/fetch-debian.sh --backports NAME:ARCH ...
#
# Each package is unpacked into ARCH/NAME/ of .cache/debian (git-ignored), or of the folder that ARMPROBE_CACHE names.
# Nothing is installed, nothing is fetched twice; ARCH is amd64, armel, armhf or all. Without arguments: everything that
# the tests use. With --backports, packages come from the backports of this Debian release, and are unpacked into
# ARCH-backports/NAME/.
set -eu

suite=
if [ "${1:-}" = --backports ]; then
    suite=backports
    shift
    [ $# -gt 0 ] || { echo "fetch-debian: wanted the names of packages after --backports" >&2; exit 2; }
fi
[ $# -gt 0 ] || set -- u-boot-qemu:all zlib1g:armel liblz4-1:armel libbz2-1.0:armel libmd0:armel libnettle8:armel \
    libc6:armel libgcc-s1:armel busybox-static:armel xz-utils:armel liblzma5:armel \
    lua5.4:armel libreadline8:armel libtinfo6:armel python3.11-minimal:armel libpython3.11-minimal:armel \
    libpython3.11-stdlib:armel libexpat1:armel libcrypt1:armel

root=$(cd "$(dirname "$0")/.." && pwd)
cache=${ARMPROBE_CACHE:-$root/.cache/debian}
state=$cache/apt${suite:+-$suite}

missing=
for package in "$@"; do
    case $package in
        *:amd64 | *:armel | *:armhf | *:all) ;;
        *) echo "fetch-debian: wanted NAME:ARCH with ARCH one of amd64 armel armhf all, got '$package'" >&2; exit 2 ;;
    esac
    [ -e "$cache/${package#*:}${suite:+-$suite}/${package%%:*}/.complete" ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

for tool in apt-get dpkg-deb; do
    command -v $tool >/dev/null || { echo "fetch-debian: $tool is missing: this script needs a Debian system" >&2; exit 1; }
done

mkdir -p "$state/lists/partial" "$state/archives/partial"
cat >"$state/apt.conf" <<CONF
APT::Architecture "amd64";
APT::Architectures { "amd64"; "armhf"; "armel"; };
APT::Sandbox::User "";
Acquire::Languages "none";
Dir::State "$state";
Dir::State::Lists "$state/lists";
Dir::State::status "/dev/null";
Dir::Cache "$state";
CONF
export APT_CONFIG="$state/apt.conf"
if [ -n "$suite" ]; then
    # From where the release itself comes.
    release=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
    apt-get update --print-uris |
        sed -n "s|^'\(.*\)/dists/$release/InRelease'.*|deb \1 $release-$suite main|p" >"$state/sources.list"
    cat >>"$state/apt.conf" <<CONF
Dir::Etc::sourcelist "$state/sources.list";
Dir::Etc::sourceparts "/dev/null";
CONF
fi

# An index of some third-party source may well lack these architectures: only the download below decides.
apt-get -qq update >"$state/update.log" 2>&1 || true

for package in $missing; do
    name=${package%%:*} arch=${package#*:}
    place=$cache/$arch${suite:+-$suite}/$name
    case $arch in all) wanted=$name ;; *) wanted=$package ;; esac
    rm -rf "$state/download" "$place"
    mkdir -p "$state/download" "$place"
    if ! (cd "$state/download" && apt-get -qq download "$wanted") >"$state/download.log" 2>&1; then
        rm -rf "$place"
        echo "fetch-debian: cannot download $wanted: offline, or not a package of this Debian release" >&2
        echo "  what apt-get said is in $state/update.log and $state/download.log" >&2
        exit 1
    fi
    dpkg-deb -x "$state/download/"*.deb "$place"
    touch "$place/.complete"
    echo "fetch-debian: $wanted is in ${place#"$root"/}"
done
