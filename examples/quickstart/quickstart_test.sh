#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The client gets the reason, and the handler stops. Otherwise it would block the
# server for a minute. The message has the words that README.md shows. Its
# figures depend on the machine: the call begins a little late, and so does the
# handler.
#   quickstart_test.sh PROGRAM
set -eu
actual=$(timeout 30 "$1")
figure='[0-9.]*m\{0,1\}s'
words="context deadline exceeded: $figure, of which inventory\.GetStock $figure"
if ! expr "$actual" : "$words\$" >/dev/null; then
  echo "it printed: $actual"
  exit 1
fi
