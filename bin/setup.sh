# shellcheck shell=sh disable=SC2086,SC2154 # lists of words are split on purpose; $root is the caller's
# Set-up shared by bin/ebtop and bin/test; sourced with $root (the checkout) set, never run.
#
# It makes a virtual environment with the dependencies that pyproject.toml names, for a purpose: `run`
# (the program) or `test` (the same, and the dev extra). A stamp file inside the environment says what
# it was made for, so that the next start only compares one line. Everything is said on stderr: stdout
# belongs to the program.

say() {
    printf 'ebtop: %s\n' "$*" >&2
}

die() {
    say "$*"
    exit 1
}

# Where the environment lives: in the checkout, or in a cache when the checkout can't be written to.
find_venv() {
    venv=$root/.venv
    if [ -d "$venv" ] || [ -w "$root" ]; then
        return
    fi
    set_name=venv$(printf %s "$root" | tr / -)
    venv=/var/cache/ebtop/$set_name
    if [ -r "$venv/ebtop-run" ] || [ -w /var/cache ]; then
        venv=${XDG_CACHE_HOME:-/var/cache}/ebtop/$set_name
    else
        venv=${XDG_CACHE_HOME:-$HOME/.cache}/ebtop/$set_name
    fi
}

# Is the environment complete for purpose $1? Costs a cksum, no Python.
is_ready() {
    key="$(cat "$root/pyproject.toml" "$root/bin/setup.sh" | cksum) $root"
    stamp=
    [ -r "$venv/ebtop-$1" ] && IFS= read -r stamp <"$venv/ebtop-$1"
    # The environment's python points at a versioned name (/usr/bin/python3.11), which goes away when
    # the distribution moves on to the next Python.
    [ "$stamp" = "$key" ] && [ -x "$venv/bin/python" ]
}

# Make the environment complete for purpose $1. Starts that come at the same time wait for the first.
set_up() {
    base=${venv%/*}
    mkdir -p "$base" 2>/dev/null
    [ -w "$base" ] ||
        die "the first start needs a place for its Python packages: can't write to $base; run it once as root"
    exec 9<"$base"
    if command -v flock >/dev/null && ! flock -n 9; then
        say "another start is setting up, waiting for it"
        flock 9
    fi
    if ! is_ready "$1"; then
        log=$(mktemp "${TMPDIR:-/tmp}/ebtop-setup.XXXXXX") || die "can't write a log to ${TMPDIR:-/tmp}"
        trap 'rm -f "$log"; exit 130' INT TERM
        # The lock must not pass to what a package's installation may leave running.
        (make_ready "$1" 9<&-) </dev/null || exit 1
        rm -f "$log"
        trap - INT TERM
    fi
    exec 9<&-
}

make_ready() {
    began=$(date +%s)
    umask 022 # root's environment serves `ebtop replay` by everyone
    say "setting up, once:"
    install_packages "$1"
    make_venv
    : >"$venv/ebtop-incomplete"
    rm -f "$venv/ebtop-run" "$venv/ebtop-test"
    install_dependencies "$1"
    compile_bytecode
    rm -f "$venv/ebtop-incomplete"
    for purpose in run "$1"; do
        printf '%s\n' "$key" >"$venv/ebtop-$purpose"
    done
    say "  done in $(($(date +%s) - began)) s; the eBPF programs are compiled when they are first loaded"
}

# Distribution packages that are missing. Only Python is indispensable here: bcc is needed to compile the
# eBPF programs, not for `replay`, `export` or `doctor`, which says so when it is missing.
install_packages() {
    missing=
    find_python
    [ -n "$python" ] && "$python" -I -c 'import ensurepip, venv' 2>/dev/null || missing="python3 python3-venv"
    has_bcc || missing="$missing python3-bpfcc"
    if [ "$1" = test ]; then
        [ -e /usr/include/stdio.h ] || missing="$missing libc6-dev"
        for tool in gcc:gcc g++:g++ tmux:tmux ip:iproute2 nft:nftables sysctl:procps; do
            command -v "${tool%:*}" >/dev/null || missing="$missing ${tool#*:}"
        done
    fi
    [ -z "$missing" ] || apt_install $missing || by_hand
    find_python
    [ -n "$python" ] || die "needs Python 3.10 or newer and found ${too_old:-none}; install one (python3.12, python3.11 or python3.10, with its venv module) and start again"
    "$python" -I -c 'import ensurepip, venv' 2>/dev/null ||
        die "can't make a virtual environment: $python has no venv module; install it (Debian, Ubuntu: apt-get install ${python##*/}-venv) and start again"
}

# The distribution's own Python if it is new enough, or else the newest that is installed.
find_python() {
    python=
    too_old=
    newest_first=$(printf '%s\n' /usr/bin/python3.* /usr/local/bin/python3.* |
        grep -E '/python3\.[0-9]+$' | sort -t. -k2,2nr)
    for candidate in /usr/bin/python3 $newest_first "$(command -v python3)"; do
        [ -x "$candidate" ] || continue
        if "$candidate" -I -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
            python=$(readlink -f "$candidate")
            return
        fi
        too_old=${too_old:-$("$candidate" --version 2>&1)}
    done
}

has_bcc() {
    for package in /usr/lib/python3/dist-packages/bcc /usr/lib/python3.*/site-packages/bcc; do
        [ -d "$package" ] && return
    done
    return 1
}

# Fails, with the reason in $why, when the packages $@ did not get installed.
apt_install() {
    why="this distribution has no apt-get"
    command -v apt-get >/dev/null || return 1
    why="that needs root"
    [ "$(id -u)" = 0 ] || return 1
    say "  installing $* with apt-get"
    apt install "$@" && return
    # A fresh machine has no package lists, an old one has stale ones.
    apt update
    apt install "$@" && return
    why=$(grep -E '^(E|Err)' "$log" | tail -n 1)
    return 1
}

apt() {
    case $1 in
    install) shift && set -- install -y --no-install-recommends "$@" ;;
    esac
    DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 \
        apt-get -q -o DPkg::Lock::Timeout=120 "$@" >>"$log" 2>&1
}

by_hand() {
    distribution=$(. /etc/os-release 2>/dev/null && printf '%s' "$ID ${ID_LIKE-}")
    case " $distribution " in
    *" debian "* | *" ubuntu "*) command="apt-get install$(printf ' %s' $missing)" ;;
    *" fedora "* | *" rhel "*) command="dnf install python3 python3-bcc" ;;
    *suse*) command="zypper install python3 python3-bcc" ;;
    *" alpine "*) command="apk add python3 py3-bcc" ;;
    *" arch "*) command="pacman -S python python-bcc" ;;
    *) command="install Python 3.10 or newer with its venv module, and the Python module of bcc" ;;
    esac
    say "  missing:" $missing "($why); install by hand: $command"
}

# A hand-made environment is kept and completed. One whose set-up was cut short, that belongs to another
# checkout (a copied one) or whose Python is gone is made anew.
make_venv() {
    usable=yes
    [ ! -e "$venv/ebtop-incomplete" ] || usable=
    for purpose in run test; do
        [ ! -r "$venv/ebtop-$purpose" ] || IFS= read -r stamp <"$venv/ebtop-$purpose"
        case ${stamp:-" $root"} in
        *" $root") ;;
        *) usable= ;;
        esac
    done
    if [ -n "$usable" ] &&
        "$venv/bin/python" -I -c 'import sys, pip; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
        return
    fi
    [ ! -L "$venv" ] ||
        die "$venv is a link to an environment that belongs to another checkout; remove the link and start again"
    say "  making a virtual environment in $venv with $("$python" --version)"
    mkdir -p "$venv" && : >"$venv/ebtop-incomplete"
    "$python" -I -m venv --clear "$venv" >>"$log" 2>&1 ||
        die "can't make a virtual environment in $venv: $(tail -n 1 "$log") (log: $log)"
}

install_dependencies() {
    requirements=$(
        "$venv/bin/python" -I - "$root" "$1" 2>>"$log" <<'PYTHON'
import pathlib
import sys
import sysconfig

try:
    import tomllib
except ImportError:  # Python 3.10
    from pip._vendor import tomli as tomllib

root, purpose = pathlib.Path(sys.argv[1]), sys.argv[2]
project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
requirements = project["dependencies"]
if purpose == "test":
    requirements += project["optional-dependencies"]["dev"]
# The program runs from the checkout: a path file instead of a build, which would need the network again.
(pathlib.Path(sysconfig.get_path("purelib")) / "ebtop-checkout.pth").write_text(f"{root}\n", encoding="utf-8")
print("\n".join(requirements))
PYTHON
    ) || die "can't read $root/pyproject.toml: $(tail -n 1 "$log") (log: $log)"
    printf '%s\n' "$requirements" >"$venv/requirements.txt"
    names=$(printf '%s\n' "$requirements" | sed 's/[<>=!~ ].*//')
    say "  installing" $names "with pip"
    PIP_DEFAULT_TIMEOUT=${PIP_DEFAULT_TIMEOUT:-15} PIP_RETRIES=${PIP_RETRIES:-2} \
        "$venv/bin/python" -I -m pip install --quiet --no-input --disable-pip-version-check \
        --requirement "$venv/requirements.txt" >>"$log" 2>&1 ||
        die "can't install the Python packages: $(pip_reason); check the network, or name a package index in PIP_INDEX_URL, and start again (log: $log)"
}

# Bytecode next to the sources, or in the cache when the checkout can't be written to.
compile_bytecode() {
    set -- -I
    [ "$venv" = "$root/.venv" ] || set -- -I -X "pycache_prefix=$venv/pycache"
    "$venv/bin/python" "$@" -m compileall -q "$root/ebtop" >>"$log" 2>&1 || true
}

# pip says "no matching distribution" when it could not reach the index; the cause is in its warnings.
pip_reason() {
    reason=$(sed -n "s/^WARNING: Retrying.* connection broken by '\(.*\)': .*/\1/p" "$log" | tail -n 1)
    printf %s "${reason:-$(sed -n 's/^ERROR: //p' "$log" | tail -n 1)}"
}
