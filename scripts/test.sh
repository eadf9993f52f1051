#!/usr/bin/env bash
# Installs what the tests need when it is missing, then runs all of them: format, lints, unit, documentation and
# integration tests, the web side's, and the end-to-end tests (real cameras of GStreamer, a real Chromium).
#
#   scripts/test.sh                 everything
#   scripts/test.sh unit            what needs neither cameras nor a browser
#   scripts/test.sh e2e             the rest, one test at a time
#   scripts/test.sh camera_dies     the steps whose name contains this (`scripts/test.sh list` names them)
#
# Screenshots and logs are left in artifacts/. The last line is `N passed, N failed`; the exit code is 0 only when nothing failed.
#   WALLCAST_MEDIA=DIR               real footage (default: ../shared/media beside the project); tests that want it say when they skip
#   WALLCAST_UPDATE_SCREENSHOT=1     the browser test renews the README's screenshot
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"

wanted=${1:-all}
artifacts=$root/artifacts
logs=$artifacts/logs
export WALLCAST_ARTIFACTS=$artifacts WALLCAST_SKIPPED=$artifacts/skipped.txt
if [[ -z ${WALLCAST_MEDIA:-} && -d $root/../shared/media ]]; then
  WALLCAST_MEDIA=$(cd "$root/../shared/media" && pwd)
fi
export WALLCAST_MEDIA=${WALLCAST_MEDIA:-}

# Steps besides e2e_* whose tests play over real sockets in real time, so that noise can upset them too.
media='^(rtsp|streams|relay|chaos_[a-z]+|kill_return|viewers|leaks|logs|rtsp_server|rtsp_foreign|layout_api)$'

# ── the steps: name, group, command ──────────────────────────────────────────────────────────────────────────────────

names=() groups=() commands=()
step() {
  names+=("$1") groups+=("$2")
  commands+=("$(printf '%q ' "${@:3}")")
}

# Always the whole workspace: the dependencies' features, and so their builds, depend on the packages selected.
plan() {
  local file name shell_files
  mapfile -t shell_files < <(find scripts docker -name node_modules -prune -o -name '*.sh' -print)
  step format unit cargo fmt --all --check
  step shellcheck unit shellcheck --external-sources "${shell_files[@]}" .ci/run
  step lints unit cargo clippy --release --locked --workspace --all-targets -- -D warnings
  step build both cargo test --release --locked --workspace --no-run
  step unit_tests unit cargo test --release --locked --workspace --lib --bins --no-fail-fast
  step doc_tests unit cargo test --release --locked --workspace --doc --no-fail-fast
  for file in crates/*/tests/*.rs benches/tests/*.rs; do
    [[ -e $file ]] || continue
    name=$(basename "$file" .rs)
    [[ $name == e2e_* ]] && continue
    step "$name" unit cargo test --release --locked --workspace --test "$name" -- --test-threads=2
  done
  while IFS= read -r file; do
    name=${file##*/}
    step "web_${name%.test.*}" unit node --test --test-reporter=tap "$file"
  done < <(find web scripts/e2e scripts/clients -name node_modules -prune -o \( -name '*.test.mjs' -o -name '*.test.js' \) -print | sort)
  for file in crates/wallcast/tests/e2e_*.rs; do
    [[ -e $file ]] || continue
    name=$(basename "$file" .rs)
    step "$name" e2e cargo test --release --locked --workspace --test "$name" -- --test-threads=1 --show-output
  done
  for file in scripts/e2e/*.e2e.mjs; do
    [[ -e $file ]] || continue
    name=$(basename "$file" .e2e.mjs)
    step "e2e_browser_$name" e2e node --test --test-concurrency=1 --test-reporter=tap "$file"
  done
  step e2e_clients e2e node --test --test-concurrency=1 --test-reporter=tap scripts/clients/clients.e2e.mjs
}

selected() { # step number → is it wanted?
  local name=${names[$1]} group=${groups[$1]}
  case $wanted in
    all) ;;
    unit | e2e) [[ $group == "$wanted" || $group == both ]] ;;
    *) [[ $name == *"$wanted"* ]] ;;
  esac
}

# ── what the steps need ──────────────────────────────────────────────────────────────────────────────────────────────

need_node() {
  local missing=() found
  command -v node >/dev/null || missing+=(nodejs)
  command -v npm >/dev/null || missing+=(npm)
  command -v shellcheck >/dev/null || missing+=(shellcheck)
  install_packages "${missing[@]}"
  found=$(node --version)
  at_least "${found#v}" 18.15 || stop "found Node $found, expected v18.15 or later"
}

# The system's Python runs the cameras: python3-gi is built for that one only.
need_cameras_and_browser() {
  local missing=() package
  for package in python3-gi gir1.2-gst-rtsp-server-1.0 gir1.2-gst-plugins-base-1.0 \
    gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly; do
    has_package "$package" || missing+=("$package")
  done
  command -v ffmpeg >/dev/null || missing+=(ffmpeg)
  command -v turnserver >/dev/null || missing+=(coturn)
  if [[ -z ${WALLCAST_CHROMIUM:-} ]] && ! command -v chromium chromium-browser google-chrome >/dev/null; then
    missing+=(chromium)
  fi
  install_packages "${missing[@]}"
}

# The packages that a folder's lock file names, as it names them.
need_npm() { # folder
  local stamp=$1/node_modules/.package-lock.json
  [[ $stamp -nt $1/package-lock.json ]] && return
  (cd "$1" && npm ci --no-audit --no-fund --loglevel=error && touch node_modules/.package-lock.json) ||
    stop "npm ci failed in $1; the reason is above"
}

# Other people's WebRTC (docs/clients.md). A system without a Firefox package does without Firefox, and its tests say so.
need_clients() {
  local missing=() package found
  for package in gstreamer1.0-nice gstreamer1.0-libav gir1.2-gst-plugins-bad-1.0 python3-venv; do
    has_package "$package" || missing+=("$package")
  done
  if [[ -z ${WALLCAST_FIREFOX:-} ]] && ! command -v firefox-esr firefox >/dev/null && has_candidate firefox-esr; then
    missing+=(firefox-esr)
  fi
  install_packages "${missing[@]}"
  found=$(node --version)
  at_least "${found#v}" 18.20 || stop "found Node $found, expected v18.20 or later for scripts/clients"
  need_npm scripts/clients
  [[ -n ${WALLCAST_AIORTC_PYTHON:-} ]] || need_python_packages scripts/clients/requirements.txt aiortc
}

# ── running and counting ─────────────────────────────────────────────────────────────────────────────────────────────

passed=0 failed=0
rows=() logs_of_failures=()

# Adds up the counts that cargo's test runner and TAP print; nothing when a step is not a test run.
count() { # log → "passed failed", or nothing
  awk '/^test result:/ { p += $4; f += $6; seen = 1 }
       /^# pass [0-9]+/ { p += $3; seen = 1 } /^# fail [0-9]+/ { f += $3; seen = 1 } /^# cancelled [0-9]+/ { f += $3 }
       END { if (seen) print p + 0, f + 0 }' "$1"
}

run_logged() { # log, command… → the command's exit code; its output is shown and kept
  local log=$1
  shift
  "$@" 2>&1 | tee "$log" # pipefail: the command's failure is the pipe's
}

# A media test that noise upset may run again, twice at most, alone. It is never silent about it.
repeat_failed() { # step number, log → prints how many of the failed tests passed when repeated
  local name=${names[$1]} command=${commands[$1]} log=$2 test rescued=0 again=()
  if [[ $command == node\ * ]]; then # the whole file
    repeat "$name" "$command" && rescued=$(count "$log" | cut -d ' ' -f 2)
  else
    mapfile -t again < <(sed -n 's/^test \(.*\) \.\.\. FAILED$/\1/p' "$log" | sort -u)
    for test in "${again[@]}"; do
      repeat "$name::$test" "$command --exact $test" && rescued=$((rescued + 1))
    done
  fi
  echo "$rescued"
}

repeat() { # what, command → did it pass in the end?
  local try
  for try in 1 2; do
    say "repeating $1, time $try of 2"
    if run_logged "$logs/${1//:/_}.repeat$try.log" bash -c "$2" >&2; then
      echo "$1 ×$try" >>"$artifacts/repeated.txt"
      return 0
    fi
  done
  echo "$1 ×2, and it failed each time" >>"$artifacts/repeated.txt"
  return 1
}

run_step() {
  local number=$1 name=${names[$1]} log=$logs/${names[$1]}.log started=$SECONDS status=0 p=0 f=0 counts rescued
  printf '\n━━━ %s ━━━ %s\n' "$name" "${commands[$number]}"
  run_logged "$log" bash -c "${commands[$number]}" || status=$?
  counts=$(count "$log")
  [[ $name == build ]] && counts=
  if [[ -n $counts ]]; then
    read -r p f <<<"$counts"
    if ((status != 0 && f > 0)) && [[ ${groups[$number]} == e2e || $name =~ $media ]]; then
      rescued=$(repeat_failed "$number" "$log")
      p=$((p + rescued)) f=$((f - rescued))
      ((f == 0)) && status=0
    fi
    ((status == 0 || f > 0)) || f=1 # a crash outside of any test counts as one
  elif ((status == 0)); then
    p=1
  else
    f=1
  fi
  passed=$((passed + p)) failed=$((failed + f))
  ((f == 0)) || logs_of_failures+=("$log")
  rows+=("$(printf '%-28s %6d %7d %6d s' "$name" "$p" "$f" $((SECONDS - started)))")
}

plan
if [[ $wanted == list ]]; then
  printf '%s\n' "${names[@]}"
  exit
fi
chosen=()
for number in "${!names[@]}"; do
  selected "$number" && chosen+=("$number")
done
((${#chosen[@]})) || stop "found no step named like '$wanted', expected unit, e2e or a part of: ${names[*]}"

need_rust
need_build_packages
need_node
for number in "${chosen[@]}"; do
  [[ ${groups[$number]} == e2e ]] || continue
  need_cameras_and_browser
  need_npm scripts/e2e
  break
done
for number in "${chosen[@]}"; do
  [[ ${names[$number]} != e2e_clients ]] || need_clients
done
mkdir -p "$logs"
rm -f "$WALLCAST_SKIPPED" "$artifacts/repeated.txt"

for number in "${chosen[@]}"; do
  run_step "$number"
done

printf '\n%-28s %6s %7s %8s\n' step passed failed time
printf '%s\n' "${rows[@]}"
printf '%-28s %6d %7d %6d s\n' total "$passed" "$failed" "$SECONDS"
if ((${#logs_of_failures[@]})); then
  printf '\nFAILED, see:\n'
  printf '%s\n' "${logs_of_failures[@]}"
fi
if [[ -s $WALLCAST_SKIPPED ]]; then
  printf '\nSKIPPED:\n'
  sort -u "$WALLCAST_SKIPPED"
fi
if [[ -s $artifacts/repeated.txt ]]; then
  printf '\nREPEATED because the first run failed (a test that is here every time is broken):\n'
  sed 's/^/repeated: /' "$artifacts/repeated.txt"
fi
echo
echo "$passed passed, $failed failed"
((failed == 0))
