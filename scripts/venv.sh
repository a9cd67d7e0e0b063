#!/usr/bin/env bash
# Make .venv, or leave it alone when it is already what pyproject.toml asks for:
#
#     scripts/venv.sh [dev]        dev: with the tools that `make test` runs
#
# PYTHON names the interpreter (3.11 or newer); the default is python3. Everything comes from the Python registry.
set -euo pipefail
cd "$(dirname "$0")/.."

kind=${1:-user}
python=${PYTHON:-python3}

fail() {
    printf 'venv: %s\n' "$@" >&2
    exit 1
}

if [ -x .venv/bin/pip ]; then
    python=.venv/bin/python
elif ! command -v "$python" >/dev/null; then
    fail "wanted Python 3.11 or newer, but there is no $python" "try: apt-get install python3 python3-venv"
fi
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "wanted Python 3.11 or newer, but $python is $("$python" --version 2>&1)" \
        "try: PYTHON=/path/to/python3.11 make ..., after removing .venv"

# A stamp of "dev" serves "user" as well. The directory counts because the commands in .venv/bin name it.
key=$({ pwd && cat pyproject.toml scripts/venv.sh; } | sha256sum | cut -c 1-16)
[ -e ".venv/.stamp-dev-$key" ] || [ -e ".venv/.stamp-$kind-$key" ] && exit 0

if [ ! -x .venv/bin/pip ]; then
    "$python" -c 'import ensurepip, venv' 2>/dev/null ||
        fail "$python cannot make virtual environments: its venv or ensurepip module is missing" \
            "try: apt-get install python3-venv"
    "$python" -m venv .venv
fi
export PIP_DISABLE_PIP_VERSION_CHECK=1
pip() { .venv/bin/python -m pip --quiet "$@"; }
[ "$kind" = dev ] && size=160 || size=60
echo "installing armprobe into .venv (once; some $size MB)"
pip install --upgrade 'pip>=25.1' # 25.1: --group
if [ "$kind" = dev ]; then
    pip install --editable '.[all]' --group dev
else
    pip install --editable '.[all]'
fi
rm -f .venv/.stamp-*
touch ".venv/.stamp-$kind-$key"
