#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks that "bazel test //..." needs only the packages of the group "build" of tools/setup.sh.

Only targets with the tag "manual" may depend on a repository for packages of another group (`group` in
third_party/system.bzl). A machine that has these packages would not notice a violation, but the build would fail on a new
machine.

  bazel query --output=xml '//... + //external:all' | tools/check_manual.py

prints each target that depends on such a repository, with the path to it, and then fails.
"""

import sys
import xml.etree.ElementTree as ElementTree


def values(rule, kind, name):
  return [v.get("value") for v in rule.iterfind("%s[@name='%s']" % (kind, name))]


def repository(label):
  return label.lstrip("@").partition("//")[0] if label.startswith("@") else ""


def violations(document):
  """Returns paths, as lists of labels, from non-manual targets to repositories that only manual targets may use."""
  inputs, manual, optional = {}, set(), set()
  for rule in document.iter("rule"):
    label = rule.get("name")
    if label.startswith("//external:"):
      if any(group != "build" for group in values(rule, "string", "group")):
        optional.add(label.partition(":")[2])
      continue
    inputs[label] = [i.get("name") for i in rule.iterfind("rule-input")]
    tags = rule.find("list[@name='tags']")
    if tags is not None and any(t.get("value") == "manual" for t in tags):
      manual.add(label)
  if not optional:
    raise ValueError("no repository of another group: is this the output of the query above?")
  found = []
  for start in sorted(set(inputs) - manual):
    came_from = {start: None}
    queue = [start]
    for label in queue:
      if repository(label) in optional:
        way = []
        while label is not None:
          way.insert(0, label)
          label = came_from[label]
        found.append(way)
        break
      for target in inputs.get(label, []):
        if target not in came_from:
          came_from[target] = label
          queue.append(target)
  return found


def main(stream):
  found = violations(ElementTree.parse(stream))
  for way in found:
    print('needs more than the group "build", and isn\'t manual: ' + " -> ".join(way))
  return 1 if found else 0


if __name__ == "__main__":
  sys.exit(main(sys.stdin))
