#!/usr/bin/env bash
# Runs each fuzz target of fuzz/ on what it knows and on what it makes of it. No target may crash, hang or take memory without end.
#
#   scripts/fuzz.sh                    60 seconds each
#   scripts/fuzz.sh 600                10 minutes each
#   scripts/fuzz.sh 60 jpeg_header     only the targets whose name contains this
#
# Stable Rust and a C++ compiler are enough: the compiler's own coverage instrumentation is switched on here (it is what `cargo fuzz`
# does, which works with this folder too). What a run learns stays in fuzz/corpus, what crashed in fuzz/crashes; neither is committed.
# The last line says how many targets ran, how often in all, and how many crashed; the exit code is 0 only when none did.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root/fuzz"

seconds=${1:-60}
wanted=${2:-}
[[ $seconds =~ ^[1-9][0-9]*$ ]] || stop "found '$seconds' for the seconds a target, expected a number from 1 on"

# A picture is at most 8 MiB; what parsers do with the first 64 KiB they do with the rest. A second is for ever for any of these.
limits=(-max_len=65536 -timeout=5 -rss_limit_mb=1024 -verbosity=1 -print_final_stats=1)

build() {
  local flags=(
    --cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table
    -Cllvm-args=-sanitizer-coverage-trace-compares
  )
  # The same versions as the project's, and the fuzzer's own besides.
  [[ Cargo.lock -nt ../Cargo.lock ]] || cp ../Cargo.lock Cargo.lock
  host=$(rustc -vV | sed -n 's/^host: //p')
  # With a target named, the flags are for the programs only and not for what builds them.
  RUSTFLAGS="${flags[*]}" cargo build --release --target "$host" --bins || stop "the fuzz targets do not build; the reason is above"
}

run() { # target → did it survive? Sets $executions.
  local name=$1 log=crashes/$1.log status=0
  mkdir -p "corpus/$name" "crashes/$name"
  "target/$host/release/$name" "corpus/$name" "seeds/$name" "-max_total_time=$seconds" "${limits[@]}" \
    "-artifact_prefix=crashes/$name/" >"$log" 2>&1 &
  local pid=$!
  while kill -0 "$pid" 2>/dev/null; do
    sleep 5
    sed -n 's/^\(#[0-9]*\)[^:]*\(cov: [0-9]*\).*\(exec\/s: [0-9]*\).*/\1 \2 \3/p' "$log" | tail -n 1 | sed "s/^/  $name /"
  done
  wait "$pid" || status=$?
  executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
  executions=${executions:-0}
  ((status == 0)) && return
  tail -n 30 "$log"
  say "$name crashed. Run it alone:  fuzz/target/$host/release/$name fuzz/crashes/$name/FILE"
  say "Make it smaller with -minimize_crash=1, repair the parser, then keep it for good:  mkdir -p fuzz/fixed/$name && cp FILE fuzz/fixed/$name/what-it-was"
  say "From then on 'cargo test --test malformed' plays it in every run."
  return 1
}

need_rust
need_build_packages
build
ran=0 total=0 crashed=()
for source in fuzz_targets/*.rs; do
  name=$(basename "$source" .rs)
  [[ $name == *"$wanted"* ]] || continue
  say "$name, $seconds s"
  run "$name" || crashed+=("$name")
  say "$name: $executions executions"
  ran=$((ran + 1)) total=$((total + executions))
done
((ran)) || stop "found no fuzz target named like '$wanted'"
echo "$ran targets, $total executions, ${#crashed[@]} crashed${crashed[*]:+: ${crashed[*]}}"
((${#crashed[@]} == 0))
