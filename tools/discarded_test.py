#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks that the compiler warns about calls that do nothing if their result is dropped, and rejects what can't work.

Uses $CXX or the first C++ compiler that exists, with the system's Abseil.
"""

import os
import re
import shutil
import subprocess
import tempfile
import unittest

# Each line is a statement that does nothing, or whose effect ends at once.
DISCARDED = """
tether::AfterFunc(ctx, [] {});
tether::Registration(ctx, [] {});
tether::WithCancel(ctx);
tether::WithTimeout(ctx, absl::Seconds(1));
tether::WithDeadline(ctx, absl::Now());
tether::WithValue(ctx, kKey, 1);
tether::WithoutCancel(ctx);
tether::Merge(ctx, ctx);
tether::Background();
tether::Todo();
tether::Current();
tether::ScopedContext{ctx};
tether::Bind(ctx, [] {});
tether::BindExecutor([](auto) {});
tether::TaskGroup{ctx};
tether::FirstOf(ctx, 1, [](const tether::Context&) { return absl::OkStatus(); });
tether::WithEndReason(absl::OkStatus(), tether::EndReason::kCancelled);
Returns<tether::Context>();
Returns<tether::Cancellable>();
Returns<tether::CancelFunc>();
tether::StopToken{ctx};
tether::WithStopToken(ctx, std::stop_token());
tether::Done(ctx);
""".strip().split("\n")

# The same calls with kept results. None of them may cause a warning.
KEPT = """
tether::Registration a = tether::AfterFunc(ctx, [] {});
const tether::Registration b(ctx, [] {});
auto [c, cancel] = tether::WithCancel(ctx);
auto [d, cancel_d] = tether::WithTimeout(ctx, absl::Seconds(1));
[[maybe_unused]] auto lambda = [ctx = d] { return ctx.Done(); };
const tether::ScopedContext e(ctx);
tether::TaskGroup f(ctx);
cancel();
ctx.WaitFor(absl::ZeroDuration());
a.Stop();
std::optional<tether::Registration> g;
g.emplace(ctx, [] {});
tether::CancelFunc h = std::move(cancel_d);
h = std::move(cancel);
""".strip().split("\n")

# Each line is an expression whose context would end at once. None of them compiles.
REJECTED = """
tether::WithCancel(ctx).ctx
tether::WithCancel(ctx).cancel
tether::WithTimeout(ctx, absl::Seconds(1)).ctx
tether::WithTimeout(ctx, absl::Seconds(1), absl::AbortedError("cause")).ctx
tether::WithDeadline(ctx, absl::Now()).ctx
tether::Merge(ctx, ctx).ctx
tether::WithStopToken(ctx, std::stop_token()).ctx
""".strip().split("\n")

# Some headers that need C++17. tools/compile_matrix.sh compiles all of them as C++14.
HEADERS = ["context.h", "executor.h", "propagation/header.h"]

PRELUDE = """
#include <optional>
#include <stop_token>
#include <utility>
#include "absl/time/clock.h"
#include "tether/after_func.h"
#include "tether/context.h"
#include "tether/coroutine.h"
#include "tether/current.h"
#include "tether/end_reason.h"
#include "tether/executor.h"
#include "tether/first_of.h"
#include "tether/stop_token.h"
#include "tether/task_group.h"
inline constexpr tether::Key<int> kKey{"key"};
template <typename T> T Returns();
void Function(const tether::Context& ctx) {
""".strip("\n")


def compiler():
  for name in [os.environ.get("CXX"), "c++", "g++", "clang++"]:
    if name and shutil.which(name):
      return name
  raise AssertionError("no C++ compiler")


def compile_text(text, standard):
  """Compiles a source. Returns the compiler's exit code and output."""
  root = os.path.dirname(os.path.realpath("README.md"))
  with tempfile.TemporaryDirectory() as folder:
    source = os.path.join(folder, "discarded.cc")
    with open(source, "w", encoding="utf-8") as file:
      file.write(text)
    return subprocess.run(
        [compiler(), "-std=" + standard, "-Wall", "-Wextra", "-fsyntax-only", "-I", os.path.join(root, "lib"), source],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True, check=False)


def warnings(statements):
  """Returns the compiler's warnings by statement number, and its whole output."""
  result = compile_text(PRELUDE + "\n" + "\n".join(statements) + "\n}\n", "c++20")
  if result.returncode:
    raise AssertionError("doesn't compile:\n" + result.stdout)
  first = PRELUDE.count("\n") + 2
  lines = re.findall(r"discarded\.cc:(\d+):\d+: warning: (.*)", result.stdout)
  return {int(number) - first: text for number, text in lines}, result.stdout


class DiscardedTest(unittest.TestCase):

  def test_what_does_nothing_when_dropped_makes_the_compiler_warn(self):
    found, output = warnings(DISCARDED)
    for i, statement in enumerate(DISCARDED):
      self.assertIn(i, found, "no warning about: %s\n%s" % (statement, output))
      self.assertRegex(found[i], "nodiscard|warn_unused_result|unused", statement)

  def test_what_is_kept_compiles_without_a_warning(self):
    found, output = warnings(KEPT)
    self.assertEqual(found, {}, output)

  def test_the_parts_of_a_new_context_need_names(self):
    first = PRELUDE.count("\n") + 2
    result = compile_text(PRELUDE + "\n" + "\n".join("(void)(%s);" % line for line in REJECTED) + "\n}\n", "c++20")
    errors = {int(number) - first: text
              for number, text in re.findall(r"discarded\.cc:(\d+):\d+: error: (.*)", result.stdout)}
    for i, expression in enumerate(REJECTED):
      self.assertIn("private", errors.get(i, "it compiles"), "%s\n%s" % (expression, result.stdout))
    self.assertIn("write  auto [ctx, cancel] = WithCancel(parent);", result.stdout)

  def test_a_standard_below_cpp17_is_named_by_the_first_error_in_a_header_of_tether(self):
    for header in HEADERS:
      result = compile_text('#include "tether/%s"\n' % header, "c++14")
      errors = re.findall(r"/lib/tether/\S+: error: (.*)", result.stdout)
      self.assertTrue(errors, header + "\n" + result.stdout)
      self.assertIn("tether needs C++17: compile with -std=c++17 or newer", errors[0], header)
    control = compile_text('#include "tether/%s"\n' % HEADERS[-1], "c++17")
    self.assertEqual(control.stdout, "")


if __name__ == "__main__":
  unittest.main()
