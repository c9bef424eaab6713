# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
# shellcheck shell=bash
# Sourced by the scripts beside it: where things are, and how a Python is found.

set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
export ROOT
cd "$ROOT"

say() { printf '%s\n' "$*" >&2; }
die() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }

# Interpreter lines, ansible_python_interpreter and search paths do not survive every character that a path may have.
plain() { [[ $1 != *[!A-Za-z0-9_@%+=,./-]* ]]; }

# .cache is a directory in the checkout; where the checkout's path is not plain, it is a link to a directory whose path is.
cache_dir() {
    local owner home
    if [ ! -e .cache ]; then
        rm -f .cache
        if [ -n "${PIPEWORK_CACHE:-}" ]; then
            plain "$PIPEWORK_CACHE" || die "PIPEWORK_CACHE=$PIPEWORK_CACHE: choose a path of letters, digits and _@%+=,./- only"
            mkdir -p "$PIPEWORK_CACHE"
            ln -s "$(cd "$PIPEWORK_CACHE" && pwd -P)" .cache
        elif plain "$ROOT"; then
            mkdir .cache
        else
            owner=$(stat -c %u .)
            home=$(getent passwd "$owner" | cut -d: -f6)
            home=${home:-$HOME}/.cache/pipework-containers
            plain "$home" || die "neither $ROOT nor $home can hold a Python environment: set PIPEWORK_CACHE to a directory" \
                "whose path has letters, digits and _@%+=,./- only"
            home=$home/$(printf %s "$ROOT" | sha256sum | cut -c1-12)
            mkdir -p "$home"
            ln -s "$home" .cache
        fi
    fi
    CACHE=$(cd .cache && pwd -P)
    export CACHE
}
cache_dir

# What root made in somebody's checkout (sudo make …) goes to that somebody, who else could not run make again.
give_back() {
    local owner
    owner=$(stat -c %u:%g .)
    if [ "$(id -u)" = 0 ] && [ "$owner" != 0:0 ]; then
        chown -hR "$owner" "$CACHE"
        [ ! -L .cache ] || chown -h "$owner" .cache
        case $CACHE in */.cache/pipework-containers/*) chown "$owner" "${CACHE%/*}" ;; esac
    fi
}

usable_python() { # PYTHON LEAST_MINOR: new enough, and able to make a venv
    "$1" -c "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, $2))" >/dev/null 2>&1
}

# The system's python3 comes first: it is the one that stays when version managers and their shims change.
find_python() { # LEAST_MINOR
    local p
    for p in "${PYTHON:-}" /usr/bin/python3 python3 /usr/bin/python3.1{4,3,2,1,0} python3.1{4,3,2,1,0}; do
        if [ -n "$p" ] && usable_python "$p" "$1"; then
            command -v "$p"
            return
        fi
    done
    return 1
}

# Checks that are no pytest tests: `check NAME COMMAND…` each, then `summary`.
passed=0 failed=0 skipped=0
check() {
    local name=$1
    shift
    say "--- $name"
    if "$@"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        say "FAILED $name"
    fi
}
summary() {
    if [ "$skipped" = 0 ]; then
        echo "$passed passed, $failed failed"
    else
        echo "$passed passed, $failed failed, $skipped skipped"
    fi
    [ "$failed" = 0 ]
}

# An engine that is not at the usual place: as the client's context says, or one without root.
docker_host() {
    local host
    if [ -z "${DOCKER_HOST:-}" ] && [ ! -S /var/run/docker.sock ]; then
        for host in "$(docker context inspect -f '{{.Endpoints.docker.Host}}' 2>/dev/null || :)" \
            "unix://${XDG_RUNTIME_DIR:-/run/user/$(id -u)}/docker.sock"; do
            if [ -S "${host#unix://}" ]; then
                export DOCKER_HOST=$host
                return
            fi
        done
    fi
}
