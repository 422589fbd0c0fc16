#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The client gets the reason, and the handler stops. Otherwise it would block the
# server for a minute.
#   quickstart_test.sh PROGRAM
set -eu
actual=$(timeout 30 "$1")
# 50ms, or a little less if the machine was busy before the call began.
case "$actual" in
"context deadline exceeded: "[1-5]*ms", of which "*inventory.GetStock*) ;;
*)
  echo "it printed: $actual"
  exit 1
  ;;
esac
