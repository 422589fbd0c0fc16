#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes step1.patch to step5.patch: what changes from before/ to step1/, from step1/ to step2/ and so on.

  examples/migration/patches.py            writes them, and into docs/migrating.md
  examples/migration/patches.py --check    applies each patch to a copy of the state before it, and fails if the result is
                                           not the next state

That docs/migrating.md shows the patches is checked by docs/check_docs.py.
"""

import argparse
import filecmp
import os
import re
import shutil
import subprocess
import sys
import tempfile

STATES = ["before", "step1", "step2", "step3", "step4", "step5"]


def git(folder, *arguments):
  """Runs git in `folder` as if that were in no repository. Returns the exit code and what it printed."""
  environment = dict(os.environ, GIT_CEILING_DIRECTORIES=os.path.dirname(os.path.realpath(folder)))
  result = subprocess.run(["git", *arguments], cwd=folder, env=environment, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, universal_newlines=True, check=False)
  return result.returncode, result.stdout


def diff(old, new):
  """Returns what changes from folder `old` to folder `new`."""
  with tempfile.TemporaryDirectory() as work:
    shutil.copytree(old, os.path.join(work, "a"))
    shutil.copytree(new, os.path.join(work, "b"))
    code, text = git(work, "diff", "--no-index", "--no-color", "--no-renames", "--no-prefix", "--unified=2", "a", "b")
    if code > 1:
      raise RuntimeError(text)
  noise = ("diff --git ", "index ", "deleted file mode ")
  return "".join(line for line in text.splitlines(True) if not line.startswith(noise))


def is_same(old, new):
  names = os.listdir(old)
  return sorted(names) == sorted(os.listdir(new)) and not any(filecmp.cmpfiles(old, new, names, shallow=False)[1:])


def problem_of(folder, before, state):
  """Applies the patch of `state` to a copy of `before`. Returns None, or what is wrong."""
  patch = os.path.abspath(os.path.join(folder, state + ".patch"))
  if not os.path.isfile(patch):
    return "there is no %s.patch" % state
  with tempfile.TemporaryDirectory() as work:
    copy = os.path.join(work, before)
    shutil.copytree(os.path.join(folder, before), copy)
    code, text = git(copy, "apply", patch)
    if code != 0:
      return "%s.patch doesn't apply to %s: %s" % (state, before, text.strip())
    if not is_same(copy, os.path.join(folder, state)):
      return "%s.patch doesn't make %s from %s" % (state, state, before)
  return None


def show(guide, state, patch):
  """Replaces what the guide shows as the patch of `state`."""
  with open(guide, encoding="utf-8") as file:
    text = file.read()
  block = re.compile(r"(<!-- examples/migration/%s\.patch -->\n```diff\n).*?^```$" % state, re.S | re.M)
  text, count = block.subn(lambda match: match.group(1) + patch + "```", text)
  if count != 1:
    raise RuntimeError("%s has %d blocks for %s.patch" % (guide, count, state))
  with open(guide, "w", encoding="utf-8") as file:
    file.write(text)


def main(argv, folder=None, guide=None):
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("--check", action="store_true")
  check = parser.parse_args(argv).check
  if folder is None:
    folder = os.path.dirname(os.path.abspath(__file__))
    guide = os.path.join(folder, "../../docs/migrating.md")
  failed = False
  for before, state in zip(STATES, STATES[1:]):
    if check:
      problem = problem_of(folder, before, state)
      if problem:
        print(problem)
        failed = True
    else:
      patch = diff(os.path.join(folder, before), os.path.join(folder, state))
      with open(os.path.join(folder, state + ".patch"), "w", encoding="utf-8") as file:
        file.write(patch)
      if guide:
        show(guide, state, patch)
  return 1 if failed else 0


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
