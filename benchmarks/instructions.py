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
PEERS = {
    "plain": "plain grpc",
    "empty": "empty interceptor",
    "by_hand": "headers by hand",
    "floor": "floor",
}
# The program's names of tether's modes -> the ends of the rows' names.
OWN = {
    "tether": "",
    "observed": ", observed",
    "packed": ", packed",
}

# The figures -> the beginnings of the rows' names.
FIGURES = {"unary": "unary", "message": "streamed message"}

# check() allows this growth of the ratio between tether and a peer. The ratio of an RPC differs by less than 1 % from run to run,
# that of a streamed message by up to 2.2 % (which messages share a write to the socket is chance).
GROWTH = {"unary": 0.02, "streamed message": 0.03}
# Other load on the machine can only add instructions, so a figure that is too large is measured again.
ATTEMPTS = 3


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


def rows(binary):
  """Measures all modes once. Returns row -> name -> (instructions, allocations).

  Allocations are those of tether, without those of plain gRPC. For peers, they are None.
  """
  counted = {mode: count(binary, mode) for mode in list(PEERS) + list(OWN)}
  result = {}
  for mode, end in OWN.items():
    for figure, begin in FIGURES.items():
      allocations = counted[mode][1][figure] - counted["plain"][1][figure]
      row = result[begin + end] = {"tether": (counted[mode][0][figure], allocations)}
      row.update({name: (counted[peer][0][figure], None) for peer, name in PEERS.items()})
  return result


def reference_of(row):
  """The peer to which tether's figure is compared in `row`.

  Releases of gRPC, of the compiler and of libc change the number of instructions of an RPC. They change it for an RPC without
  tether, too, so the ratio stays about the same. Headers don't concern a streamed message, but interceptors do.
  """
  return "headers by hand" if row.startswith(FIGURES["unary"]) else "empty interceptor"


def check(measure, recorded):
  """Compares rows() with the recorded ones, which are as in results/instructions.json. Returns the exit code.

  `measure` returns rows(). It is called again if a figure is too large. The smallest figure of the calls counts.
  """
  limits = {}
  for row in recorded:
    ratio = row["tether"] / row["peers"][reference_of(row["operation"])]
    limits[row["operation"]] = (ratio * (1 + GROWTH[row["operation"].split(",")[0]]), row["allocations"])
  best = {}
  for _ in range(ATTEMPTS):
    for name, row in measure().items():
      now = (row["tether"][0] / row[reference_of(name)][0], round(row["tether"][1]))
      best[name] = tuple(map(min, now, best.get(name, now)))
    if all(value <= limit for name in best for value, limit in zip(best[name], limits.get(name, (0, 0)))):
      break
  passed = failed = 0
  for name in sorted(set(best) | set(limits)):
    if name not in best or name not in limits:
      print("FAILED: the row %r is measured, but not recorded, or the other way round" % name)
      failed += 1
      continue
    kinds = "ratio to " + reference_of(name), "allocations"
    for what, form, value, limit in zip(kinds, ("%.4f", "%d"), best[name], limits[name]):
      print("%s: %s: %s %s, at most %s" % (
          "ok" if value <= limit else "FAILED", name, what, form % value, form % limit))
      passed, failed = passed + (value <= limit), failed + (value > limit)
  print("%d passed, %d failed" % (passed, failed))
  return 1 if failed else 0


def main(argv):
  names = dict(PEERS, **{mode: "tether" + end for mode, end in OWN.items()})
  if len(argv) < 2 or not set(argv[1:]) <= set(names):
    raise Failure("usage: instructions.py BINARY MODE... (modes: %s)" % ", ".join(names))
  for mode in argv[1:]:
    instructions, allocations = count(argv[0], mode)
    print("%-18s" % names[mode] + "; ".join(
        "%s %9.0f instructions, %4.1f allocations" % (begin, instructions[figure], allocations[figure])
        for figure, begin in FIGURES.items()), flush=True)
  return 0


if __name__ == "__main__":
  try:
    sys.exit(main(sys.argv[1:]))
  except Failure as failure:
    print("instructions: %s" % failure, file=sys.stderr)
    sys.exit(1)
