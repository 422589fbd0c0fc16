#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs the services of this folder that aren't C++.
#
#   run.sh install            installs the packages of storefront.js from npm, and makes the Python code of the protos
#   run.sh storefront FLAG…   Node, with OpenTelemetry's auto-instrumentation
#   run.sh orders FLAG…       Debian's Python
#
# What it installs is in ${XDG_CACHE_HOME:-~/.cache}/tether-sidecar-apps, in a folder for each content of package-lock.json and
# of the protos. If it is there, no network is needed. The folder can be deleted at any time.
#
# It needs "tools/setup.sh sidecar", which also calls it.
set -euo pipefail
apps=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
protos=${SHOP_PROTOS:-$(readlink -f "$apps/../../proto")}
export SHOP_PROTOS=$protos

cache=${XDG_CACHE_HOME:-${HOME:-~}/.cache}/tether-sidecar-apps
key=$(cat "$apps/package-lock.json" "$protos/shop/v1/"{inventory,orders}.proto <(protoc --version) | sha256sum | cut -c1-16)
installed=$cache/$key

install() {
  [ ! -d "$installed" ] || return 0
  local new
  mkdir -p "$cache"
  new=$(mktemp -d "$cache/new.XXXXXX")
  # shellcheck disable=SC2064  # $new is local
  trap "rm -rf '$new'" EXIT
  cp "$apps/package.json" "$apps/package-lock.json" "$new"
  if ! (cd "$new" && npm ci --ignore-scripts --no-audit --no-fund --no-update-notifier) >"$new/log" 2>&1; then
    cat "$new/log" >&2
    return 1
  fi
  mkdir "$new/python"
  protoc -I "$protos" --python_out="$new/python" --grpc_python_out="$new/python" \
    --plugin=protoc-gen-grpc_python=/usr/bin/grpc_python_plugin "$protos/shop/v1/"{inventory,orders}.proto
  # A folder that exists is complete. If another process was first, its folder is the same.
  mv -T "$new" "$installed" 2>/dev/null || [ -d "$installed" ]
}

[ "${1-}" = install ] || [ -d "$installed" ] || { echo "run.sh: the packages are missing; run: tools/setup.sh sidecar" >&2; exit 1; }
case ${1-} in
  install) install ;;
  storefront)
    shift
    # OpenTelemetry's own way to instrument an app that doesn't know of it. Without an exporter it would make no spans; this one
    # finds no collector.
    export NODE_PATH=$installed/node_modules
    export OTEL_SERVICE_NAME=storefront OTEL_METRICS_EXPORTER=none OTEL_LOGS_EXPORTER=none
    export OTEL_TRACES_EXPORTER=${OTEL_TRACES_EXPORTER:-otlp} OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1
    export OTEL_NODE_RESOURCE_DETECTORS=none  # they ask the network which cloud this is
    exec node --require @opentelemetry/auto-instrumentations-node/register "$apps/storefront.js" "$@"
    ;;
  orders)
    shift
    export PYTHONPATH=$installed/python
    exec /usr/bin/python3 "$apps/orders.py" "$@"
    ;;
  *)
    sed -n '2,/^set/{/SPDX/d;/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}" >&2
    exit 64
    ;;
esac
