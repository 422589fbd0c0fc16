#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Counts the instructions of RPCs with callgrind.

  benchmarks/instructions.py BINARY MODE...    BINARY is a build of //benchmarks:instructions_benchmark with "-c opt"

It prints the instructions and allocations of each mode, per unary RPC and per streamed message, both sides together.

The program runs its RPCs in phases (see instructions_benchmark.cc). A figure is the median of the phases of a kind, so the
program's start doesn't count. Phases of streams have two lengths. A message is the difference between the two, divided by the
number of messages, so the start and the end of the stream don't count.
"""

import glob
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile

# The program's names of the modes -> ours.
MODES = {
    "plain": "plain grpc",
    "empty": "empty interceptor",
    "by_hand": "headers by hand",
    "floor": "floor",
    "tether": "tether",
    "observed": "tether, observed",
}


class Failure(Exception):
  """An error that the user sees without a stack trace."""


def total(path):
  """Returns the instructions of one of callgrind's profiles."""
  with open(path, encoding="utf-8", errors="replace") as lines:
    for line in lines:
      match = re.match(r"totals: (\d+)$", line)
      if match:
        return int(match.group(1))
  raise Failure("%s has no total" % path)


def figures_of(phases, totals):
  """Returns {"unary", "message"}: instructions each. `phases` are the program's, `totals` the instructions of each phase."""
  if len(phases) != len(totals):
    raise Failure("%d phases, but %d profiles" % (len(phases), len(totals)))
  by_length = {}
  for phase, instructions in zip(phases, totals):
    if phase["calls"] > 0:
      by_length.setdefault(phase["messages"], []).append(instructions / phase["calls"])
  median = {length: statistics.median(values) for length, values in by_length.items()}
  short, long = sorted(length for length in median if length > 0)
  # Each length is the number of messages in one direction.
  return {"unary": median[0], "message": (median[long] - median[short]) / (long - short) / 2}


def count(binary, mode, options=()):
  """Returns {"unary", "message"} for instructions, and the same for allocations."""
  with tempfile.TemporaryDirectory() as folder:
    out = os.path.join(folder, "out")
    command = ["valgrind", "--tool=callgrind", "--dump-before=TetherPhaseEnds", "--callgrind-out-file=" + out,
               binary, "--mode=" + mode] + list(options)
    try:
      result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True)
    except OSError as error:
      raise Failure("cannot run valgrind (tools/setup.sh instructions installs it): %s" % error)
    if result.returncode != 0:
      raise Failure("%s failed:\n%s" % (" ".join(command), result.stderr.strip()))
    printed = json.loads(result.stdout)
    profiles = sorted(glob.glob(out + ".*"), key=lambda path: int(path.rsplit(".", 1)[1]))
    return figures_of(printed["phases"], [total(path) for path in profiles]), printed["allocations"]


def main(argv):
  if len(argv) < 2:
    raise Failure("usage: instructions.py BINARY MODE... (modes: %s)" % ", ".join(MODES))
  for mode in argv[1:]:
    instructions, allocations = count(argv[0], mode)
    print("%-18s unary %9.0f instructions, %5.1f allocations; message %7.0f instructions, %4.1f allocations" % (
        MODES.get(mode, mode), instructions["unary"], allocations["unary"], instructions["message"],
        allocations["message"]), flush=True)


if __name__ == "__main__":
  try:
    main(sys.argv[1:])
  except Failure as failure:
    print("instructions: %s" % failure, file=sys.stderr)
    sys.exit(1)
