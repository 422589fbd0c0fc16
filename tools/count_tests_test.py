#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
import contextlib
import io
import json
import os
import random
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.getcwd(), "tools"))
import count_tests  # pylint: disable=wrong-import-position

PASSED = '<testcase name="A" classname="S" status="run" result="completed"/>'
FAILED = '<testcase name="B" classname="S" status="run"><failure message="x"/></testcase>'
ERROR = '<testcase name="t" status="run"><error message="exited with 139"/></testcase>'
SKIPPED = '<testcase name="C" classname="S" status="run" result="skipped"><skipped message=""/></testcase>'
DISABLED = '<testcase name="DISABLED_D" classname="S" status="notrun" result="suppressed"/>'


class CountTestsTest(unittest.TestCase):

  def setUp(self):
    self.folder = tempfile.TemporaryDirectory()
    self.addCleanup(self.folder.cleanup)
    self.events = []
    self.files = 0

  def path(self, name):
    return os.path.join(self.folder.name, name)

  def target(self, label, kind="cc_test rule"):
    self.events.append({"id": {"targetConfigured": {"label": label}}, "configured": {"targetKind": kind}})

  def result(self, label, status, xml=None, **key):
    self.files += 1
    output = []
    if xml is not None:
      path = self.path("a b%d.xml" % self.files)
      with open(path, "w", encoding="utf-8") as file:
        file.write(xml)
      output = [{"name": "test.xml", "uri": "file://" + path.replace(" ", "%20")}]
    self.events.append({
        "id": {"testResult": dict(label=label, **key)},
        "testResult": {"status": status, "testActionOutput": output},
    })

  def suite(self, *cases):
    return "<testsuites><testsuite>%s</testsuite></testsuites>" % "".join(cases)

  def run_main(self, exit_code=0, tail=""):
    path = self.path("events.json")
    with open(path, "w", encoding="utf-8") as file:
      file.write("".join(json.dumps(e) + "\n" for e in self.events) + tail)
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
      code = count_tests.main(["--bazel_exit_code=%d" % exit_code, path])
    return out.getvalue().splitlines()[-1], code

  def test_counts_cases(self):
    self.target("//a:t")
    self.result("//a:t", "FAILED", self.suite(PASSED, PASSED, FAILED, SKIPPED, DISABLED))
    self.assertEqual(self.run_main(3), ("2 passed, 1 failed, 2 skipped", 1))

  def test_all_passed(self):
    self.target("//a:t")
    self.target("//a:lib", "cc_library rule")
    self.result("//a:t", "PASSED", self.suite(PASSED, PASSED))
    self.assertEqual(self.run_main(), ("2 passed, 0 failed", 0))

  def test_target_without_cases_is_one(self):
    self.target("//a:sh", "sh_test rule")
    self.result("//a:sh", "PASSED", "<testsuites/>")
    self.target("//a:none", "sh_test rule")
    self.result("//a:none", "PASSED")
    self.assertEqual(self.run_main(), ("2 passed, 0 failed", 0))

  def test_crash_and_timeout_are_one_failed_each(self):
    self.target("//a:crash")
    self.result("//a:crash", "FAILED", self.suite(ERROR))
    self.target("//a:slow")
    self.result("//a:slow", "TIMEOUT")
    self.target("//a:torn")
    self.result("//a:torn", "FAILED", "<testsuites><testsuite>" + PASSED)
    self.assertEqual(self.run_main(3), ("0 passed, 3 failed", 1))

  def test_failure_after_the_last_case(self):
    self.target("//a:leak")
    self.result("//a:leak", "FAILED", self.suite(PASSED))
    self.assertEqual(self.run_main(3), ("1 passed, 1 failed", 1))

  def test_target_that_was_not_built(self):
    self.target("//a:t")
    self.target("//a:broken")
    self.result("//a:t", "PASSED", self.suite(PASSED))
    self.assertEqual(self.run_main(1), ("1 passed, 1 failed", 1))

  def test_broken_library_that_no_test_uses(self):
    self.target("//a:t")
    self.result("//a:t", "PASSED", self.suite(PASSED))
    self.assertEqual(self.run_main(1), ("1 passed, 1 failed", 1))

  def test_last_attempt_decides_and_shards_add_up(self):
    self.target("//a:t")
    self.result("//a:t", "FAILED", self.suite(FAILED), run=1, shard=1, attempt=1)
    self.result("//a:t", "PASSED", self.suite(PASSED), run=1, shard=1, attempt=2)
    self.result("//a:t", "PASSED", self.suite(PASSED), run=1, shard=2, attempt=1)
    self.assertEqual(self.run_main(), ("2 passed, 0 failed", 0))

  def test_nothing_ran(self):
    self.assertEqual(self.run_main(4), ("0 passed, 0 failed", 1))
    self.assertEqual(self.run_main(1), ("0 passed, 1 failed", 1))

  def test_no_file(self):
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()):
      code = count_tests.main(["--bazel_exit_code=37", self.path("none")])
    self.assertEqual((out.getvalue().splitlines()[-1], code), ("0 passed, 1 failed", 1))

  def test_torn_last_event(self):
    self.target("//a:t")
    self.result("//a:t", "PASSED", self.suite(PASSED))
    self.assertEqual(self.run_main(8, tail='{"id": {"testRes'), ("1 passed, 1 failed", 1))

  def test_cut_off_anywhere_never_looks_like_success(self):
    for label in "abc":
      self.target("//" + label)
      self.result("//" + label, "PASSED", self.suite(PASSED, SKIPPED))
    text = "".join(json.dumps(e) + "\n" for e in self.events)
    self.events = []
    rng = random.Random(1)
    for _ in range(200):
      cut = rng.randrange(len(text))
      line, code = self.run_main(8, tail=text[:cut])
      self.assertEqual(code, 1, line)
      self.assertRegex(line, r"^\d+ passed, [1-9]\d* failed(, \d+ skipped)?$")

  # ---- ctest ----

  def run_ctest(self, tests, cases=(), exit_code=0):
    folder = self.path("results")
    os.makedirs(os.path.join(folder, "cases"))
    if tests is not None:
      with open(os.path.join(folder, "tests.xml"), "w", encoding="utf-8") as file:
        file.write("<testsuite>%s</testsuite>" % tests)
    for name, xml in cases:
      path = os.path.join(folder, "cases", name + ".xml")
      os.makedirs(os.path.dirname(path), exist_ok=True)
      with open(path, "w", encoding="utf-8") as file:
        file.write(xml)
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
      code = count_tests.main(["--exit_code=%d" % exit_code, "--ctest", folder])
    return out.getvalue().splitlines()[-1], code

  def test_ctest_counts_the_cases_of_each_program(self):
    run = '<testcase name="lib/a_test" status="run"/><testcase name="script" status="run"/>'
    self.assertEqual(self.run_ctest(run, [("lib/a_test", self.suite(PASSED, PASSED, SKIPPED))]),
                     ("3 passed, 0 failed, 1 skipped", 0))

  def test_ctest_programs_with_one_name_in_two_folders_count_apart(self):
    run = '<testcase name="lib/a_test" status="run"/><testcase name="other/a_test" status="run"/>'
    self.assertEqual(self.run_ctest(run, [("lib/a_test", self.suite(PASSED)), ("other/a_test", self.suite(PASSED, PASSED))]),
                     ("3 passed, 0 failed", 0))

  def test_ctest_a_failed_program_counts_though_no_case_failed(self):
    run = '<testcase name="a_test" status="fail"><failure message="SEGFAULT"/></testcase>'
    self.assertEqual(self.run_ctest(run, [("a_test", self.suite(PASSED))], 8), ("1 passed, 1 failed", 1))

  def test_ctest_a_program_that_is_missing_has_failed(self):
    run = '<testcase name="a_test" status="notrun"><failure message="not found"/></testcase>'
    self.assertEqual(self.run_ctest(run + '<testcase name="b" status="run"/>', exit_code=8), ("1 passed, 1 failed", 1))

  def test_ctest_without_results_is_no_success(self):
    self.assertEqual(self.run_ctest(None, exit_code=8), ("0 passed, 1 failed", 1))


if __name__ == "__main__":
  unittest.main()
