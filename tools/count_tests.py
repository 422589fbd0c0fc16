#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Counts the test cases of one "bazel test" from its build events (--build_event_json_file).

The events list exactly the results of this run, including cached ones, so a stale test.xml is never counted. A GoogleTest
case counts as one, and so does a target without cases (sh_test). A target counts as one failure if it crashed, timed out or
wasn't built, or if it failed although none of its cases did (a leak found at exit).

  count_tests.py --bazel_exit_code=N EVENTS.json

  count_tests.py --ctest=FOLDER --exit_code=N

does the same for a run of ctest. FOLDER contains its tests.xml (--output-junit), and in cases/ the GoogleTest results
of each test, under its name.

Both print the failures, and then "N passed, N failed" as the last line (followed by ", N skipped" if any were skipped). The
exit code is 0 only if at least one passed, none failed, and Bazel's or ctest's exit code was 0.
"""

import argparse
import json
import os
import sys
import urllib.parse
import xml.etree.ElementTree as ElementTree


class Count:
  def __init__(self):
    self.passed = 0
    self.failed = []  # descriptions of failures
    self.skipped = 0

  def __str__(self):
    text = "%d passed, %d failed" % (self.passed, len(self.failed))
    return text + (", %d skipped" % self.skipped if self.skipped else "")


def read_events(path):
  """Returns the events in the file. The last one may be incomplete if Bazel was killed."""
  with open(path, encoding="utf-8", errors="replace") as lines:
    for line in lines:
      try:
        yield json.loads(line)
      except ValueError:
        return


def xml_path(result):
  for output in result.get("testActionOutput", []):
    if output.get("name") == "test.xml":
      return urllib.parse.unquote(urllib.parse.urlparse(output.get("uri", "")).path)
  return None


def read_cases(path):
  try:
    return list(ElementTree.parse(path or "").iter("testcase"))
  except (OSError, ElementTree.ParseError):
    return []  # the test died before it wrote a complete file


def count_target(label, cases, status, has_passed, count):
  """Adds one run of one target with its `cases`."""
  failed_before = len(count.failed)
  passed = 0
  for case in cases:
    name = "%s %s.%s" % (label, case.get("classname", ""), case.get("name", ""))
    if case.find("failure") is not None or case.find("error") is not None:
      count.failed.append(name)
    elif case.find("skipped") is not None or case.get("status") == "notrun":
      count.skipped += 1
    else:
      passed += 1
  count.passed += passed
  if has_passed:
    if not cases:
      count.passed += 1
  elif len(count.failed) == failed_before:
    count.failed.append("%s (%s)" % (label, status))


def count_result(label, result, count):
  """Adds one run (one shard) of one Bazel target."""
  status = result.get("status", "NO_STATUS")
  count_target(label, read_cases(xml_path(result)), status, status in ("PASSED", "FLAKY"), count)


def count_ctest(folder):
  count = Count()
  try:
    tests = list(ElementTree.parse(os.path.join(folder, "tests.xml")).iter("testcase"))
  except (OSError, ElementTree.ParseError) as error:
    print("count_tests: no results: %s" % error, file=sys.stderr)
    return count
  for test in tests:
    name = test.get("name")
    status = test.get("status", "fail")
    if status in ("notrun", "disabled"):
      if test.find("failure") is None and test.find("error") is None and test.find("skipped") is not None:
        count.skipped += 1
      else:
        count.failed.append("%s (not run)" % name)
      continue
    count_target(name, read_cases(os.path.join(folder, "cases", name + ".xml")), status, status == "run", count)
  return count


def count_events(events):
  configured = set()  # all test targets
  results = {}  # label -> {(run, shard): (attempt, result)}
  for event in events:
    event_id = event.get("id", {})
    if "targetConfigured" in event_id:
      if event.get("configured", {}).get("targetKind", "").endswith("_test rule"):
        configured.add(event_id["targetConfigured"]["label"])
    elif "testResult" in event_id and "testResult" in event:
      key = event_id["testResult"]
      runs = results.setdefault(key["label"], {})
      run = (key.get("run", 1), key.get("shard", 1))
      attempt = key.get("attempt", 1)
      if run not in runs or runs[run][0] < attempt:  # the last attempt decides
        runs[run] = (attempt, event["testResult"])
  count = Count()
  for label in sorted(configured | set(results)):
    if label not in results:
      count.failed.append("%s (not built, or not run)" % label)
    for _, (_, result) in sorted(results.get(label, {}).items()):
      count_result(label, result, count)
  return count


def main(argv):
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("--bazel_exit_code", "--exit_code", type=int, default=0)
  parser.add_argument("--ctest", metavar="FOLDER")
  parser.add_argument("events", nargs="?")
  args = parser.parse_args(argv)
  if (args.ctest is None) == (args.events is None):
    parser.error("either events or --ctest")
  try:
    count = count_ctest(args.ctest) if args.ctest else count_events(read_events(args.events))
  except OSError as error:
    count = Count()
    print("count_tests: no events: %s" % error, file=sys.stderr)
  # Bazel's exit code 4 means "no test targets", which the counts already show. Any other failure must be counted.
  if args.bazel_exit_code not in ((0,) if args.ctest else (0, 4)) and not count.failed:
    count.failed.append("%s (exit code %d)" % ("ctest" if args.ctest else "bazel test", args.bazel_exit_code))
  for name in count.failed:
    print("failed: " + name)
  print(count)
  return 0 if args.bazel_exit_code == 0 and count.passed and not count.failed else 1


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
