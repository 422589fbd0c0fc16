#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
import os
import sys
import unittest
import xml.etree.ElementTree as ElementTree

sys.path.insert(0, os.path.join(os.getcwd(), "tools"))
import check_manual  # pylint: disable=wrong-import-position

EXTERNAL = """
<rule class="system_repository" name="//external:com_google_absl"><string name="group" value="build"/></rule>
<rule class="system_repository" name="//external:io_opentelemetry_cpp">
  <string name="group" value="opentelemetry"/></rule>
<rule class="local_repository" name="//external:rules_java"/>
"""


def rule(name, *inputs, manual=False):
  tags = "<list name='tags'><string value='manual'/></list>" if manual else ""
  return "<rule class='cc_test' name='%s'>%s%s</rule>" % (
      name, tags, "".join("<rule-input name='%s'/>" % i for i in inputs))


def violations(*rules):
  return check_manual.violations(ElementTree.fromstring("<query>%s%s</query>" % (EXTERNAL, "".join(rules))))


class CheckManualTest(unittest.TestCase):

  def test_a_test_that_reaches_an_optional_package_is_found(self):
    self.assertEqual(
        violations(rule("//a:t", "//a:fixture"), rule("//a:fixture", "@io_opentelemetry_cpp//api:api", manual=True)),
        [["//a:t", "//a:fixture", "@io_opentelemetry_cpp//api:api"]])

  def test_a_manual_one_is_not(self):
    self.assertEqual(
        violations(rule("//a:t", "//a:fixture", manual=True), rule("//a:fixture", "@io_opentelemetry_cpp//api:api",
                                                                   manual=True)), [])

  def test_packages_of_the_build_are_free_to_use(self):
    self.assertEqual(violations(rule("//a:t", "@com_google_absl//absl/time:time"), rule("//a:u", "//a:t")), [])

  def test_an_empty_query_is_no_success(self):
    with self.assertRaises(ValueError):
      check_manual.violations(ElementTree.fromstring("<query/>"))


if __name__ == "__main__":
  unittest.main()
