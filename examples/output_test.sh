#!/bin/sh
# Runs a program and compares what it prints with what it should.
#   output_test.sh PROGRAM FILE
set -eu
program=$1
expected=$2

actual=$(mktemp "${TEST_TMPDIR:-/tmp}/output.XXXXXX")
trap 'rm -f "$actual"' EXIT
"$program" >"$actual"
diff -u "$expected" "$actual"
