#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the alerts' unit tests with Prometheus' promtool, and checks that they test each alert.

It needs promtool (tools/setup.sh prometheus), so it is "manual".
"""

import os
import re
import shutil
import subprocess
import tempfile
import unittest

FOLDER = os.path.join(os.getcwd(), "docs/alerts")


def read(name):
  with open(os.path.join(FOLDER, name), encoding="utf-8") as file:
    return file.read()


class Alerts:
  """The tests of one file of rules."""
  RULES = TESTS = ""
  COUNT = 0

  def promtool(self, *args, folder=FOLDER):
    """(succeeded, what it printed)"""
    program = shutil.which("promtool", path=os.environ.get("PATH", "") + ":/usr/bin")
    if not program:
      self.fail("promtool is missing; run: tools/setup.sh prometheus")
    run = subprocess.run([program, *args], cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                         timeout=120, check=False, text=True)
    return run.returncode == 0, run.stdout

  def run_with(self, rules):
    """Runs the unit tests with other rules."""
    with tempfile.TemporaryDirectory() as folder:
      for name, text in ((self.RULES, rules), (self.TESTS, read(self.TESTS))):
        with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
          file.write(text)
      return self.promtool("test", "rules", self.TESTS, folder=folder)

  def test_the_rules_are_valid(self):
    succeeded, out = self.promtool("check", "rules", self.RULES)
    self.assertTrue(succeeded, out)
    self.assertIn("%d rules found" % self.COUNT, out)

  def test_the_alerts_fire_when_they_should_and_only_then(self):
    succeeded, out = self.promtool("test", "rules", self.TESTS)
    self.assertTrue(succeeded, out)

  def test_each_alert_has_a_case_that_fires_and_one_that_does_not(self):
    alerts = re.findall(r"- alert: (\w+)", read(self.RULES))
    self.assertEqual(len(alerts), self.COUNT)
    for alert in alerts:
      self.assertRegex(read(self.TESTS), r"alertname: %s\n +exp_alerts:\n" % alert)
      self.assertRegex(read(self.TESTS), r"alertname: %s\n +exp_alerts: \[\]" % alert)

  def test_the_unit_tests_fail_for_other_limits(self):
    limit = re.compile(r"> ([\d.]+)$", re.M)
    rules = read(self.RULES)
    places = list(limit.finditer(rules))
    self.assertEqual(len(places), self.COUNT)
    for place in places:
      for other in ("> 1e9", ">= 0"):
        with self.subTest(rules[:place.start()].rpartition("alert: ")[2].split("\n")[0] + " " + other):
          succeeded, out = self.run_with(rules[:place.start()] + other + rules[place.end():])
          self.assertFalse(succeeded)
          self.assertIn("FAILED", out)


class LibraryTest(Alerts, unittest.TestCase):
  RULES, TESTS, COUNT = "tether.rules.yml", "tether.rules_test.yml", 9


class SidecarTest(Alerts, unittest.TestCase):
  RULES, TESTS, COUNT = "tether_sidecar.rules.yml", "tether_sidecar.rules_test.yml", 3


if __name__ == "__main__":
  unittest.main()
