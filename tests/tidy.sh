#!/usr/bin/env bash
# House rules that no compiler checks.
set -euo pipefail
cd "$(dirname "$0")/.."
bad=0
rule() { # name, offending lines
  [ -z "$2" ] || { printf '%s:\n%s\n' "$1" "$2"; bad=1; }
}
sources=$(git ls-files '*.rs')
rule "files over 400 lines" "$(wc -l $sources | awk '$1 > 400 && $2 != "total" { print "  " $2 ": " $1 }')"
rule "ractor outside job-core/src/runtime" "$(grep -ln 'ractor' $sources | grep -v '^job-core/src/runtime/' || true)"
rule "job-core names a database" "$(grep -rniE 'postgres|sqlx|redis|sqlite' job-core/src job-core/Cargo.toml || true)"
rule "SQL outside .sql files" "$(grep -rnE '"(select|insert into|update|delete from) ' backend-postgres/src | grep -v '^backend-postgres/src/seeded_bugs/' || true)"
rule "lock file with other sources" "$(git ls-files '*Cargo.lock' | xargs grep -E "^source = " | grep -v "rust-lang/crates.io-index" || true)"
rule "npm lock file that names a registry" "$(git ls-files '*package-lock.json' | xargs -r grep -n '"resolved"' || true)"
exit $bad
