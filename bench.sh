#!/usr/bin/env bash
# Measures tether beside its peers (std::stop_token, OpenTelemetry, Go, plain gRPC), prints a table and writes the figures
# as JSON.
# Installs what that needs the first time (Debian packages; see tools/setup.sh). docs/performance.md explains the rows.
#
#   ./bench.sh context              five rounds, a few minutes
#   ./bench.sh values               trace context and baggage, from and into headers; a minute
#   ./bench.sh rpc                  what tether adds to an RPC; two minutes
#   ./bench.sh cancel               from a client's cancellation to the leaf of a chain; two minutes
#   ./bench.sh drift                how far a deadline is off after eight hops; two minutes
#   ./bench.sh all                  every group
#   ./bench.sh context --quick      a minute; coarse
#   ./bench.sh context --json PATH  where the figures go, instead of benchmarks/results/
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

"$root/tools/setup.sh" build >&2
exec python3 "$root/benchmarks/run.py" "$@"
