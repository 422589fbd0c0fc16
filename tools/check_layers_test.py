#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks that tools/check_layers.py finds violations, and reports no others."""

import os
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.getcwd(), "tools"))
import check_layers  # noqa: E402


class CheckLayersTest(unittest.TestCase):

  def check(self, path, text, limits=False):
    with tempfile.TemporaryDirectory() as root:
      os.makedirs(os.path.join(root, os.path.dirname(path)))
      with open(os.path.join(root, path), "w", encoding="utf-8") as file:
        file.write(text)
      return list(check_layers.check(root, [path], limits))

  def passes(self, path, text, limits=False):
    self.assertEqual(self.check(path, text, limits), [])

  def fails(self, path, text, what, limits=False):
    problems = self.check(path, text, limits)
    self.assertEqual(len(problems), 1, problems)
    self.assertIn(what, problems[0])

  # ---- Layers -------------------------------------------------------------------------------------------------------

  def test_a_layer_may_include_those_below(self):
    self.passes("interceptors/tether/grpc/a.h", '#include "tether/context.h"\n#include <grpcpp/grpcpp.h>\n')
    self.passes("services/a.h", '#include "tether/grpc/client.h"\n#include "services/b.h"\n')

  def test_a_layer_must_not_include_those_above(self):
    self.fails("lib/tether/a.cc", '#include "tether/grpc/client.h"\n', "lib/ must not use interceptors/tether/grpc/")
    self.fails("interceptors/tether/grpc/a.cc", '#include "tether/opentelemetry/a.h"\n', "must not use")
    self.fails("services/a.cc", '#include "integration_tests/a.h"\n', "must not use")

  def test_lib_has_no_grpc(self):
    self.fails("lib/tether/a.cc", "#include <grpcpp/support/status.h>\n", "not for its layer")
    self.fails("lib/tether/a.h", "  # include <grpc/slice.h>\n", "not for its layer")
    self.fails("lib/tether/a.h", '#include "shop/v1/orders.grpc.pb.h"\n', "not for its layer")

  def test_the_core_grpc_package_has_no_opentelemetry(self):
    self.fails("interceptors/tether/grpc/a.cc", '#include "opentelemetry/context/context.h"\n', "not for its layer")
    self.passes("interceptors/tether/opentelemetry/a.cc", '#include "opentelemetry/context/context.h"\n')

  def test_the_library_has_its_own_mutex(self):
    self.fails("interceptors/tether/grpc/testing/a.h", '#include "absl/synchronization/mutex.h"\n', "not for its layer")
    self.passes("integration_tests/a.cc", '#include "absl/synchronization/mutex.h"\n')

  def test_shipped_code_has_no_test_kit(self):
    self.fails("lib/tether/a.cc", '#include "tether/testing/simulated_clock.h"\n', "is for tests")
    self.passes("lib/tether/a_test.cc", '#include "tether/testing/simulated_clock.h"\n')

  def test_users_include_nothing_internal(self):
    self.fails("examples/a.h", '#include "tether/internal/live_counts.h"\n', "not for users")
    self.passes("benchmarks/a.cc", '#include "tether/internal/live_counts.h"\n')

  # ---- Public headers -----------------------------------------------------------------------------------------------

  def test_public_functions_and_members_name_nothing_internal(self):
    for text in ("namespace tether {\ninternal::T F();\n}\n",
                 "namespace tether {\nvoid F(const internal::T& t) { t.G(); }\n}\n",
                 "namespace tether {\nclass A {\n public:\n  internal::T F();\n};\n}\n",
                 "namespace tether {\nstruct A {\n  internal::T t;\n};\n}\n",
                 "namespace tether {\nclass A : public internal::T {};\n}\n"):
      self.fails("lib/tether/a.h", text, "names internal::")
      self.passes("lib/tether/internal/a.h", text)

  def test_the_line_is_the_declarations(self):
    self.fails("lib/tether/a.h", "namespace tether {\n// A\n// comment.\n\ninternal::T F();\n}\n", "lib/tether/a.h:5:")

  def test_private_members_bodies_friends_and_comments_may_name_it(self):
    self.passes("lib/tether/a.h", """\
namespace internal {
struct T { internal::U u; };
}  // namespace internal
// internal::T
class A {
 public:
  int F() { return internal::G({1, 2}); }
  A() : t_(internal::T()) {}
  friend class internal::T;
  const char* G() { return "internal::T;{"; }
 private:
  internal::T t_;
};
template <typename T>
void B<T>::F(internal::T t) {}
""")

  # ---- Sizes --------------------------------------------------------------------------------------------------------

  def test_functions_have_fifty_lines(self):
    def function(lines):
      return "namespace {\n\n// Comment.\nint F(int a,\n      int b) {\n" + "  if (a) { b(); }\n" * (lines - 3) + "}\n}\n"
    self.passes("lib/tether/a.cc", function(50), limits=True)
    self.fails("lib/tether/a.cc", function(51), "lib/tether/a.cc:4: 51 lines in a function", limits=True)
    self.passes("lib/tether/a.cc", function(51))
    self.passes("lib/tether/a_test.cc", function(51), limits=True)

  def test_a_class_is_no_function(self):
    self.passes("lib/tether/a.h", "class A : public B {\n" + "  int f();\n" * 60 + "};\n", limits=True)

  def test_files_have_four_hundred_lines_and_tests_six_hundred(self):
    self.passes("lib/tether/a.cc", "//\n" * 400, limits=True)
    self.fails("lib/tether/a.cc", "//\n" * 401, "401 lines", limits=True)
    self.passes("lib/tether/a.cc", "// SPDX-License-Identifier: X\n\n" + "//\n" * 400, limits=True)
    self.passes("lib/tether/a_test.cc", "//\n" * 600, limits=True)
    self.fails("lib/tether/a_test.cc", "//\n" * 601, "601 lines", limits=True)


if __name__ == "__main__":
  unittest.main()
