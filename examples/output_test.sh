#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs a program and compares its output with the expected output.
#   output_test.sh PROGRAM FILE
set -eu
program=$1
expected=$2

actual=$(mktemp "${TEST_TMPDIR:-/tmp}/output.XXXXXX")
trap 'rm -f "$actual"' EXIT
"$program" >"$actual"
diff -u "$expected" "$actual"
