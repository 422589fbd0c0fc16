#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Measures tether and its peers (std::stop_token, OpenTelemetry, Go, plain gRPC), prints a table, and writes the figures as
# JSON. Installs missing Debian packages on first use (see tools/setup.sh). docs/performance.md explains the rows.
#
#   ./bench.sh context              five rounds, a few minutes
#   ./bench.sh values               reading and writing trace context and baggage in headers; a minute
#   ./bench.sh rpc                  tether's cost per RPC; two minutes
#   ./bench.sh instructions         the instructions of an RPC and of a streamed message; four minutes
#   ./bench.sh instructions --check  fails if there are more than recorded, as in CI; two minutes
#   ./bench.sh inspect              looking at what is in flight; a minute
#   ./bench.sh cancel               the time from a client's cancellation to the leaf of a chain; two minutes
#   ./bench.sh drift                the error of a deadline after eight hops; two minutes
#   ./bench.sh load                 a chain under load, under overload and through a stall; twenty minutes
#   ./bench.sh sidecar              the sidecar beside nginx and nghttpx; a quarter of an hour
#   ./bench.sh scale                many contexts, streams, calls, channels and hops; six minutes
#   ./bench.sh all                  every group
#   ./bench.sh context --quick      a minute; coarse
#   ./bench.sh context --json PATH  writes the figures to PATH instead of benchmarks/results/
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

"$root/tools/setup.sh" build >&2
exec python3 "$root/benchmarks/run.py" "$@"
