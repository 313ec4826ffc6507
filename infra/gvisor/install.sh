#!/usr/bin/env bash
# Installs runsc (gVisor) on Debian 12, from Debian's own backports. Safe to run again.
#
# Bookworm's runsc is too old, so this adds the backports suite of the mirror that the machine
# already uses, pinned so that nothing but runsc can come from it. Needs root, or sudo.
set -euo pipefail

readonly SUITE=bookworm-backports
readonly MINIMUM=0.0~2024
readonly SOURCES=/etc/apt/sources.list.d/rstar-backports.sources
readonly PREFERENCES=/etc/apt/preferences.d/rstar-backports

installed_version() {
    dpkg-query --show --showformat='${Version}' runsc 2>/dev/null || true
}

is_recent() {
    local version
    version=$(installed_version)
    [[ -n $version ]] && dpkg --compare-versions "$version" ge "$MINIMUM"
}

as_root() {
    if [[ $(id -u) -eq 0 ]]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        echo "install.sh: must be root to run: $*" >&2
        exit 1
    fi
}

# The one-line format of older installations: deb [options] URI SUITE COMPONENTS…
stanza_from_list() {
    local file=/etc/apt/sources.list
    [[ -f $file ]] || return 0
    sed -nE "s/^deb( +\[[^]]*\])? +([^ ]+) +bookworm +(.*)$/deb\1 \2 $SUITE main/p" "$file" | head -n 1
}

# The stanza of debian.sources that offers bookworm itself, offering backports instead.
stanza_from_sources() {
    local file=/etc/apt/sources.list.d/debian.sources
    [[ -f $file ]] || return 0
    awk -v suite="$SUITE" '
        BEGIN { RS = ""; FS = "\n" }
        /(^|\n)Suites:[^\n]* ?bookworm( |\n|$)/ && !done {
            for (i = 1; i <= NF; i++) {
                if ($i ~ /^#/ || $i ~ /^Enabled:/) continue
                if ($i ~ /^Suites:/) $i = "Suites: " suite
                if ($i ~ /^Components:/) $i = "Components: main"
                print $i
            }
            done = 1
        }' "$file"
}

offers_backports() {
    apt-cache policy runsc 2>/dev/null | grep -q "$SUITE/"
}

add_backports() {
    local stanza
    stanza=$(stanza_from_sources)
    if [[ -z $stanza ]]; then
        stanza=$(stanza_from_list)
        if [[ -z $stanza ]]; then
            echo "install.sh: no bookworm entry among the package sources to derive backports from;" \
                "install runsc >= $MINIMUM by hand" >&2
            exit 1
        fi
        as_root tee "${SOURCES%.sources}.list" >/dev/null <<<"$stanza"
    else
        as_root tee "$SOURCES" >/dev/null <<<"$stanza"
    fi
    as_root tee "$PREFERENCES" >/dev/null <<PIN
Explanation: only runsc may come from backports
Package: *
Pin: release n=$SUITE
Pin-Priority: -1

Package: runsc
Pin: release n=$SUITE
Pin-Priority: 600
PIN
    as_root apt-get update -qq
}

main() {
    if is_recent; then
        exit 0
    fi
    if ! command -v apt-get >/dev/null; then
        echo "install.sh: only Debian is served here; install runsc from gvisor.dev" >&2
        exit 1
    fi
    offers_backports || add_backports
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends runsc
    is_recent || {
        echo "install.sh: runsc is $(installed_version), which is older than $MINIMUM" >&2
        exit 1
    }
    echo "runsc $(installed_version) installed"
}

main "$@"
