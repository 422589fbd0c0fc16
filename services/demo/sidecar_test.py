#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the demo of services behind sidecars with real processes, and checks its output.

  sidecar_test.py DEMO RUN_SH

It needs "tools/setup.sh sidecar", so it is "manual".
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
import unittest

DEMO = RUN = ""
GIVE_UP = 60  # seconds, for what is certain to happen
SERVICES = ["storefront", "orders", "inventory"]


def children_of(pid):
  """The processes that this process started, and that still run."""
  found = []
  for child in filter(str.isdigit, os.listdir("/proc")):
    try:
      with open("/proc/%s/stat" % child, encoding="utf-8") as stat:
        state, parent = stat.read().rpartition(")")[2].split()[:2]
    except OSError:
      continue  # ended meanwhile
    if int(parent) == pid and state != "Z":
      found.append(int(child))
  return found


def runs(pid):
  try:
    with open("/proc/%d/stat" % pid, encoding="utf-8") as stat:
      return stat.read().rpartition(")")[2].split()[0] != "Z"
  except OSError:
    return False


class SidecarDemoTest(unittest.TestCase):

  def run_demo(self, *flags):
    return subprocess.run([DEMO, "--run=" + RUN] + list(flags), stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=GIVE_UP, check=False)

  def results_of(self, *flags):
    """The result with sidecars, the result without, and the whole output."""
    run = self.run_demo("--json", *flags)
    self.assertEqual(run.returncode, 0, run)
    results = [json.loads(line) for line in run.stdout.splitlines()[-2:]]
    for result in results:
      self.assertEqual([h["service"] for h in result["hops"]], SERVICES)
    return results[0], results[1], run.stdout

  def outcomes(self, result):
    return [h["outcome"] for h in result["hops"]]

  def wait_for(self, condition):
    end = time.monotonic() + GIVE_UP
    while not condition():
      self.assertLess(time.monotonic(), end, "waited in vain")
      time.sleep(0.01)

  def until_it_holds(self, check):
    """A machine that others use, too, may be late. What doesn't work fails each time."""
    for left in reversed(range(4)):
      try:
        return check()
      except AssertionError:
        if left == 0:
          raise

  def test_the_deadline_ends_all_only_with_sidecars(self):
    def check():
      with_sidecars, without, text = self.results_of()
      self.assertEqual((with_sidecars["status_code"], without["status_code"]), (4, 4))
      self.assertEqual(self.outcomes(with_sidecars), ["deadline_exceeded"] * 3)
      self.assertEqual(self.outcomes(without), ["ok"] * 3)
      self.assertIn("and every hop stopped", text)
      self.assertRegex(with_sidecars["status_message"], r"inventory\.GetStock \d+ms")
      # Two waterfalls with the same rows.
      rows = re.findall(r"^ *(storefront\.GetOrderPage|orders\.GetOrder|inventory\.GetStock) ", text, re.M)
      self.assertEqual(rows, 2 * ["storefront.GetOrderPage", "orders.GetOrder", "inventory.GetStock"])
      self.assertRegex(text, r"inventory worked for another 1[78]\d\d\.\d ms after the client's call had ended")
      self.assertLessEqual(max(map(len, text.splitlines()[:-2])), 160)
    self.until_it_holds(check)

  def test_a_client_that_leaves_ends_all_only_with_sidecars(self):
    def check():
      with_sidecars, without, text = self.results_of("--deadline=10s", "--cancel_after=100ms", "--inventory_delay=1s")
      self.assertEqual((with_sidecars["status_code"], without["status_code"]), (1, 1))
      self.assertEqual(self.outcomes(with_sidecars), ["cancelled"] * 3)
      self.assertEqual(self.outcomes(without), ["ok"] * 3)
      self.assertIn("The client left after 100ms, and every hop stopped.", text)
    self.until_it_holds(check)

  def test_all_in_time(self):
    with_sidecars, without, text = self.results_of("--deadline=10s", "--inventory_delay=5ms")
    self.assertEqual((with_sidecars["status_code"], without["status_code"]), (0, 0))
    self.assertEqual(text.count("Every hop answered in time: 42 in stock."), 2)
    self.assertNotIn("worked for another", text)

  def test_a_missing_program_is_an_error(self):
    run = self.run_demo("--run=/nowhere/run.sh")
    self.assertEqual(run.returncode, 1)
    self.assertIn("/nowhere/run.sh", run.stderr)

  def test_nothing_survives_a_killed_demo(self):
    with subprocess.Popen([DEMO, "--run=" + RUN, "--deadline=30s", "--inventory_delay=5s"],
                          stdout=subprocess.DEVNULL) as demo:
      self.wait_for(lambda: len(children_of(demo.pid)) == 6)
      children = children_of(demo.pid)
      demo.send_signal(signal.SIGKILL)
    self.wait_for(lambda: not any(map(runs, children)))


if __name__ == "__main__":
  DEMO, RUN = sys.argv[1:3]
  del sys.argv[1:3]
  unittest.main()
