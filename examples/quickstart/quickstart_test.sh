#!/bin/sh
# The client is told why, and the handler stops: left to itself, it would keep
# the server for a minute.
#   quickstart_test.sh PROGRAM
set -eu
actual=$(timeout 30 "$1")
# 50ms, or a little less where the machine was busy before the call began.
case "$actual" in
"context deadline exceeded: "[1-5]*ms", of which "*inventory.GetStock*) ;;
*)
  echo "it printed: $actual"
  exit 1
  ;;
esac
