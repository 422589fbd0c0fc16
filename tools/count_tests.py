#!/usr/bin/env python3
"""Counts the test cases of one "bazel test" from the build events that it wrote (--build_event_json_file).

The events name the results of exactly this run, cached ones included, so no stale test.xml is ever counted. A case of
GoogleTest counts as one, and so does a target that has no cases (sh_test). A target that crashed, timed out or wasn't
built, and one that failed though none of its cases did (a leak found at exit), counts as one failed.

  count_tests.py --bazel_exit_code=N EVENTS.json

prints the failed ones, and then "N passed, N failed" as its last line (", N skipped" follows if any were). The exit code
is 0 only if something passed, nothing failed, and Bazel's exit code was 0.
"""

import argparse
import json
import sys
import urllib.parse
import xml.etree.ElementTree as ElementTree


class Count:
  def __init__(self):
    self.passed = 0
    self.failed = []  # what failed, for people
    self.skipped = 0

  def __str__(self):
    text = "%d passed, %d failed" % (self.passed, len(self.failed))
    return text + (", %d skipped" % self.skipped if self.skipped else "")


def read_events(path):
  """The events in the file; Bazel may have been killed while it wrote the last one."""
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


def count_result(label, result, count):
  """Adds one run (one shard) of one target."""
  status = result.get("status", "NO_STATUS")
  cases = []
  try:
    cases = list(ElementTree.parse(xml_path(result) or "").iter("testcase"))
  except (OSError, ElementTree.ParseError):
    pass  # it died before it wrote a whole file
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
  if status in ("PASSED", "FLAKY"):
    if not cases:
      count.passed += 1
  elif len(count.failed) == failed_before:
    count.failed.append("%s (%s)" % (label, status))


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
  parser.add_argument("--bazel_exit_code", type=int, default=0)
  parser.add_argument("events")
  args = parser.parse_args(argv)
  try:
    count = count_events(read_events(args.events))
  except OSError as error:
    count = Count()
    print("count_tests: no events: %s" % error, file=sys.stderr)
  # 4 is "no test targets": the counts say so already. Any other failure must show in them.
  if args.bazel_exit_code not in (0, 4) and not count.failed:
    count.failed.append("bazel test (exit code %d)" % args.bazel_exit_code)
  for name in count.failed:
    print("failed: " + name)
  print(count)
  return 0 if args.bazel_exit_code == 0 and count.passed and not count.failed else 1


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
