#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks this repository's docs, and tests check_docs on small trees."""

import os
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.getcwd(), "docs"))
import check_docs  # noqa: E402

SOURCE = "#include <a>\n\nint main() {\n  Work();\n}\n"
COMMANDS = {"./run.sh": ("ci", "./run.sh"), "./gone.sh": ("ci", "./gone.sh")}


class CheckDocsTest(unittest.TestCase):

  def check(self, readme, **more_files):
    """Returns the problems of a tree with this README and some other files, without their positions."""
    with tempfile.TemporaryDirectory() as root:
      files = {
          "README.md": readme,
          "ci": "./run.sh\n",
          "code/BUILD.bazel": 'srcs = ["a.cc", "sub/b.cc"]\n',
          "code/a.cc": SOURCE,
          "code/sub/b.cc": SOURCE,
          "code/loose.cc": SOURCE,
          "docs/guide.md": "# A guide\n\n## Its `second` part: more\n",
      }
      files.update(more_files)
      for path, text in files.items():
        os.makedirs(os.path.dirname(os.path.join(root, path)), exist_ok=True)
        with open(os.path.join(root, path), "w", encoding="utf-8") as file:
          file.write(text)
      return [problem.split(": ", 1)[1] for problem in check_docs.check(root, COMMANDS)]

  def cpp(self, code, above="<!-- code/a.cc -->"):
    return self.check("# Title\n%s\n```cpp\n%s\n```\n" % (above, code))

  def test_code_that_is_in_its_file_is_right(self):
    self.assertEqual(self.cpp("int main() {\n  Work();\n}"), [])
    self.assertEqual(self.cpp("  Work();", above="<!-- code/sub/b.cc -->"), [])

  def test_code_that_differs_is_found(self):
    self.assertEqual(self.cpp("int main() {\n  Play();\n}"), ["not in code/a.cc: Play();"])
    self.assertEqual(self.cpp("Work();"), ["not in code/a.cc: Work();"])  # indented otherwise
    self.assertEqual(self.cpp("int main() {\n}"), ["not in one piece in code/a.cc"])
    self.assertEqual(self.cpp("  Wor"), ["not in code/a.cc: Wor"])

  def test_code_without_a_compiled_file_is_found(self):
    missing = ["no comment above the block names its file: <!-- path -->"]
    self.assertEqual(self.cpp("  Work();", above=""), missing)
    self.assertEqual(self.cpp("  Work();", above="<!-- code/a.cc -->\n"), missing)  # not right above
    self.assertEqual(self.cpp("  Work();", above="<!-- code/x.cc -->"), ["there is no file code/x.cc"])
    self.assertEqual(self.cpp("  Work();", above="<!-- code/loose.cc -->"), ["Bazel doesn't compile code/loose.cc"])

  def test_the_workspaces_of_users_are_those_that_are_built(self):
    def starlark(code, above):
      return self.check("%s\n```starlark\n%s\n```\n" % (above, code), **{
          "packaging/bazel/MODULE.bazel": "bazel_dep(\n  1\n)\nx = 2\n", "other/MODULE.bazel": "x = 2\n"})
    above = "<!-- packaging/bazel/MODULE.bazel -->"
    self.assertEqual(starlark("bazel_dep(\n  1\n)", above), [])
    self.assertEqual(starlark("bazel_dep(\n  2\n)", above), ["not in packaging/bazel/MODULE.bazel: 2"])
    self.assertEqual(starlark("x = 2", "<!-- other/MODULE.bazel -->"), ["nothing builds with other/MODULE.bazel"])
    self.assertEqual(starlark("x = 2", ""), ["no comment above the block names its file: <!-- path -->"])
    self.assertEqual(starlark("x = 2", above[:-4] + "x -->"), ["there is no file packaging/bazel/MODULE.bazelx"])
    self.assertEqual(self.check("```python\nx = 2\n```\n"), ["call it starlark, so that it is checked"])

  def test_the_projects_of_users_are_those_that_are_built(self):
    def cmake(code, path, language="cmake"):
      return self.check("<!-- %s -->\n```%s\n%s\n```\n" % (path, language, code), **{
          "packaging/cmake/CMakeLists.txt": "a(b)\n", "packaging/pkg_config/Makefile": "x = 2\n",
          "other/CMakeLists.txt": "a(b)\n"})
    self.assertEqual(cmake("a(b)", "packaging/cmake/CMakeLists.txt"), [])
    self.assertEqual(cmake("a(c)", "packaging/cmake/CMakeLists.txt"),
                     ["not in packaging/cmake/CMakeLists.txt: a(c)"])
    self.assertEqual(cmake("a(b)", "other/CMakeLists.txt"), ["nothing builds with other/CMakeLists.txt"])
    self.assertEqual(cmake("x = 2", "packaging/pkg_config/Makefile", "make"), [])
    self.assertEqual(cmake("x = 2", "packaging/pkg_config/Makefile"),
                     ["nothing builds with packaging/pkg_config/Makefile"])

  def test_patches_are_shown_whole(self):
    def diff(code, above="<!-- code/a.patch -->"):
      return self.check("%s\n```diff\n%s\n```\n" % (above, code), **{"code/a.patch": "-a\n \n+b\n"})
    self.assertEqual(diff("-a\n \n+b"), [])
    self.assertEqual(diff("-a\n \n+c"), ["not the same as code/a.patch"])
    self.assertEqual(diff("-a"), ["not the same as code/a.patch"])
    self.assertEqual(diff("-a", "<!-- code/a.cc -->"), ["not a patch: code/a.cc"])
    self.assertEqual(diff("-a", ""), ["no comment above the block names its file: <!-- path -->"])
    self.assertEqual(self.check("```patch\n-a\n```\n"), ["call it diff, so that it is checked"])

  def test_commands_that_something_runs_are_right(self):
    self.assertEqual(self.check("```sh\n# says hello\n./run.sh   # and goes\n\n```\n"), [])

  def test_the_newcomers_commands_are_right_in_readme_alone(self):
    block = "<!-- integration_tests/newcomer_test.sh%s -->\n```sh\n./any.sh\n```\n"
    self.assertEqual(self.check(block % ""), [])
    self.assertEqual(self.check(block % " bazel"), [])
    self.assertIn("nothing runs this command", self.check(block % "\n")[0])
    self.assertIn("nothing runs this command", self.check("", **{"docs/guide.md": block % ""})[0])

  def test_other_commands_are_found(self):
    self.assertIn("nothing runs this command", self.check("```sh\n./run.sh --fast\n```\n")[0])
    self.assertEqual(self.check("```sh\n./gone.sh\n```\n"), ["ci doesn't run this command any more: ./gone.sh"])

  def test_a_block_cannot_hide_behind_another_name(self):
    self.assertEqual(self.check("```c++\nint x;\n```\n"), ["call it cpp, so that it is checked"])
    self.assertEqual(self.check("```bash\nrm\n```\n"), ["call it sh, so that it is checked"])
    self.assertEqual(len(self.check("```\nint x;\n```\n")), 1)
    self.assertEqual(self.check("```text\n./any thing\n```\n"), [])

  def test_links_that_lead_somewhere_are_right(self):
    self.assertEqual(
        self.check("# Title\n[a](code/a.cc) [b](docs/guide.md#its-second-part-more) [c](#title) [d](https://x.org/y)\n"
                   "![e\ne](docs/guide.md)\n`[no](link)`\n```text\n[no](link)\n```\n"), [])

  def test_links_that_lead_nowhere_are_found(self):
    self.assertEqual(self.check("[a](code/x.cc)"), ["the link leads nowhere: code/x.cc"])
    self.assertEqual(self.check("<img src=\"docs/x.svg\">"), ["the link leads nowhere: docs/x.svg"])
    self.assertEqual(self.check("![two\nlines](docs/x.svg)"), ["the link leads nowhere: docs/x.svg"])
    self.assertEqual(self.check("[a]: code/x.cc"), ["the link leads nowhere: code/x.cc"])
    self.assertEqual(self.check("[a](../x)"), ["the link leads out of the repository: ../x"])
    self.assertEqual(self.check("[a](docs/guide.md#third)"), ["there is no such heading: docs/guide.md#third"])
    self.assertEqual(self.check("", **{"docs/more.md": "[a](code/a.cc)"}), ["the link leads nowhere: code/a.cc"])

  def test_paths_in_backquotes_exist(self):
    self.assertEqual(self.check("`code/a.cc`, `code/...`, `code/sub/`, `other/x`, `code/a b`"), [])
    self.assertEqual(self.check("`code/x.cc`"), ["there is no code/x.cc"])
    self.assertEqual(self.check("`build/x`", **{"build/y": ""}), [])

  def test_messages_are_those_of_the_libraries(self):
    def messages(cell):
      return self.check("<!-- messages -->\n| message |\n| --- |\n| %s | `not checked` |\n\n| `other table` |\n" % cell, **{
          "lib/a.cc": '// "a comment"\nPrint("too few: ", n,\n      " of "\n      "many");\n', "lib/a_test.cc": '"a test"'})
    self.assertEqual(messages("`too few: … of many`, `too few`"), [])
    self.assertEqual(messages("`too many`"), ["no library prints this: too many"])
    self.assertEqual(messages("`too few: … of 3`"), ["no library prints this: of 3"])
    self.assertEqual(messages("`a comment` and `a test`"),
                     ["no library prints this: a comment", "no library prints this: a test"])

  def test_the_index_of_the_examples_is_checked_too(self):
    self.assertEqual(self.check("", **{"examples/README.md": "[a](x.cc)"}), ["the link leads nowhere: x.cc"])


class TheDocsTest(unittest.TestCase):

  def test_are_true(self):
    # This is the source tree, because the runfiles are links into it, and the docs' links may lead anywhere in it. (So
    # Bazel runs this test every time; see the tags in BUILD.bazel.)
    root = os.path.dirname(os.path.realpath("README.md"))
    self.assertTrue(os.path.isfile(os.path.join(root, "WORKSPACE")), root)
    problems = check_docs.check(root)
    self.assertFalse(problems, "\n" + "\n".join(problems))


if __name__ == "__main__":
  unittest.main()
