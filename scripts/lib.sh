# shellcheck shell=bash
# What run.sh and test.sh share: saying things, finding Rust, installing packages that are missing. Sourced, never run.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
stop() {
  say "$*"
  exit 1
}

# True when version $1 is $2 or later.
at_least() { [[ $(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1) == "$2" ]]; }

# Is a package of this name installed, as far as dpkg knows?
has_package() { [[ $(dpkg-query -W -f='${Status}' "$1" 2>/dev/null) == "install ok installed" ]]; }

# Is there a package of this name to install?
has_candidate() { [[ -n $(apt-cache search --names-only "^${1//./\\.}\$" 2>/dev/null) ]]; }

# A virtual environment in the user's cache with the packages that a requirements file names, as it names them.
need_python_packages() { # requirements file, name of the environment
  local place=${XDG_CACHE_HOME:-$HOME/.cache}/wallcast/$2
  cmp -s "$1" "$place/requirements.txt" && return
  rm -rf "$place"
  say "installing $1 into $place"
  { python3 -m venv "$place" && "$place/bin/pip" install -q --only-binary :all: -r "$1"; } >&2 ||
    stop "the Python packages of $1 could not be installed; the reason is above"
  cp "$1" "$place/requirements.txt"
}

# Installs the packages named, as root or through sudo. Called with those that are missing only.
install_packages() {
  (($#)) || return 0
  local by_hand="apt-get update && apt-get install -y --no-install-recommends $*"
  command -v apt-get >/dev/null ||
    stop "these packages are missing (by their Debian names): $*. Found no apt-get to install them with: install your system's counterparts, then start this again"
  local as_root=()
  if ((EUID != 0)); then
    command -v sudo >/dev/null || stop "packages are missing, and there is no sudo. As root, run: $by_hand"
    as_root=(sudo)
  fi
  say "installing $*"
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -q >&2 ||
    say "apt-get update failed; going on with the package lists that are there"
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$@" >&2 ||
    stop "the packages could not be installed. As root, run: $by_hand"
}

# Puts cargo on the PATH or says where to get it.
need_rust() {
  local expected found
  expected=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' "$root/Cargo.toml")
  command -v cargo >/dev/null || PATH="$HOME/.cargo/bin:$PATH"
  command -v cargo >/dev/null ||
    stop "found no Rust (looked for cargo in PATH and in $HOME/.cargo/bin), expected Rust $expected or later. Install it from https://rustup.rs, then start this again"
  found=$(cd "$root" && cargo --version | cut -d ' ' -f 2) ||
    stop "found $(command -v cargo), but it does not run. Repair it with https://rustup.rs, then start this again"
  at_least "$found" "$expected" ||
    stop "found Rust $found, expected $expected or later. Run: rustup update stable"
}

# Installs what the build needs beyond Rust, then checks that FFmpeg is new enough.
# Asked for by what it offers, not by package name, so that an FFmpeg built by hand counts.
need_build_packages() {
  local missing=() library found
  command -v c++ >/dev/null || missing+=(g++)
  command -v nasm >/dev/null || missing+=(nasm) # without it OpenH264 is built without SIMD: a third of the speed
  command -v pkg-config >/dev/null || missing+=(pkg-config)
  has_libclang || missing+=(libclang-dev)
  for library in libavcodec libavformat libavutil libswscale; do
    pkg-config --exists "$library" 2>/dev/null || missing+=("$library-dev")
  done
  install_packages "${missing[@]}"
  found=$(pkg-config --modversion libavcodec 2>/dev/null) || stop "found no libavcodec by pkg-config, expected 59.37 or later (FFmpeg 5.1)"
  at_least "$found" 59.37 ||
    stop "found FFmpeg with libavcodec $found, expected 59.37 or later (FFmpeg 5.1: Debian 12, Ubuntu 24.04 or later)"
}

# bindgen reads FFmpeg's headers with libclang and the headers that come with it, so the development package it is.
# LIBCLANG_PATH is bindgen's own way of naming another one.
has_libclang() {
  [[ -n ${LIBCLANG_PATH:-} ]] || compgen -G '/usr/lib/llvm-*/lib/libclang.so' >/dev/null ||
    [[ -e /usr/lib64/libclang.so || -e /usr/lib/libclang.so ]]
}
