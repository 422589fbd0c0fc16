#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks the code, commands, messages, links and paths in the *.md files of the root, of docs/ and of examples/.

  docs/check_docs.py [ROOT]     prints what is wrong, one line each; the exit code is 0 only if nothing is

 - A ```cpp block is, line by line, part of a file that Bazel compiles; a comment right above the block names the file:
   <!-- examples/gen.cc -->
 - A ```starlark, ```bazelrc, ```cmake or ```make block is in one piece in the file that the comment above it names, with
   which CI builds. A ```textproto block is a piece of an example that //sidecar:config_test parses.
 - A ```diff block is the whole patch that the comment above it names.
 - Each command of a ```sh block is one that a test or CI runs (COMMANDS). integration_tests/newcomer_test.sh runs the blocks
   of README.md whose comment names it.
 - In a table right below <!-- messages -->, each message in `backquotes` in the first column occurs in a string of the
   libraries' sources. An … stands for what varies.
 - A relative link leads to a file, and its #anchor to a heading.
 - A path in `backquotes` that begins with a folder of the repository exists.

Code in other languages (text) isn't checked.
"""

import os
import re
import sys

# Command -> the file that runs it, and the text in that file that runs it.
COMMANDS = {
    "./demo.sh": (".ci/run", 'readme="./demo.sh && '),
    "./demo.sh --inventory_delay=2s": (".ci/run", " && ./demo.sh --inventory_delay=2s && "),
    "bazel run //examples/quickstart": (".ci/run", " && bazel run //examples/quickstart && "),
    "./demo.sh --sidecar": (".ci/run", "  ./demo.sh --sidecar && "),
    "./demo.sh --sidecar --cancel_after=50ms --deadline=10s":
        (".ci/run", "./demo.sh --sidecar --cancel_after=50ms --deadline=10s &&\n"),
    "./demo.sh --sidecar --deadline=10s --inventory_delay=5ms":
        (".ci/run", "./demo.sh --sidecar --deadline=10s --inventory_delay=5ms &&\n"),
    "bazel build //sidecar:tether-sidecar": (".ci/run", "    bazel build //sidecar:tether-sidecar &&\n"),
    "./test.sh": (".ci/run", ' && ./test.sh"\n'),
    "./test.sh --config=asan //lib/... //interceptors/... //observability/... //sidecar/... //integration_tests/...":
        (".ci/run", "tests --config=asan //lib/... //interceptors/... //observability/... //sidecar/... //integration_tests/... &&\n"),
    "./test.sh --config=ubsan //lib/...": (".ci/run", "tests --config=ubsan //lib/... &&"),
    "./test.sh --config=tsan //lib/...": (".ci/run", "tests --config=tsan //lib/... &&"),
    "./test.sh --config=tsan //lib/tether:race_test": (".ci/run", "  ./test.sh --config=tsan //lib/tether:race_test &&"),
    ".ci/run clang": (".ci/run", 'stage "clang" clang\n'),
    "tools/cmake_targets.py": ("tools/cmake_targets_test.py", "self.run_main()"),
    "tools/cmake_test.sh": (".ci/run", '"tools/cmake_test.sh >'),
    "cmake -B build -DTETHER_BUILD_TESTS=OFF -DCMAKE_INSTALL_PREFIX=/usr":
        ("packaging/cmake_test.sh", "  cmake -B build -DTETHER_BUILD_TESTS=OFF -DCMAKE_INSTALL_PREFIX=/usr\n"),
    "cmake -B build -DTETHER_BUILD_TESTS=OFF -DCMAKE_INSTALL_PREFIX=/usr -DBUILD_SHARED_LIBS=ON":
        ("packaging/cmake_test.sh",
         "  cmake -B build -DTETHER_BUILD_TESTS=OFF -DCMAKE_INSTALL_PREFIX=/usr -DBUILD_SHARED_LIBS=ON\n"),
    "cmake --build build": ("packaging/cmake_test.sh", "  cmake --build build\n"),
    "cmake --install build": ("packaging/cmake_test.sh", "  cmake --install build\n"),
    "cpack --config build/CPackConfig.cmake -B build/packages":
        ("packaging/cmake_test.sh", "  cpack --config build/CPackConfig.cmake -B build/packages\n"),
    "tools/cleanroom.sh bookworm './demo.sh && ./test.sh'": (".ci/run", ' bookworm "$readme"; }\n'),
    "tools/format.sh --check": (".ci/run", "format() { tools/format.sh --check && "),
    "tools/spdx.py --check": (".ci/run", " && tools/spdx.py --check; }\n"),
    "tools/reference.sh": (".ci/run", 'stage "reference" tools/reference.sh\n'),
    "tools/check_deps.py --fix": ("tools/check_deps_test.py", 'self.run_main("--fix")'),
    "tools/check_layers.py --limits": (".ci/run", "tools/check_layers.py --limits\n"),
    "tools/compile_commands.sh": ("tools/compile_commands_test.sh", 'tools/compile_commands.sh "$folder"\n'),
    "tools/tidy.sh": (".ci/run", 'stage "tidy" tools/tidy.sh\n'),
    "tools/fuzz.sh 10": (".ci/run", "tools/fuzz.sh 10\n"),
}

# The user projects, by language. integration_tests/newcomer_test.sh and packaging/cmake_test.sh build them. And what the
# sidecar reads.
CONSUMERS = {
    "bazelrc": ("packaging/bazel/",),
    "starlark": ("packaging/bazel/",),
    "cmake": ("packaging/cmake/",),
    "make": ("packaging/pkg_config/",),
    "textproto": ("sidecar/examples/",),
}
# Where the docs place tether in a user's workspace.
USERS_CLONE = "third_party/tether"
# integration_tests/newcomer_files.py finds README's blocks by this comment.
NEWCOMER = re.compile(r"^<!-- integration_tests/newcomer_test\.sh( [a-z]+)? -->$")

FENCE = re.compile(r"^\s*(`{3,}|~{3,})\s*([^\s`]*)[^`]*$")
MESSAGES_COMMENT = "<!-- messages -->"
STRING = re.compile(r'"((?:[^"\\\n]|\\.)*)"')
SOURCE_COMMENT = re.compile(r"^<!-- (\S+) -->$")
LINK = re.compile(r"\]\(\s*<?([^)\s>]+)|\b(?:src|srcset|href)=\"([^\"]+)\"")
REFERENCE = re.compile(r"^\[[^\]]+\]:\s*(\S+)")
CODE = re.compile(r"`([^`]+)`")
OTHER_NAMES = {"c++": "cpp", "cc": "cpp", "c": "cpp", "h": "cpp", "bash": "sh", "shell": "sh", "console": "sh",
               "python": "starlark", "py": "starlark", "bazel": "starlark", "bzl": "starlark", "makefile": "make",
               "patch": "diff"}


class Block:
  """A block of code: its language, its lines, the number of its first line, and the line above it."""

  def __init__(self, language, number, above):
    self.language = language
    self.number = number
    self.above = above
    self.lines = []


def split(text):
  """Returns the blocks of a document, and its other lines as (number, line)."""
  blocks, prose, block, fence = [], [], None, None
  lines = text.split("\n")
  for number, line in enumerate(lines, 1):
    match = FENCE.match(line)
    if block is not None:
      if match and match.group(1).startswith(fence) and not match.group(2):
        block = None
      else:
        block.lines.append(line)
    elif match:
      fence = match.group(1)
      block = Block(match.group(2).lower(), number + 1, lines[number - 2].strip() if number > 1 else "")
      blocks.append(block)
    else:
      prose.append((number, line))
  return blocks, prose


def read(path):
  with open(path, encoding="utf-8") as file:
    return file.read()


def is_compiled(root, path):
  """True if the nearest BUILD file names `path`."""
  folder = os.path.dirname(path)
  while True:
    build = os.path.join(root, folder, "BUILD.bazel")
    if os.path.isfile(build):
      return '"%s"' % os.path.relpath(path, folder or ".") in read(build)
    if not folder:
      return False
    folder = os.path.dirname(folder)


def named_file(root, block):
  """Returns the file that the comment above a block names, or None, and the problem if there is one."""
  match = SOURCE_COMMENT.match(block.above)
  if not match:
    return None, "no comment above the block names its file: <!-- path -->"
  path = match.group(1)
  if not os.path.isfile(os.path.join(root, path)):
    return None, "there is no file " + path
  return path, None


def check_piece(root, path, block):
  """Returns None if the file contains the block's lines in one piece, otherwise the problem."""
  if not block.lines:
    return "the block is empty"
  source = read(os.path.join(root, path)).split("\n")
  count = len(block.lines)
  if any(source[i:i + count] == block.lines for i in range(len(source) - count + 1)):
    return None
  for line in block.lines:
    if line not in source:
      return "not in %s: %s" % (path, line.strip())
  return "not in one piece in " + path


def check_cpp(root, block):
  path, problem = named_file(root, block)
  if problem:
    return problem
  if not path.endswith((".cc", ".h")) or not is_compiled(root, path):
    return "Bazel doesn't compile " + path
  return check_piece(root, path, block)


def check_diff(root, block):
  path, problem = named_file(root, block)
  if problem:
    return problem
  if not path.endswith(".patch"):
    return "not a patch: " + path
  source = read(os.path.join(root, path)).rstrip("\n").split("\n")
  return None if source == block.lines else "not the same as " + path


def check_consumer(root, block):
  path, problem = named_file(root, block)
  if problem:
    return problem
  if not path.startswith(CONSUMERS[block.language]):
    return "nothing builds with " + path
  return check_piece(root, path, block)


def check_sh(root, line, commands):
  command = re.sub(r"(^|\s)#.*$", "", line).strip()
  if not command:
    return None
  if command not in commands:
    return "nothing runs this command (COMMANDS in docs/check_docs.py): " + command
  path, text = commands[command]
  if not os.path.isfile(os.path.join(root, path)) or text not in read(os.path.join(root, path)):
    return "%s doesn't run this command any more: %s" % (path, command)
  return None


def library_strings(root):
  """Returns the string literals of the libraries' sources, one a line; adjacent literals are joined."""
  strings = []
  for folder in ("lib", "interceptors"):
    for directory, _, files in os.walk(os.path.join(root, folder)):
      for file in sorted(files):
        if file.endswith((".h", ".cc")) and not file.endswith("_test.cc") and "/testing" not in directory:
          code = re.sub(r"^\s*(//|#include).*$", "", read(os.path.join(directory, file)), flags=re.M)
          strings += STRING.findall(re.sub(r'"\s*\n\s*"', "", code))
  return "\n".join(strings)


def check_message(message, strings):
  for part in message.split("…"):
    if part.strip() and part.strip() not in strings:
      return "no library prints this: " + part.strip()
  return None


def messages(prose):
  """Returns the messages in the first columns of tables below MESSAGES_COMMENT, as (number, message)."""
  found, inside = [], False
  for number, line in prose:
    inside = line.strip() == MESSAGES_COMMENT or (inside and line.startswith("|"))
    if inside and line.startswith("|"):
      found += [(number, code) for code in CODE.findall(line.split("|")[1])]
  return found


def anchors(path):
  """Returns the anchors that GitHub makes from a document's headings."""
  result = set()
  for _, line in split(read(path))[1]:
    match = re.match(r"^#+\s+(.*?)\s*#*$", line)
    if match:
      heading = re.sub(r"[^\w\- ]", "", match.group(1).lower()).replace(" ", "-")
      copies = 1
      anchor = heading
      while anchor in result:
        anchor = "%s-%d" % (heading, copies)
        copies += 1
      result.add(anchor)
  return result


def check_link(root, document, link):
  if re.match(r"^[a-zA-Z][a-zA-Z0-9+.-]*:", link):
    return None
  path, _, anchor = link.partition("#")
  target = os.path.normpath(os.path.join(os.path.dirname(document), path)) if path else document
  if target.startswith("..") or os.path.isabs(path):
    return "the link leads out of the repository: " + link
  full = os.path.join(root, target)
  if not os.path.exists(full):
    return "the link leads nowhere: " + link
  if anchor and target.endswith(".md") and anchor not in anchors(full):
    return "there is no such heading: " + link
  return None


def check_path(root, folders, code):
  if code.startswith(USERS_CLONE):
    return None
  if not re.match(r"^(%s)/[\w./-]*$" % "|".join(map(re.escape, folders)), code):
    return None
  path = re.sub(r"/?\.\.\.$", "", code)
  return None if os.path.exists(os.path.join(root, path)) else "there is no " + code


def check(root, commands=None):
  """Returns all problems, as "file:line: problem"."""
  commands = COMMANDS if commands is None else commands
  # build/ and bazel-*/ hold what builds write, which may not be there yet.
  folders = [f for f in sorted(os.listdir(root))
             if os.path.isdir(os.path.join(root, f)) and f != "build" and not f.startswith("bazel-")]
  documents = [f for f in sorted(os.listdir(root)) if f.endswith(".md")]
  if os.path.isdir(os.path.join(root, "docs")):
    documents += ["docs/" + f for f in sorted(os.listdir(os.path.join(root, "docs"))) if f.endswith(".md")]
  if os.path.isfile(os.path.join(root, "examples", "README.md")):
    documents.append("examples/README.md")
  problems, strings = [], None
  for document in documents:
    def found(number, what):
      if what:
        problems.append("%s:%d: %s" % (document, number, what))

    blocks, prose = split(read(os.path.join(root, document)))
    for block in blocks:
      if block.language in OTHER_NAMES:
        found(block.number - 1, "call it " + OTHER_NAMES[block.language] + ", so that it is checked")
      elif not block.language:
        found(block.number - 1, "the block has no language; say text if it is none")
      elif block.language == "cpp":
        found(block.number, check_cpp(root, block))
      elif block.language == "diff":
        found(block.number, check_diff(root, block))
      elif block.language in CONSUMERS:
        found(block.number, check_consumer(root, block))
      elif block.language == "sh" and document == "README.md" and NEWCOMER.match(block.above):
        pass
      elif block.language == "sh":
        for i, line in enumerate(block.lines):
          found(block.number + i, check_sh(root, line, commands))
    for number, message in messages(prose):
      strings = library_strings(root) if strings is None else strings
      found(number, check_message(message, strings))
    for number, line in prose:
      for code in CODE.findall(line):
        found(number, check_path(root, folders, code))
      text = CODE.sub("", line)
      links = [a or b for a, b in LINK.findall(text)] + REFERENCE.findall(text)
      for link in links:
        found(number, check_link(root, document, link))
  return problems


def main(argv):
  root = argv[0] if argv else os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
  problems = check(root)
  for problem in problems:
    print(problem)
  return 1 if problems else 0


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
