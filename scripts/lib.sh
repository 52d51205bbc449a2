# Sourced by scripts/demo and scripts/test, from the root of the repository.
# shellcheck shell=bash

# Debian 12, Ubuntu 24.04. `scripts/demo` installs the first list, `scripts/test` both.
# shellcheck disable=SC2034 # both are used by the scripts that source this file
BUILD_PACKAGES=(g++ cmake ninja-build ccache git python3 ca-certificates
    libyaml-cpp-dev libcli11-dev libspdlog-dev nlohmann-json3-dev
    libsqlite3-dev libssl-dev libcurl4-openssl-dev libtomlplusplus-dev libboost-dev)
# shellcheck disable=SC2034
TEST_PACKAGES=(catch2 python3-venv tzdata cron)

if [[ -t 1 && -z ${NO_COLOR:-} && ${TERM:-dumb} != dumb ]]; then
    bold=$'\e[1m' dim=$'\e[2m' red=$'\e[31m' plain=$'\e[0m' clear=$'\r\e[K' live=1
else
    bold='' dim='' red='' plain='' clear='' live=''
fi

say() { printf '%s==>%s %s\n' "$bold" "$plain" "$*"; }

die() {
    printf '%serror:%s %s\n' "$red" "$plain" "$*" >&2
    exit 1
}

has_package() { [[ $(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null) == installed ]]; }

# need_packages NAME…: installs what is missing, and touches nothing when nothing is.
need_packages() {
    if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
        say "This is not Debian or Ubuntu: what the build needs must be there already (see BUILD_PACKAGES in scripts/lib.sh)"
        return
    fi
    local missing=() name
    for name in "$@"; do
        has_package "$name" || missing+=("$name")
    done
    ((${#missing[@]})) || return 0

    local as_root=()
    if ((EUID != 0)); then
        # A password can only be asked for where somebody can type it.
        if command -v sudo >/dev/null && { sudo -n true 2>/dev/null || [[ -t 0 && -t 1 ]]; }; then
            as_root=(sudo)
        else
            die "these packages are missing; install them, then run this again:

    apt-get update && apt-get install --no-install-recommends ${missing[*]}
"
        fi
    fi
    local apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300)
    local log
    log=$(mktemp)
    say "Installing ${missing[*]}"
    if ! { "${apt[@]}" update && "${apt[@]}" install -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1 </dev/null; then
        tail -n 30 "$log" >&2
        rm -f "$log"
        die "apt-get could not install ${missing[*]}"
    fi
    rm -f "$log"
}

# build PRESET TARGET [-DNAME=VALUE…]: quiet, with everything in build/PRESET.log; its end is shown on failure.
build() {
    local preset=$1 target=$2 log=build/$1.log start=$SECONDS
    shift 2
    mkdir -p build
    local version
    version=$(cmake --version 2>/dev/null | sed -n '1s/[^0-9]*\([0-9]*\.[0-9]*\).*/\1/p')
    [[ -n $version ]] || die "cmake is missing"
    if [[ $(printf '3.25\n%s\n' "$version" | sort -V | head -n 1) != 3.25 ]]; then
        die "cmake $version is too old, 3.25 is needed: Debian 12, Ubuntu 24.04 and newer have it"
    fi

    [[ -f build/$preset/mlops ]] || say "Building $preset, which takes minutes the first time (log: $log)"
    if ! { cmake --preset "$preset" "$@" && cmake --build --preset "$preset" --target "$target"; } 2>&1 | progress "$log"; then
        printf '%s' "$clear"
        # The first messages of the compiler say what is wrong; the end of the log is of whoever finished last.
        if ! grep -E '(error:|undefined reference|^CMake Error)' "$log" | head -n 10 | cut -c -240 >&2 ||
            [[ -n ${CI:-} ]]; then
            tail -n 60 "$log" >&2
        fi
        die "the $preset build failed (log: $log)"
    fi
    printf '%s' "$clear"
    say "Built $preset in $((SECONDS - start)) s"
}

# Copies its input to a file and, on a terminal, shows how far ninja is.
progress() {
    if [[ -z $live ]]; then
        cat >"$1"
        return
    fi
    local line
    while IFS= read -r line; do
        printf '%s\n' "$line"
        [[ $line =~ ^\[([0-9]+/[0-9]+)\] ]] && printf '%s    %s' "$clear" "${BASH_REMATCH[1]}" >&3
    done 3>&1 >"$1"
    return 0
}

# need_sshd: for the tests of remotes by ssh. Installing the package starts a server where there is a service manager;
# there it is left to whoever owns the machine.
need_sshd() {
    if PATH=$PATH:/usr/sbin command -v sshd >/dev/null; then return; fi
    if [[ -d /run/systemd/system ]]; then
        say "There is no sshd here (package openssh-server): what needs it is skipped"
    else
        need_packages openssh-server openssh-client
    fi
}

has_moto() {
    "$1" -c 'import moto, moto.server, boto3; raise SystemExit(tuple(map(int, moto.__version__.split(".")[:3])) < (5, 2, 5))' \
        >/dev/null 2>&1
}

# need_moto: sets and exports MOTO_PYTHON to an interpreter with moto, an S3-compatible server, made in build/venv-moto if
# need be. An older one will not do: 5.2.1 refuses what Amazon's own library signs. Where none can be had, the tests that
# want it are skipped.
need_moto() {
    local candidate
    for candidate in "${MOTO_PYTHON:-}" "$PWD/build/venv-moto/bin/python" python3; do
        if [[ -n $candidate ]] && has_moto "$candidate"; then
            export MOTO_PYTHON=$candidate
            return
        fi
    done
    say "Installing moto into build/venv-moto"
    mkdir -p build
    if python3 -m venv --clear build/venv-moto >build/venv-moto.log 2>&1 &&
        build/venv-moto/bin/pip install -q --disable-pip-version-check --no-input 'moto[server,s3]>=5.2.5' \
            >>build/venv-moto.log 2>&1 </dev/null; then
        export MOTO_PYTHON=$PWD/build/venv-moto/bin/python
    else
        tail -n 5 build/venv-moto.log >&2
        say "moto cannot be installed here (log: build/venv-moto.log): what needs it is skipped"
    fi
}

has_sklearn() {
    "$1" -c 'from importlib.util import find_spec as has; raise SystemExit(not (has("sklearn") and has("joblib")))' \
        >/dev/null 2>&1
}

# need_sklearn: sets and exports PYTHON to an interpreter with scikit-learn, made in build/venv if need be. Where that
# cannot be done, says so and leaves PYTHON alone: the tests that want it are then reported as skipped.
need_sklearn() {
    local candidate
    for candidate in "${PYTHON:-}" "$PWD/build/venv/bin/python" python3 /usr/bin/python3; do
        if [[ -n $candidate ]] && has_sklearn "$candidate"; then
            export PYTHON=$candidate
            return
        fi
    done
    say "Installing scikit-learn into build/venv"
    mkdir -p build
    if python3 -m venv --clear build/venv >build/venv.log 2>&1 &&
        build/venv/bin/pip install -q --disable-pip-version-check --no-input \
            -r pipelines/digits/requirements.txt >>build/venv.log 2>&1 </dev/null &&
        build/venv/bin/python -c 'import sklearn' >>build/venv.log 2>&1; then
        export PYTHON=$PWD/build/venv/bin/python
    else
        tail -n 5 build/venv.log >&2
        say "scikit-learn cannot be installed here (log: build/venv.log): what needs it is skipped"
    fi
}

# need_dvc: DVC in build/venv-dvc, for the tests that run it beside mlops. Where it cannot be installed, says so: they
# are then reported as skipped.
need_dvc() {
    [[ -n ${DVC:-} ]] && return
    build/venv-dvc/bin/dvc --version >/dev/null 2>&1 && return
    say "Installing DVC into build/venv-dvc"
    mkdir -p build
    if ! { python3 -m venv --clear build/venv-dvc &&
        build/venv-dvc/bin/pip install -q --disable-pip-version-check --no-input 'dvc>=3.60,<4' &&
        build/venv-dvc/bin/dvc --version; } >build/venv-dvc.log 2>&1 </dev/null; then
        tail -n 5 build/venv-dvc.log >&2
        say "DVC cannot be installed here (log: build/venv-dvc.log): what needs it is skipped"
    fi
}
