#!/usr/bin/env bash
# Builds Wallcast and runs it. Installs what the build needs when it is missing (Debian, Ubuntu).
#
#   scripts/run.sh                                 the demo: four simulated cameras, one wall
#   scripts/run.sh run rtsp://… rtsp://…           your own cameras
#   scripts/run.sh run --config wall.yaml          arguments go to `wallcast` as they are
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

need_rust
need_build_packages

# In a subshell, so that file names among the arguments keep their meaning.
(cd "$root" && cargo build --release --locked --package wallcast --bin wallcast) ||
  stop "the build failed; the reason is above"

target=${CARGO_TARGET_DIR:-target}
[[ $target == /* ]] || target=$root/$target
(($#)) || set -- demo
exec "$target/release/wallcast" "$@" # exec, so that Ctrl-C and signals reach Wallcast itself
