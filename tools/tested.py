#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Maintains README's table of tested systems. CI makes its rows from the runs.

  tools/tested.py record --with WITH --ran RAN        prints one row, as JSON: this system, its compiler and libraries
  tools/tested.py skip --system SYSTEM --with WITH    prints that a row can't be made today
  tools/tested.py check README.md RECORDS             compares the table with the rows, and fails if they differ
  tools/tested.py write README.md RECORDS             puts the rows into the table

Newer versions in Debian's unstable suites don't fail the check. They are only reported.
"""

import argparse
import json
import os
import re
import subprocess
import sys

BEGIN, END = "<!-- tested: by tools/tested.py -->", "<!-- /tested -->"
HEADER = ["System", "Compiler", "gRPC", "Protobuf", "Abseil", "Built with", "What runs"]


def output(*command):
  try:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          universal_newlines=True).stdout.strip()
  except (OSError, subprocess.CalledProcessError):
    return ""


def version(text, parts):
  """Returns the first version number in `text`, cut to so many parts."""
  found = re.search(r"\d+(\.\d+)*", text)
  return ".".join(found.group().split(".")[:parts]) if found else "?"


def system():
  release = {}
  with open("/etc/os-release", encoding="utf-8") as lines:
    for line in lines:
      name, _, value = line.strip().partition("=")
      release[name] = value.strip('"')
  suites = output("apt-get", "indextargets", "--format", "$(RELEASE)", "Created-By: Packages").split()
  # Unstable has the name of the next release.
  if "sid" in suites:
    return "Debian sid"
  if "VERSION_ID" in release:
    return "Debian %s (%s)" % (release["VERSION_ID"], release["VERSION_CODENAME"])
  return "Debian %s" % release.get("VERSION_CODENAME", "?")


def record(built_with, ran):
  # Debian's Bazel doesn't report its version.
  tool = {"Bazel": ["dpkg-query", "-W", "-f", "${Version}", "bazel-bootstrap"],
          "CMake": ["cmake", "--version"]}.get(built_with.split()[0])
  if tool:
    words = built_with.split(" ", 1)
    built_with = " ".join([words[0], version(output(*tool), 2)] + words[1:])
  compiler = output(os.environ.get("CXX", "g++"), "--version").split("\n")[0]
  name = "clang" if "clang" in compiler else "GCC"
  return {
      "System": system(),
      "Compiler": "%s %s" % (name, version(re.sub(r"\(.*?\)", "", compiler), 1)),
      "gRPC": version(output("pkg-config", "--modversion", "grpc++"), 3),
      "Protobuf": version(output("pkg-config", "--modversion", "protobuf"), 2),
      "Abseil": version(output("pkg-config", "--modversion", "absl_base"), 1),
      "Built with": built_with,
      "What runs": ran,
  }


def key(row):
  """Returns the part of a row that identifies a run. It has no versions."""
  return row["System"], re.sub(r" [\d.]+", "", row["Built with"]), row["What runs"]


def read_table(text):
  _, begin, rest = text.partition(BEGIN)
  table, end, _ = rest.partition(END)
  if not begin or not end:
    raise ValueError("no table between %r and %r" % (BEGIN, END))
  rows = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in table.strip().splitlines()]
  return [dict(zip(HEADER, row)) for row in rows[2:]]


def format_table(rows):
  lines = ["| %s |" % " | ".join(HEADER), "|%s" % (" --- |" * len(HEADER))]
  lines += ["| %s |" % " | ".join(row[column] for column in HEADER) for row in rows]
  return "\n".join(lines)


def read_records(path):
  with open(path, encoding="utf-8") as lines:
    return [json.loads(line) for line in lines if line.strip()]


def check(text, records):
  """Returns the differences as (fatal, notes)."""
  fatal, notes = [], []
  table = {key(row): row for row in read_table(text)}
  ran = {key(row): row for row in records if "skipped" not in row}
  skipped = {(row["System"], row["Built with"]) for row in records if "skipped" in row}
  for k, row in ran.items():
    if k not in table:
      fatal.append("the table lacks a row: %s" % format_table([row]).splitlines()[-1])
    elif table[k] != row:
      notes.append("a version has changed: %s" % format_table([row]).splitlines()[-1])
  for k, row in table.items():
    if k in ran:
      continue
    if (row["System"], row["Built with"].split()[0]) in skipped:
      notes.append("skipped today: %s" % row["System"])
    else:
      fatal.append("the table has a row that did not run: %s" % format_table([row]).splitlines()[-1])
  return fatal, notes


def write(text, records):
  kept = [row for row in read_table(text) if (row["System"], row["Built with"].split()[0]) in
          {(r["System"], r["Built with"]) for r in records if "skipped" in r}]
  rows = [row for row in records if "skipped" not in row] + kept
  before, _, rest = text.partition(BEGIN)
  return before + BEGIN + "\n" + format_table(rows) + "\n" + END + rest.partition(END)[2]


def main(argv):
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  commands = parser.add_subparsers(dest="command", required=True)
  for name in ("record", "skip"):
    command = commands.add_parser(name)
    command.add_argument("--with", dest="built_with", required=True)
    command.add_argument("--ran" if name == "record" else "--system", required=True)
  for name in ("check", "write"):
    command = commands.add_parser(name)
    command.add_argument("readme")
    command.add_argument("records")
  args = parser.parse_args(argv)
  if args.command == "record":
    print(json.dumps(record(args.built_with, args.ran)))
    return 0
  if args.command == "skip":
    print(json.dumps({"skipped": True, "System": args.system, "Built with": args.built_with}))
    return 0
  with open(args.readme, encoding="utf-8") as file:
    text = file.read()
  records = read_records(args.records)
  if args.command == "write":
    with open(args.readme, "w", encoding="utf-8") as file:
      file.write(write(text, records))
    return 0
  fatal, notes = check(text, records)
  for line in notes:
    print("tested: " + line)
  for line in fatal:
    print("tested: " + line, file=sys.stderr)
  if fatal or notes:
    print("tested: tools/tested.py write %s %s brings the table up to date" % (args.readme, args.records))
  return 1 if fatal else 0


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
