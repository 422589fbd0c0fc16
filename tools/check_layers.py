#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks the direction of the layers, the names in public headers, and the size of functions and files.

  tools/check_layers.py            layers and public headers
  tools/check_layers.py --limits   and sizes

 - Layers point one way (LAYERS). Nothing under lib/ includes gRPC or OpenTelemetry; the core gRPC package doesn't include
   OpenTelemetry. Code that is shipped includes no test kit.
 - Examples and services include nothing internal. They use tether as users do.
 - The public declarations of public headers name nothing in `internal::` except SHOWN. Private and protected members,
   function bodies and friends may.
 - A function of the library has at most 50 lines, a C++ file at most 400, a test at most 600.

It parses C++ by its braces, without a compiler. This is enough for code that clang-format has formatted.
"""

import argparse
import os
import re
import subprocess
import sys

# Folder -> the folders that its files may include from, besides itself.
LAYERS = {
    "lib": set(),
    "testing": {"lib"},
    "interceptors/tether/grpc": {"lib"},
    "interceptors/tether/opentelemetry": {"lib", "interceptors/tether/grpc"},
    "observability": {"lib", "interceptors/tether/grpc"},
    "sidecar": {"lib", "testing", "interceptors/tether/grpc", "observability"},
    "services": {"lib", "testing", "interceptors/tether/grpc", "observability"},  # the demo starts processes
    "examples": {"lib", "interceptors/tether/grpc", "interceptors/tether/opentelemetry", "observability"},
    "integration_tests": {"lib", "testing", "interceptors/tether/grpc", "observability", "services", "sidecar"},
    "benchmarks": {"lib", "testing", "interceptors/tether/grpc", "interceptors/tether/opentelemetry", "observability", "sidecar"},
    "packaging": {"lib", "interceptors/tether/grpc", "interceptors/tether/opentelemetry", "observability"},  # as users
}
LIBRARY = ("lib/", "interceptors/", "observability/")
# Headers of other projects -> the folders that must not include them.
FOREIGN = {
    r"grpc(pp)?/|.*\.grpc\.pb\.h$": ("lib/",),
    r"opentelemetry/": ("lib/", "interceptors/tether/grpc/", "services/", "sidecar/"),
    # Users compile these with their own Abseil. Newer versions deprecate the only constructor of MutexLock that older ones have.
    r"absl/synchronization/mutex\.h": LIBRARY,
}
# Internal names that public declarations may use.
SHOWN = {
    "internal::ChannelMaker": "an object that is called like a function; see client.h",
    "internal::KeyBase": "a key's identity is its address, whatever its type",
    "internal::TypeIdentity": "C++20's std::type_identity",
    "internal::TaskAnswer": "computes the T of a task that returns absl::StatusOr<T>; see first_of.h",
}
MAX_FUNCTION, MAX_FILE, MAX_TEST = 50, 400, 600

INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', re.M)
# Comments, raw strings, strings, characters and preprocessor lines. Their content is ignored.
NOISE = re.compile(r'//[^\n]*|/\*.*?\*/|R"(\w*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|(?<!\w)\'(?:\\.|[^\'\\\n])+\'|^\s*#(?:\\\n|[^\n])*',
                   re.S | re.M)
ACCESS = re.compile(r"\b(public|protected|private)\s*$")


def is_test(path):
  return path.endswith("_test.cc") or "/testing/" in path or "/fuzz/" in path or path.startswith("testing/")


def is_public(path):
  return path.startswith(LIBRARY) and path.endswith(".h") and "/internal/" not in path and not is_test(path)


def folder_of(path):
  """The key of LAYERS for a file, or None."""
  return next((f for f in LAYERS if path.startswith(f + "/")), None)


def folder_of_include(name):
  if name.startswith("tether/v1/"):
    return None  # generated
  if name.startswith("tether/observability/"):
    return "observability"
  if name.startswith(("tether/grpc/", "tether/opentelemetry/")):
    return folder_of("interceptors/" + name)
  return "lib" if name.startswith("tether/") else folder_of(name)


def check_includes(path, text):
  folder = folder_of(path)
  for name in INCLUDE.findall(text):
    other = folder_of_include(name)
    may = LAYERS[folder] | {folder} | ({"testing"} if is_test(path) else set())
    if other and other not in may:
      yield "%s includes %s: %s/ must not use %s/" % (path, name, folder, other)
    for pattern, places in FOREIGN.items():
      if re.match(pattern, name) and path.startswith(places):
        yield "%s includes %s, which is not for its layer" % (path, name)
    if "/internal/" in name and folder in ("examples", "services", "packaging"):
      yield "%s includes %s, which is not for users" % (path, name)
    if path.startswith(LIBRARY) and not is_test(path) and "/testing/" in name:
      yield "%s includes %s, which is for tests" % (path, name)


class Scope:

  def __init__(self, kind, public, start):
    self.kind = kind  # "namespace", "internal" (a namespace), "class" or "code"
    self.public = public
    self.start = start  # of the statement that opened it


def without_noise(text):
  return NOISE.sub(lambda m: re.sub(r"[^\n]", " ", m.group(0)), text)


def kind_of(head):
  """Returns the kind of scope that a brace opens, from the statement before it."""
  if re.match(r"\s*(inline\s+)?namespace\b", head):
    return "internal" if "internal" in head else "namespace"
  if re.match(r'\s*extern\s*$', head):
    return "namespace"
  plain = re.sub(r"<[^<>]*>|\([^()]*\)", "", re.sub(r"<[^<>]*>|\([^()]*\)", "", head))
  if re.search(r"\b(class|struct|union)\b", plain) and "=" not in plain and ")" not in plain:
    return "class"
  return "code"


def statements(text):
  """Yields (kind, place, text, scopes) for each statement outside function bodies, and for each body with its head ("code")."""
  text = without_noise(text)
  scopes, start, parens = [Scope("namespace", True, 0)], 0, 0
  for i, c in enumerate(text):
    if c == "(":
      parens += 1
    elif c == ")":
      parens -= 1
    elif c == "{":
      head = text[start:i]
      kind = kind_of(head) if parens == 0 and scopes[-1].kind != "code" else "code"
      if scopes[-1].kind != "code":
        yield "statement", start, head, scopes
      scopes.append(Scope(kind, not re.search(r"\bclass\b", head), start))
      scopes[-1].parens, parens = parens, 0
      start = i + 1
    elif c == "}":
      scope = scopes.pop()
      parens = scope.parens
      if scope.kind == "code" and scopes[-1].kind != "code":
        yield "code", scope.start, text[scope.start:i + 1], scopes
      start = i + 1
    elif c == ";" and parens == 0:
      if scopes[-1].kind != "code":
        yield "statement", start, text[start:i], scopes
      start = i + 1
    elif c == ":" and parens == 0 and scopes[-1].kind == "class":
      access = ACCESS.search(text[start:i])
      if access:
        scopes[-1].public = access.group(1) == "public"
        start = i + 1


def line_of(text, place):
  """Returns the line of the first word at or after `place`."""
  rest = text[place:]
  return text.count("\n", 0, place + len(rest) - len(rest.lstrip())) + 1


def check_public(path, text):
  clean = without_noise(text)
  for what, start, head, scopes in statements(text):
    if what != "statement" or any(s.kind in ("code", "internal") or not s.public for s in scopes):
      continue
    # A constructor's initializers also belong to its body.
    head = re.sub(r"\)(\s*noexcept)?\s*:[^:].*", ")", head, flags=re.S)
    named = set(re.findall(r"\binternal::\w+", head)) - set(SHOWN)
    # Skip definitions after the class. Their declarations are checked.
    defined = re.search(r">::~?\w+\s*\(", head) or re.match(r"\s*(friend|using)\b", head)
    if named and not defined:
      yield "%s:%d: a public declaration names internal::" % (path, line_of(clean, start))


def check_sizes(path, text):
  lines = text.count("\n") - (2 if text.startswith("// SPDX-") else 0)
  limit = MAX_TEST if is_test(path) else MAX_FILE
  if lines > limit:
    yield "%s has %d lines; at most %d" % (path, lines, limit)
  if not path.startswith(LIBRARY) or is_test(path):
    return
  clean = without_noise(text)
  for what, start, body, _ in statements(text):
    if what == "code":
      size = body.strip().count("\n") + 1
      if size > MAX_FUNCTION:
        yield "%s:%d: %d lines in a function; at most %d" % (path, line_of(clean, start), size, MAX_FUNCTION)


def check(root, files, limits):
  for path in files:
    if not folder_of(path):
      continue
    with open(os.path.join(root, path), encoding="utf-8") as file:
      text = file.read()
    yield from check_includes(path, text)
    if is_public(path):
      yield from check_public(path, text)
    if limits:
      yield from check_sizes(path, text)


def main(argv):
  parser = argparse.ArgumentParser()
  parser.add_argument("--limits", action="store_true")
  parser.add_argument("--root", default=os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
  options = parser.parse_args(argv)
  files = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", "*.h", "*.cc"],
                         cwd=options.root, stdout=subprocess.PIPE, check=True, text=True).stdout.split()
  files = [f for f in files if os.path.exists(os.path.join(options.root, f))]
  problems = list(check(options.root, files, options.limits))
  for problem in problems:
    print(problem)
  return 1 if problems or not files else 0


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
