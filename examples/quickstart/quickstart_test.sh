#!/bin/sh
# The client is told why, and the handler stops: left to itself, it would keep
# the server for a minute.
#   quickstart_test.sh PROGRAM
set -eu
actual=$(timeout 30 "$1")
[ "$actual" = "context deadline exceeded" ] || {
  echo "it printed: $actual"
  exit 1
}
