#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes a Bazel registry of the system's packages. It does for MODULE.bazel what system.bzl does for WORKSPACE.

  tools/system_registry.py FOLDER [MODULE.bazel…]       then: bazel … --registry=file://FOLDER

FOLDER gets the modules that tether, Debian's Bazel and the named files require. It lists each module in every required
version, and each version is the system's package. Run it again after packages or a MODULE.bazel change.

This needs no Bazel. The script runs the rules of third_party/system.bzl unchanged, because Starlark is valid Python and a
repository rule uses few functions of Bazel. A module whose package is missing is empty, and is named on standard error.
"""

import functools
import json
import os
import re
import shutil
import subprocess
import sys
import types

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

# Modules -> the repositories of system.bzl.
SYSTEM = {
    "abseil-cpp": "com_google_absl",
    "google_benchmark": "com_github_google_benchmark",
    "googletest": "com_google_googletest",
    "grpc": "com_github_grpc_grpc",
    "opentelemetry-cpp": "io_opentelemetry_cpp",
    "protobuf": "com_google_protobuf",
}

# The repositories that the BUILD files there use.
SYSTEM_DEPS = {
    "grpc": 'bazel_dep(name = "protobuf", version = "29.0", repo_name = "com_google_protobuf")\n',
}
RULES_CC = 'bazel_dep(name = "rules_cc", version = "0.0.11")\n'

# The folder of the parts of Debian's Bazel 7, and the modules among them.
BAZEL = "/usr/share/bazel"
DEBIAN = {
    "bazel_features": "tools/features",
    "bazel_skylib": "tools/skylib",
    "platforms": "tools/platforms",
    "rules_cc": "rules/cc",
    "rules_java": "rules/java",
    "rules_license": "rules/license",
    "rules_proto": "rules/proto",
    "rules_python": "rules/python",
    "rules_shell": "rules/shell",
}

# The modules that Bazel 7's built-in modules require. There is no MODULE.bazel that lists them.
ASKED_INSIDE = [("platforms", "0.0.7")]


class Failure(Exception):
  """Starlark's fail()."""


def fail(message):
  raise Failure(message)


def read(path):
  with open(path, encoding="utf-8") as file:
    return file.read()


def write(path, text):
  os.makedirs(os.path.dirname(path), exist_ok=True)
  with open(path, "w", encoding="utf-8") as file:
    file.write(text)


# ---- The functions of Bazel that system.bzl uses ---------------------------------------------------------------------


class Path(str):
  """A path object of repository rules."""

  @property
  def exists(self):
    return os.path.exists(self)

  @property
  def basename(self):
    return os.path.basename(self)

  def readdir(self):
    return [Path(os.path.join(self, name)) for name in sorted(os.listdir(self))]


class Label(str):
  """The label of one of tether's files: //folder:file."""

  @property
  def path(self):
    return Path(os.path.join(ROOT, self.lstrip("/").replace(":", "/")))


@functools.lru_cache(maxsize=None)
def run_once(words):
  done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8", check=False)
  return types.SimpleNamespace(return_code=done.returncode, stdout=done.stdout, stderr=done.stderr)


class RepositoryContext:
  """The context of a repository rule, for a repository in FOLDER."""

  def __init__(self, name, attributes, folder):
    self.name = name
    self.attr = types.SimpleNamespace(**attributes)
    self._folder = folder

  def execute(self, words):
    return run_once(tuple(words))

  def which(self, program):
    return shutil.which(program)

  def path(self, name):
    return name.path if isinstance(name, Label) else Path(name)

  def read(self, path):
    return read(path)

  def file(self, path, text, executable=True):
    del executable
    write(os.path.join(self._folder, path), text)

  def symlink(self, target, path):
    path = os.path.join(self._folder, path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    os.symlink(target, path)


def repositories():
  """Returns system_repositories()' definitions: name -> a function that makes the repository in a folder."""
  found = {}

  def repository_rule(implementation, attrs=None, **_):
    def make(name, **attributes):
      values = dict(attrs or {}, **attributes)
      found[name] = lambda folder: implementation(RepositoryContext(name, values, folder))
    return make

  def load(scope, label, *names):
    loaded = run(label)
    scope.update({name: loaded[name] for name in names})

  def run(label):
    scope = {
        "Label": Label,
        # An attribute is represented by its default.
        "attr": types.SimpleNamespace(
            bool=lambda doc="": False, string=lambda default="", doc="": default, string_dict=lambda doc="": {}),
        "fail": fail,
        "native": types.SimpleNamespace(bazel_version="7", existing_rule=lambda name: None),
        "repository_rule": repository_rule,
    }
    scope["load"] = lambda *names: load(scope, *names)
    exec(compile(read(Label(label).path), label, "exec"), scope)  # pylint: disable=exec-used
    return scope

  run("//third_party:system.bzl")["system_repositories"]()
  return found


# ---- The registry ----------------------------------------------------------------------------------------------------


def asked_for(module_file):
  """Returns the (name, version) of a MODULE.bazel's dependencies, without the dependencies of its own tests."""
  found = []
  text = "\n".join(line.split("#")[0] for line in module_file.splitlines())
  for call in re.findall(r"\bbazel_dep\(([^)]*)\)", text):
    fields = dict(re.findall(r'(\w+)\s*=\s*"?([\w.+-]+)"?', call))
    if "version" in fields:
      found.append((fields["name"], fields["version"], fields.get("dev_dependency") == "True"))
  return found


def module_text(name, version):
  """Returns the MODULE.bazel of a module in the registry."""
  if name in DEBIAN:
    path = os.path.join(BAZEL, DEBIAN[name], "MODULE.bazel")
    if os.path.exists(path):
      # Bazel requires the version that it looked up.
      return re.sub(r"(?s)\bmodule\((.*?)\)",
                    lambda m: "module(" + re.sub(r'\bversion = "[^"]*"', 'version = "%s"' % version, m[1]) + ")",
                    read(path), count=1)
  text = 'module(name = "%s", version = "%s")\n' % (name, version)
  return text + (RULES_CC + SYSTEM_DEPS.get(name, "") if name in SYSTEM else "")


def make_source(name, folder):
  """Makes a module's content, and returns its folder."""
  if name in DEBIAN and os.path.isdir(os.path.join(BAZEL, DEBIAN[name])):
    return os.path.join(BAZEL, DEBIAN[name])
  os.makedirs(folder)
  if name in SYSTEM:
    try:
      repositories()[SYSTEM[name]](folder)
    except Failure as failure:
      print("system_registry: %s is left empty: %s" % (name, str(failure).split("\n")[0]), file=sys.stderr)
  if name == "buildozer":
    # "bazel mod" loads this. Only "bazel mod tidy" runs the program, which Debian doesn't have.
    write(os.path.join(folder, "buildozer_binary.bzl"),
          "_none = repository_rule(implementation = lambda ctx: ctx.file(\"BUILD.bazel\"))\n"
          "buildozer_binary = module_extension(implementation = lambda ctx: _none(name = \"buildozer_binary\"))\n")
  if not os.path.exists(os.path.join(folder, "BUILD.bazel")):
    write(os.path.join(folder, "BUILD.bazel"), "")
  write(os.path.join(folder, "MODULE.bazel"), "")  # Bazel reads the registry's
  return folder


def main(arguments):
  if not arguments or arguments[0].startswith("-"):
    print(__doc__, file=sys.stderr)
    return 2
  registry = os.path.abspath(arguments[0])
  # Remove only the results of an earlier run.
  for part in ("modules", "sources"):
    shutil.rmtree(os.path.join(registry, part), ignore_errors=True)

  # The root module also needs the modules of its own tests. Any of these files may be the root module.
  todo = [module[:2] for path in [os.path.join(ROOT, "MODULE.bazel")] + arguments[1:] for module in asked_for(read(path))]
  tools = os.path.join(BAZEL, "embedded_tools", "MODULE.bazel")
  if os.path.exists(tools):
    todo += ASKED_INSIDE + [(name, version) for name, version, dev in asked_for(read(tools)) if not dev]
  done = set()
  sources = {}
  while todo:
    name, version = todo.pop()
    if (name, version) in done or name == "tether":
      continue
    done.add((name, version))
    if name not in sources:
      sources[name] = make_source(name, os.path.join(registry, "sources", name))
    text = module_text(name, version)
    folder = os.path.join(registry, "modules", name, version)
    write(os.path.join(folder, "MODULE.bazel"), text)
    write(os.path.join(folder, "source.json"), json.dumps({"type": "local_path", "path": sources[name]}) + "\n")
    todo += [(name, version) for name, version, dev in asked_for(text) if not dev]
  write(os.path.join(registry, "bazel_registry.json"), "{}\n")
  return 0


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
