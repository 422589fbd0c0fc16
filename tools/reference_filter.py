#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Converts a public header's comments into Doxygen comments. Doxygen runs it on each header (docs/Doxyfile).

  tools/reference_filter.py FILE     prints FILE for Doxygen

tether's headers have plain comments, in Google's C++ style:

 - A comment directly above a declaration, or after it on the same line, describes the declaration.
 - The first comment of a file describes the file.
 - Lines that are indented by three spaces or more are code.

Comments inside function bodies, and those with an empty line below them, are left as they are. Specialisations of the
standard library's templates are left out: they are no part of tether's API.
"""

import re
import sys

COMMENT = re.compile(r"^(\s*)//(?!/)(?: (.*)|)$")
TRAILING = re.compile(r"^(.*[;,({}\w\]=>]) +// (.+)$")
CODE = re.compile(r"^ {2,}\S")
STD = re.compile(r"^template <>\nstruct std::[^;]*?\{(\}|\n.*?^\});$", re.M | re.S)
SCOPE = re.compile(r"\b(namespace|class|struct|enum|union)\b|^extern \"C\"")


def without_std(text):
  """Empties the lines of specialisations in namespace std."""
  return STD.sub(lambda match: "\n" * match.group(0).count("\n"), text)


def escaped(text):
  """Escapes Doxygen commands and HTML in `text`, except inside `backquotes`."""
  parts = re.split(r"(`[^`]+`)", text)
  for i in range(0, len(parts), 2):
    parts[i] = re.sub(r"([\\@<>&#%$\"])", r"\\\1", parts[i]).replace("`", "&#96;")
  return "".join(parts)


def documented(texts, indent, file_comment):
  """Returns the lines of a comment for Doxygen."""
  out, in_code = (["@file"] if file_comment else []), False
  for i, text in enumerate(texts):
    is_list = re.match(r"^ +(- |\d+\. )", text)
    if not in_code and CODE.match(text) and not is_list and (i == 0 or not texts[i - 1].strip()):
      out.append("@code{.cpp}")
      in_code = True
    elif in_code and text.strip() and not CODE.match(text):
      out.insert(len(out) - (out[-1] == ""), "@endcode")
      in_code = False
    out.append(text[2:] if in_code else escaped(text))
  if in_code:
    out.append("@endcode")
  return [f"{indent}/// {line}".rstrip() for line in out]


def opens_body(lines, at):
  """True if the brace that ends line `at` opens a function's body, not a namespace, a class or the like."""
  statement = [lines[at]]
  for line in reversed(lines[:at]):
    code = line.split("//")[0].strip()
    if not code or code[-1] in ";{}:" or code.startswith("#"):
      break
    statement.insert(0, line)
  return not SCOPE.search(re.sub(r"template\s*<[^>]*>", "", " ".join(statement)))


def converted(lines):
  out, bodies, depth, at = [], [], 0, 0  # bodies: the depths at which function bodies begin
  while at < len(lines):
    match = COMMENT.match(lines[at])
    if match:
      start, indent, texts = at, match.group(1), []
      while at < len(lines) and (match := COMMENT.match(lines[at])):
        texts.append(match.group(2) or "")
        at += 1
      describes = at < len(lines) and lines[at].strip() not in ("", "}") and not lines[at].startswith("#")
      if start == 0 and texts[0].startswith("SPDX"):
        texts = texts[1:]
        while texts and not texts[0]:
          texts = texts[1:]
      if not bodies and texts and (start == 0 or describes):
        out += documented(texts, indent, start == 0)
      else:
        out += lines[start:at]
      continue
    line = lines[at]
    code = re.sub(r'"(\\.|[^"\\])*"|\'(\\.|[^\'\\])\'', "", line).split("//")[0]
    trailing = TRAILING.match(line)
    if trailing and not bodies and not line.lstrip().startswith(("#", "}")):
      line = f"{trailing.group(1)}  ///< {escaped(trailing.group(2))}"
    out.append(line)
    for brace in re.findall(r"[{}]", code):
      if brace == "{":
        depth += 1
        if not bodies and opens_body(lines, at):
          bodies.append(depth)
      else:
        if bodies and bodies[-1] == depth:
          bodies.pop()
        depth -= 1
    at += 1
  return out


def main(arguments):
  if len(arguments) != 1:
    sys.exit("usage: tools/reference_filter.py FILE")
  with open(arguments[0], encoding="utf-8") as file:
    text = without_std(file.read())
  sys.stdout.write("\n".join(converted(text.splitlines())) + "\n")


if __name__ == "__main__":
  main(sys.argv[1:])
