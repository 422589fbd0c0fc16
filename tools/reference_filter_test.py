#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.getcwd(), "tools"))
import reference_filter  # pylint: disable=wrong-import-position


def converted(text):
  return "\n".join(reference_filter.converted(text.splitlines()))


class ReferenceFilterTest(unittest.TestCase):

  def test_the_first_comment_describes_the_file_without_its_license(self):
    self.assertEqual(
        converted("// SPDX-License-Identifier: Apache-2.0\n//\n// Waits.\n\n#ifndef A"),
        "/// @file\n/// Waits.\n\n#ifndef A")

  def test_a_comment_above_or_behind_a_declaration_describes_it(self):
    self.assertEqual(converted("\n// Waits.\nvoid Wait();"), "\n/// Waits.\nvoid Wait();")
    self.assertEqual(
        converted("\nstruct A {\n  int x = 0;  // for y\n};"), "\nstruct A {\n  int x = 0;  ///< for y\n};")

  def test_a_heading_describes_nothing(self):
    self.assertEqual(converted("\n// ---- Waits ----\n\nvoid Wait();"), "\n// ---- Waits ----\n\nvoid Wait();")

  def test_indented_lines_are_code_and_lists_are_not(self):
    self.assertEqual(
        converted("\n// Like this:\n//\n//   a<b> c;\n//\n// Then:\n//\n//  - one <x>\nvoid F();"),
        "\n/// Like this:\n///\n/// @code{.cpp}\n/// a<b> c;\n/// @endcode\n///\n/// Then:\n///\n///  - one \\<x\\>\nvoid F();")

  def test_what_doxygen_would_take_for_commands_is_escaped_but_in_backquotes(self):
    self.assertEqual(converted("\n// A `List<T>` of @x; 5 % of \\n.\nint a;"),
                     "\n/// A `List<T>` of \\@x; 5 \\% of \\\\n.\nint a;")
    self.assertEqual(converted("\n// One of _`|.\nint a;"), "\n/// One of _&#96;|.\nint a;")

  def test_specialisations_in_std_are_left_out_and_lines_keep_their_numbers(self):
    self.assertEqual(
        reference_filter.without_std("int a;\ntemplate <>\nstruct std::size<A>\n    : B<2> {};\ntemplate <>\n"
                                     "struct std::element<0, A> {\n  using type = B;\n};\nint b;\n"),
        "int a;\n\n\n\n\n\n\n\nint b;\n")
    self.assertEqual(reference_filter.without_std("template <>\nstruct A<int> {};\n"), "template <>\nstruct A<int> {};\n")

  def test_comments_in_bodies_stay_as_they_are(self):
    body = "\nclass A {\n  int F() const {\n    // Why.\n    return 1;  // one\n  }\n"
    self.assertEqual(converted(body + "  // Waits.\n  void G();\n};"), body + "  /// Waits.\n  void G();\n};")


if __name__ == "__main__":
  unittest.main()
