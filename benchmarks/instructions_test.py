#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tests instructions.py: how it reads profiles, what it compares, and what it allows. Nothing is measured."""

import contextlib
import io
import os
import stat
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import instructions  # noqa: E402


def phase(calls, messages):
  return {"calls": calls, "messages": messages}


class FiguresTest(unittest.TestCase):
  def test_a_figure_is_the_median_of_its_phases(self):
    phases = [phase(0, 0), phase(10, 0), phase(10, 0), phase(10, 0),
              phase(0, 5), phase(2, 5), phase(0, 25), phase(2, 25)]
    found = instructions.figures_of(phases, [10**9, 1000, 1010, 5000, 777, 400, 888, 2400])
    # The stream has 20 more messages in each direction, and costs 1000 more.
    self.assertEqual(found, {"unary": 101, "message": 25})

  def test_each_phase_needs_its_profile(self):
    with self.assertRaisesRegex(instructions.Failure, "2 phases, but 1 profiles"):
      instructions.figures_of([phase(0, 0), phase(1, 0)], [1])

  def test_the_profiles_are_read_in_their_order(self):
    """A fake valgrind writes twelve profiles. The order of their names isn't that of their numbers."""
    with tempfile.TemporaryDirectory() as folder:
      path = os.path.join(folder, "valgrind")
      with open(path, "w", encoding="utf-8") as file:
        file.write("""#!/bin/bash
for word; do case "$word" in --callgrind-out-file=*) out=${word#*=} ;; esac; done
for i in {1..12}; do printf 'events: Ir\\nsummary: 9\\nfn=(1) totals: 5\\ntotals: %d\\n' $((i * 100)) >$out.$i; done
printf 'totals: 7\\n' >$out
echo '{"phases": ['
for i in {1..9}; do echo '{"calls": 0, "messages": 0},'; done
echo '{"calls": 10, "messages": 0}, {"calls": 1, "messages": 1}, {"calls": 1, "messages": 11}],
 "allocations": {"unary": 3, "message": 2}}'
""")
      os.chmod(path, os.stat(path).st_mode | stat.S_IXUSR)
      before = os.environ["PATH"]
      self.addCleanup(lambda: os.environ.update(PATH=before))
      os.environ["PATH"] = folder + ":" + before
      self.assertEqual(instructions.count("program", "tether"),
                       ({"unary": 100, "message": 5}, {"unary": 3, "message": 2}))


def recorded(allocations=20):
  return [{"operation": "unary", "unit": "instructions", "tether": 110000,
           "peers": {"plain grpc": 90000, "headers by hand": 100000}, "allocations": allocations}]


def measured(tether, by_hand=100000, allocations=20.2, name="unary"):
  return {name: {"tether": (tether, allocations), "headers by hand": (by_hand, None)}}


class CheckTest(unittest.TestCase):
  def check(self, *measurements, limits=None):
    """Returns the exit code, the output, and the number of measurements that were used."""
    left = list(measurements)
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
      code = instructions.check(lambda: left.pop(0), limits or recorded())
    return code, out.getvalue(), len(measurements) - len(left)

  def test_the_recorded_figures_pass(self):
    code, text, used = self.check(measured(110000))
    self.assertEqual((code, used), (0, 1))
    self.assertEqual(text.splitlines()[-1], "2 passed, 0 failed")

  def test_a_growth_of_two_percent_passes_and_more_fails(self):
    self.assertEqual(self.check(measured(112190))[0], 0)
    code, text, used = self.check(*[measured(112210)] * 3)
    self.assertEqual((code, used), (1, 3))
    self.assertIn("FAILED: unary: ratio to headers by hand 1.1221, at most 1.1220", text)
    self.assertEqual(text.splitlines()[-1], "1 passed, 1 failed")

  def test_another_release_of_grpc_changes_all_peers(self):
    self.assertEqual(self.check(measured(220000, by_hand=200000))[0], 0)
    self.assertEqual(self.check(*[measured(110000, by_hand=97000)] * 3)[0], 1)

  def test_a_streamed_message_is_compared_with_an_empty_interceptor(self):
    limits = [{"operation": "streamed message", "tether": 101, "peers": {"headers by hand": 1, "empty interceptor": 100},
               "allocations": 0}]
    row = {"headers by hand": (1000, None), "empty interceptor": (100, None)}
    self.assertEqual(self.check({"streamed message": dict(row, tether=(104, 0.1))}, limits=limits)[0], 0)
    self.assertEqual(self.check(*[{"streamed message": dict(row, tether=(105, 0.1))}] * 3, limits=limits)[0], 1)

  def test_an_allocation_more_fails(self):
    code, text, _ = self.check(*[measured(110000, allocations=20.8)] * 3)
    self.assertEqual(code, 1)
    self.assertIn("FAILED: unary: allocations 21, at most 20", text)

  def test_a_figure_that_is_too_large_is_measured_again(self):
    self.assertEqual(self.check(measured(120000), measured(111000), measured(120000))[::2], (0, 2))

  def test_a_row_that_is_not_recorded_fails(self):
    code, text, _ = self.check(*[dict(measured(1), **measured(1, name="unary, new"))] * 3)
    self.assertEqual(code, 1)
    self.assertIn("FAILED: the row 'unary, new' is measured", text)
    self.assertEqual(self.check(*[measured(1, name="unary, other")] * 3)[0], 1)


if __name__ == "__main__":
  unittest.main()
