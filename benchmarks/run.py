#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures tether and its peers, prints a table, and writes the figures as JSON.

  ./bench.sh GROUP... [--quick] [--json PATH]
  ./bench.sh instructions --check

A group is a set of programs, tether's and its peers', with benchmarks of the same names. It runs in rounds. In each round,
every row is measured in all programs that have it, one right after the other, each in a separate process. A figure is the
median of the rounds. So other load on the machine affects all programs alike, and ratios mean more than times.

The groups of RPCs have one program each, which measures tether and its peers in turn, a few calls at a time. A round is one
run of the program. The group "instructions" counts instructions instead (see instructions.py). A round is a run for each peer.
The group "load" runs a chain of processes under load (see load.py). A round is a run of each scenario for each peer.
The group "sidecar" runs tether-sidecar and other proxies under load (see sidecar.py). A round measures all of them in turn.
The group "scale" has several such programs, which repeat their measurements themselves. Each runs once.

--check measures "instructions" and compares the figures with the recorded ones, benchmarks/results/instructions.json. It writes
no figures. Its last line is "N passed, N failed".

--quick uses fewer and shorter rounds, and takes a minute. PATH is a file. For several groups, or if PATH is a folder, each
group is a file in that folder. Without --json, the figures go to benchmarks/results/GROUP.json (--quick: GROUP.quick.json).
"""

import argparse
import datetime
import json
import os
import platform
import re
import statistics
import subprocess
import sys

import instructions
import load as load_of_chains
import sidecar

ROOT = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

# A group: its programs, "tether" first. A program is a Bazel target or the folder of a Go module. The figures of all programs
# in one list have one name. Rows are in the order of tether's programs. TOGETHER marks a peer that tether's program also
# measures.
TOGETHER = []
GROUPS = {
    "context": {
        "tether": [
            "//benchmarks:context_benchmark",
            "//benchmarks:deadline_benchmark",
            "//benchmarks:value_benchmark",
            "//benchmarks:current_benchmark",
            "//benchmarks:memory_benchmark",
        ],
        "stop_token": ["//benchmarks:stop_token_benchmark"],
        "opentelemetry": ["//benchmarks:opentelemetry_benchmark"],
        "go": ["benchmarks/go"],
    },
    "values": {
        "tether": ["//benchmarks:values_benchmark"],
        "opentelemetry": ["//benchmarks:opentelemetry_values_benchmark"],
    },
    "rpc": {
        "tether": ["//benchmarks:rpc_benchmark"],
        "plain grpc": TOGETHER,
        "headers by hand": TOGETHER,
        "empty interceptor": TOGETHER,
        "no metrics": TOGETHER,
    },
    "instructions": {
        "tether": ["//benchmarks:instructions_benchmark"],
        "plain grpc": TOGETHER,
        "empty interceptor": TOGETHER,
        "headers by hand": TOGETHER,
        "floor": TOGETHER,
    },
    "inspect": {
        "tether": ["//benchmarks:inspect_benchmark"],
    },
    "cancel": {
        "tether": ["//benchmarks:cancel_benchmark"],
        "FromServerContext": TOGETHER,
    },
    "drift": {
        "tether": ["//benchmarks:drift_benchmark"],
        "plain grpc": TOGETHER,
    },
    "scale": {
        "tether": [
            "//benchmarks:scale_contexts_benchmark",
            "//benchmarks:scale_observed_benchmark",
            "//benchmarks:scale_streams_benchmark",
            "//benchmarks:scale_calls_benchmark",
        ],
        "plain grpc": TOGETHER,
        "empty interceptor": TOGETHER,
        "not observed": TOGETHER,
        "no requests": TOGETHER,
    },
    "load": {
        "tether": ["//benchmarks/load:hop_main", "//benchmarks/load:generator_main"],
        "no propagation": TOGETHER,
        "FromServerContext": TOGETHER,
    },
    "sidecar": {
        "tether": [
            "//sidecar:tether-sidecar",
            "//benchmarks/load:generator_main",
            "//benchmarks/sidecar:echo_main",
            "//benchmarks/sidecar:held_main",
        ],
        "direct": TOGETHER,
        "nginx": TOGETHER,
        "nghttpx": TOGETHER,
    },
}

# Peers that need packages -> the group of tools/setup.sh, and a file that exists if they are installed.
GO = "/usr/lib/go-1.23/bin/go"
INSTALLED = {
    "go": ("bench", GO),
    "opentelemetry": ("bench", "/usr/include/opentelemetry/version.h"),
    "nginx": ("proxy", sidecar.NGINX),
    "nghttpx": ("proxy", sidecar.NGHTTPX),
}

# The number of rounds, and the time that a program measures a row in each (Google Benchmark and Go take about twice that).
FULL = (5, 0.2)
QUICK = (3, 0.03)

# The same for programs that measure all peers. For these, the time is that of the whole run.
FULL_TOGETHER = (5, 20)
QUICK_TOGETHER = (3, 4)

# The same for the group "load". The time is that of one scenario.
FULL_LOAD = (3, 6)
QUICK_LOAD = (1, 2)

# The number of rounds of the group "sidecar". sidecar.py has its times.
FULL_SIDECAR = 3
QUICK_SIDECAR = 1

# The options of the programs of the group "scale". Without these, a program measures the largest numbers.
QUICK_SCALE = {
    "//benchmarks:scale_contexts_benchmark": ["--largest=10000", "--repeats=2"],
    "//benchmarks:scale_observed_benchmark": ["--seconds=2", "--repeats=1"],
    "//benchmarks:scale_streams_benchmark": ["--largest=1000", "--repeats=1"],
    "//benchmarks:scale_calls_benchmark": ["--calls=50000", "--channels=100", "--repeats=1"],
}

# The number of rounds that count instructions.
FULL_INSTRUCTIONS = 3
QUICK_INSTRUCTIONS = 1


Failure = instructions.Failure


def say(text, end="\n"):
  print("bench: " + text, end=end, file=sys.stderr, flush=True)


def output_of(command, **options):
  try:
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True, **options)
  except OSError as error:
    raise Failure("cannot run %s: %s" % (command[0], error))
  if result.returncode != 0:
    raise Failure("%s failed (exit code %d):\n%s" % (
        " ".join(command), result.returncode, (result.stdout + result.stderr).strip()))
  return result.stdout


class Figure:
  """One measurement and its unit, such as "ns" or "bytes". Rounds are combined by the median, or by the maximum if `worst`."""

  def __init__(self, value, unit, allocations, worst=False):
    self.value = value
    self.unit = unit
    self.allocations = allocations
    self.worst = worst


# A row is (operation, threads).


def google_row(name):
  """Returns the row for a Google Benchmark name: "operation/real_time/threads:2"."""
  operation, *suffixes = name.split("/")
  threads = [int(s[len("threads:"):]) for s in suffixes if s.startswith("threads:")]
  return operation, threads[0] if threads else 1


def parse_google(text):
  """Returns row -> Figure, from --benchmark_format=json."""
  figures = {}
  for run in json.loads(text)["benchmarks"]:
    if run.get("error_occurred"):
      raise Failure("%s: %s" % (run["name"], run.get("error_message", "failed")))
    allocations = run.get("allocations")
    if "bytes" in run:
      figures[google_row(run["name"])] = Figure(run["bytes"], "bytes", allocations)
    else:
      to_ns = {"ns": 1, "us": 1e3, "ms": 1e6, "s": 1e9}[run["time_unit"]]
      figures[google_row(run["name"])] = Figure(run["real_time"] * to_ns, "ns", allocations)
  return figures


def parse_go(text):
  """Returns row -> Figure, from "go test -bench". Go writes blanks as "_", and so do these rows, until match_go."""
  figures = {}
  for line in text.splitlines():
    match = re.match(r"Benchmark\w+/(\S+?)(?:-\d+)?\s+\d+\s+(.*)$", line)
    if not match:
      continue
    words = match.group(2).split()
    measured = {unit: float(number) for number, unit in zip(words[::2], words[1::2])}
    operation, _, threads = match.group(1).partition("@")
    unit = "bytes" if "bytes" in measured else "ns/op"
    figures[operation, int(threads or 1)] = Figure(
        measured[unit], "bytes" if unit == "bytes" else "ns", measured.get("allocs/op"))
  return figures


def parse_together(text, names, all_names=True):
  """Returns row -> name -> Figure, from a program that measures tether and its peers. Each row must have all `names`; without
  `all_names`, it must have tether's figure, and may have some of the others."""
  figures = {}
  for row in json.loads(text)["rows"]:
    values = dict(row["peers"], tether=row["tether"])
    if sorted(values) != sorted(names) if all_names else not set(values) <= set(names):
      raise Failure("%r has figures of %s" % (row["operation"], ", ".join(values)))
    figures[row["operation"], 1] = {
        name: Figure(values[name], row["unit"], row.get("allocations") if name == "tether" else None,
                     row.get("worst", False)) for name in names if name in values}
  return figures


class GoogleProgram:
  def __init__(self, binary):
    self.binary = binary
    lines = output_of([binary, "--benchmark_list_tests"]).splitlines()
    self.names = {google_row(line): line for line in lines}
    for name in self.names.values():
      if re.search(r"[^\w ,:/@-]", name):
        raise Failure("%r means something else as a regular expression" % name)

  def rows(self):
    return list(self.names)

  def measure(self, row, seconds):
    figures = parse_google(output_of([
        self.binary, "--benchmark_format=json", "--benchmark_min_time=%g" % seconds,
        "--benchmark_filter=^%s$" % self.names[row]]))
    if row not in figures:
      raise Failure("%s gave no figure for %r" % (self.binary, row))
    return figures[row]


class GoProgram:
  def __init__(self, binary, known):
    """`known`: tether's rows, which are used to restore the blanks in Go's names."""
    self.binary = binary
    blanks = {(operation.replace(" ", "_"), threads): (operation, threads) for operation, threads in known}
    found = parse_go(self._run(".", "1x"))
    self.names = {blanks.get(row, row): row for row in found}

  def _run(self, pattern, time):
    # Rows with two threads need two processors. In other rows the garbage collector may use the second one.
    return output_of([self.binary, "-test.bench=" + pattern, "-test.benchtime=" + time, "-test.cpu=2",
                      "-test.benchmem", "-test.run=^$"], cwd=os.path.dirname(self.binary))

  def rows(self):
    return list(self.names)

  def measure(self, row, seconds):
    operation, threads = name = self.names[row]
    figures = parse_go(self._run("/^%s$" % (operation + ("@%d" % threads if threads > 1 else "")), "%gs" % seconds))
    if name not in figures:
      raise Failure("%s gave no figure for %r" % (self.binary, row))
    return figures[name]


def build(groups, names):
  """Builds the programs. Returns {program: path of its binary}."""
  programs = sorted({p for group in groups for name in names[group] for p in GROUPS[group][name]})
  targets = [p for p in programs if p.startswith("//")]
  # Makes no links in the workspace, so the links of the default build stay.
  options = output_of([os.path.join(ROOT, "tools", "bazel_flags.sh")]).split()
  options += ["-c", "opt", "--experimental_convenience_symlinks=ignore"]
  say("building")
  command = ["bazel", "build"] + options + ["--noshow_progress", "--ui_event_filters=-info"] + targets
  if subprocess.run(command, cwd=ROOT, stdout=sys.stderr).returncode != 0:
    raise Failure("the build failed")
  folder = output_of(["bazel", "info"] + options + ["bazel-bin"], cwd=ROOT).strip()
  binaries = {t: os.path.join(folder, t[2:].replace(":", "/")) for t in targets}
  for module in programs:
    if module not in binaries:
      binary = os.path.join(ROOT, "build", "bench", module.replace("/", "_"))
      # The module needs only Go itself.
      environment = dict(os.environ, GOTOOLCHAIN="local", GOPROXY="off", GOFLAGS="", GOWORK="off")
      output_of([GO, "test", "-c", "-o", binary], cwd=os.path.join(ROOT, module), env=environment)
      binaries[module] = binary
  return binaries


def load(group, names, binaries):
  """Returns {name: {row: program}}. A peer must not have rows that tether lacks."""
  table = {}
  for name in names[group]:
    table[name] = {}
    for program in GROUPS[group][name]:
      binary = binaries[program]
      loaded = GoogleProgram(binary) if program.startswith("//") else GoProgram(binary, list(table["tether"]))
      for row in loaded.rows():
        if row in table[name]:
          raise Failure("%s: %s has the row %r twice" % (group, name, row))
        if name != "tether" and row not in table["tether"]:
          raise Failure("%s: %s has the row %r, which tether lacks" % (group, name, row))
        table[name][row] = loaded
  return table


class Progress:
  """Shows progress: one line that is overwritten on a terminal, and one line per round elsewhere."""

  def __init__(self, group, rounds, total):
    self.group, self.rounds, self.total = group, rounds, total
    self.terminal = sys.stderr.isatty()

  def row(self, round_number, number, row):
    if self.terminal:
      say("%s: round %d of %d, row %d of %d: %-60s" % (
          self.group, round_number, self.rounds, number, self.total, row[0][:60]), end="\r")
    elif number == 1:
      say("%s: round %d of %d, %d rows" % (self.group, round_number, self.rounds, self.total))

  def done(self):
    if self.terminal:
      print(" " * 110, end="\r", file=sys.stderr, flush=True)


def measure(group, table, rounds, seconds):
  """Returns {row: {name: [Figure of each round]}}."""
  rows = list(table["tether"])
  figures = {row: {name: [] for name in table if row in table[name]} for row in rows}
  progress = Progress(group, rounds, len(rows))
  for round_number in range(1, rounds + 1):
    for number, row in enumerate(rows, 1):
      progress.row(round_number, number, row)
      # Alternate the order, so that no program is always first.
      for name in sorted(figures[row], reverse=round_number % 2 == 0):
        figures[row][name].append(table[name][row].measure(row, seconds))
  progress.done()
  return figures


def measure_together(group, binary, names, rounds, seconds):
  """Like measure(), for a group with one program that measures all peers."""
  figures = {}
  for round_number in range(1, rounds + 1):
    say("%s: round %d of %d" % (group, round_number, rounds))
    # The peer "no metrics" is for rows of its own.
    text = output_of([binary, "--seconds=%g" % seconds])
    for row, by_name in parse_together(text, names, all_names=group != "rpc").items():
      for name, figure in by_name.items():
        figures.setdefault(row, {}).setdefault(name, []).append(figure)
  return figures


def measure_scale(binaries, names, quick):
  """Like measure(), for the group "scale"."""
  figures = {}
  for program in GROUPS["scale"]["tether"]:
    say("scale: " + program.rpartition(":")[2])
    text = output_of([binaries[program]] + (QUICK_SCALE[program] if quick else []))
    for row, by_name in parse_together(text, names, all_names=False).items():
      if row in figures:
        raise Failure("scale: two programs have the row %r" % (row,))
      figures[row] = {name: [figure] for name, figure in by_name.items()}
  return figures


def measure_instructions(binary, rounds):
  """Like measure(), for the group "instructions"."""
  figures = {}
  for round_number in range(1, rounds + 1):
    say("instructions: round %d of %d" % (round_number, rounds))
    for operation, by_name in instructions.rows(binary).items():
      for name, (value, allocations) in by_name.items():
        figures.setdefault((operation, 1), {}).setdefault(name, []).append(Figure(value, "instructions", allocations))
  return figures


def measure_load(binaries, rounds, seconds):
  """Like measure(), for the group "load". Returns also what happened over time in the last round, for plots.py."""
  hop, generator = GROUPS["load"]["tether"]
  programs = {"hop": binaries[hop], "generator": binaries[generator]}
  figures, series = {}, {}
  for round_number in range(1, rounds + 1):
    say("load: round %d of %d" % (round_number, rounds))
    found, series = load_of_chains.rows(programs, seconds, round_number, lambda text: say("load: " + text))
    for (operation, unit, worst), by_name in found.items():
      for name, value in by_name.items():
        figures.setdefault((operation, 1), {}).setdefault(name, []).append(Figure(value, unit, None, worst))
  return figures, series


def measure_sidecar(binaries, names, quick):
  """Like measure(), for the group "sidecar"."""
  programs = {program.rpartition(":")[2]: binaries[program] for program in GROUPS["sidecar"]["tether"]}
  peers = [name for name in names if name in INSTALLED]
  rounds, plan = (QUICK_SIDECAR, sidecar.QUICK) if quick else (FULL_SIDECAR, sidecar.FULL)
  figures = {}
  for round_number in range(1, rounds + 1):
    say("sidecar: round %d of %d" % (round_number, rounds))
    for (operation, unit), by_name in sidecar.rows(programs, peers, plan, round_number).items():
      for name, value in by_name.items():
        figures.setdefault((operation, 1), {}).setdefault(name, []).append(Figure(value, unit, None))
  return figures


def rounded(number, unit):
  """Rounds to four digits. No figure is more precise, except the number of instructions."""
  return round(number) if unit == "instructions" else float("%.4g" % number)


def of_rounds(figures):
  values = [f.value for f in figures]
  return rounded(max(values) if figures[0].worst else statistics.median(values), figures[0].unit)


def report(group, figures, machine, commit, date):
  """Returns the object that is written as JSON."""
  rows = []
  for (operation, threads), by_name in figures.items():
    own = by_name["tether"]
    allocations = [f.allocations for f in own if f.allocations is not None]
    rows.append({
        "operation": operation,
        "unit": own[0].unit,
        "tether": of_rounds(own),
        "peers": {name: of_rounds(by_name[name]) for name in by_name if name != "tether"},
        # Rounded, because occasional allocations (waking the timer thread) don't belong to the operation.
        "allocations": round(statistics.median(allocations)) if allocations else None,
        "threads": threads,
    })
  return {"group": group, "machine": machine, "date": date, "commit": commit, "rows": rows}


# Units of figures that are whole numbers, and whose rows say what they count.
COUNTS = ("requests", "threads")


def shown(value, unit):
  if value is None:
    return "-"
  number = "%.2f" % value if abs(value) < 10 else "%.1f" % value if abs(value) < 100 else "{:,.0f}".format(value)
  if unit == "bytes":
    return "{:,.0f} B".format(value)
  if unit == "instructions":
    return "{:,.0f}".format(value)
  if unit == "percent":
    return number + " %"
  if unit in COUNTS:
    return "{:,.0f}".format(value)
  return number + " " + unit


# Units of figures that are better if they are larger.
MORE_IS_BETTER = ("per second",)


def ratio(peer, own, digits=1, unit=None):
  """Returns how much better tether is: the peer's figure divided by tether's, or the reverse. "-" if there is no such ratio."""
  if unit in MORE_IS_BETTER:
    peer, own = own, peer
  if peer is None or own is None or peer < 0 or own <= 0:
    return "-"
  return "%.*f×" % (digits, peer / own) if peer / own < 10 else "{:,.0f}×".format(peer / own)


def table_of(result, peers):
  """Returns the report as lines of text. `peers` are the columns. Some columns may have no figures.

  Columns that say nothing are left out: one thread in each row, and allocations that no row has."""
  threads = any(row["threads"] != 1 for row in result["rows"])
  allocations = any(row["allocations"] is not None for row in result["rows"])
  lines = [["operation"] + ["threads"] * threads + ["tether"]]
  for peer in peers:
    lines[0] += [peer, "ratio"]
  lines[0] += ["allocations"] * allocations
  for row in result["rows"]:
    line = [row["operation"]] + [str(row["threads"])] * threads + [shown(row["tether"], row["unit"])]
    for peer in peers:
      value = row["peers"].get(peer)
      # For RPCs, the differences are a few percent, so show more digits.
      digits = {"us": 2, "instructions": 3}.get(row["unit"], 1)
      line += [shown(value, row["unit"]), ratio(value, row["tether"], digits, row["unit"])]
    if allocations:
      line.append("-" if row["allocations"] is None else str(row["allocations"]))
    lines.append(line)
  widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
  return ["  ".join(
      [line[0].ljust(widths[0])] + [cell.rjust(width) for cell, width in zip(line[1:], widths[1:])]) for line in lines]


def peers_of(group):
  """Returns the columns of the group's table."""
  return [name for name in GROUPS[group] if name != "tether"]


def describe_machine():
  """Returns the processor and its cores, but nothing that identifies the machine."""
  model = platform.machine()
  try:
    with open("/proc/cpuinfo", encoding="utf-8") as lines:
      for line in lines:
        if line.startswith("model name"):
          model = line.split(":", 1)[1].strip()
          break
  except OSError:
    pass
  return "%s, %d cores" % (model, os.cpu_count() or 1)


def describe_commit():
  """Returns the commit, with "-dirty" if a file differs from it. Figures don't count: measuring writes them."""
  try:
    commit = output_of(["git", "rev-parse", "HEAD"], cwd=ROOT).strip()
    changed = output_of(["git", "status", "--porcelain", "--", ".", ":(exclude)benchmarks/results"], cwd=ROOT)
    return commit + ("-dirty" if changed else "")
  except Failure:
    return "unknown"


def write_json(path, value, indent=2):
  os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
  with open(path, "w", encoding="utf-8") as file:
    json.dump(value, file, indent=indent, ensure_ascii=False)
    file.write("\n")


def json_path(group, path, quick, several):
  if path is None:
    return os.path.join(ROOT, "benchmarks", "results", group + (".quick" if quick else "") + ".json")
  return os.path.join(path, group + ".json") if several or os.path.isdir(path) else path


def choose(names):
  """Returns the groups from the command line, each once."""
  chosen = []
  for name in names:
    if name != "all" and name not in GROUPS:
      raise Failure("unknown group %r (known: %s, all)" % (name, ", ".join(GROUPS)))
    for group in GROUPS if name == "all" else [name]:
      if group not in chosen:
        chosen.append(group)
  return chosen


def install(groups):
  """Installs the peers, and callgrind. Returns {group: names that can be measured}."""
  if "instructions" in groups and subprocess.run(
      [os.path.join(ROOT, "tools", "setup.sh"), "instructions"], stdout=sys.stderr).returncode != 0:
    raise Failure("callgrind is missing (above)")
  wanted = {name for group in groups for name in GROUPS[group] if name in INSTALLED}
  for packages in sorted({INSTALLED[name][0] for name in wanted}):
    if subprocess.run([os.path.join(ROOT, "tools", "setup.sh"), packages], stdout=sys.stderr).returncode != 0:
      say("not everything could be installed (above)")
  absent = sorted(name for name in wanted if not os.path.exists(INSTALLED[name][1]))
  if absent:
    say("without %s, which could not be had" % " and ".join(absent))
  return {group: [name for name in GROUPS[group] if name not in absent] for group in groups}


def main(argv):
  parser = argparse.ArgumentParser(
      prog="bench.sh", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("groups", nargs="+", metavar="GROUP", help="%s or all" % ", ".join(GROUPS))
  parser.add_argument("--quick", action="store_true", help="finish in a minute")
  parser.add_argument("--json", metavar="PATH", help="where the figures go")
  parser.add_argument("--check", action="store_true", help="compare with the recorded figures")
  args = parser.parse_args(argv)
  groups = choose(args.groups)
  if args.check and groups != ["instructions"]:
    raise Failure("--check is for the group instructions")
  names = install(groups)
  binaries = build(groups, names)
  if args.check:
    binary = binaries[GROUPS["instructions"]["tether"][0]]
    with open(json_path("instructions", None, False, False), encoding="utf-8") as file:
      return instructions.check(lambda: instructions.rows(binary), json.load(file)["rows"])
  load_average = os.getloadavg()[0]
  if load_average > 0.5:
    say("the machine is busy (load %.1f): expect noise" % load_average)
  for group in groups:
    binary = binaries[GROUPS[group]["tether"][0]]
    series = None
    if group == "load":
      figures, series = measure_load(binaries, *(QUICK_LOAD if args.quick else FULL_LOAD))
    elif group == "sidecar":
      figures = measure_sidecar(binaries, names[group], args.quick)
    elif group == "scale":
      figures = measure_scale(binaries, names[group], args.quick)
    elif group == "instructions":
      figures = measure_instructions(binary, QUICK_INSTRUCTIONS if args.quick else FULL_INSTRUCTIONS)
    elif TOGETHER in GROUPS[group].values():
      figures = measure_together(group, binary, names[group], *(QUICK_TOGETHER if args.quick else FULL_TOGETHER))
    else:
      figures = measure(group, load(group, names, binaries), *(QUICK if args.quick else FULL))
    date = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    result = report(group, figures, describe_machine(), describe_commit(), date)
    path = json_path(group, args.json, args.quick, len(groups) > 1)
    write_json(path, result)
    if series is not None:
      write_json(path.replace(".json", "") + ".series.json", {"date": date, "commit": result["commit"], "series": series}, None)
    print("\n".join(table_of(result, peers_of(group))), flush=True)
    say("figures written to " + path)
  return 0


if __name__ == "__main__":
  try:
    sys.exit(main(sys.argv[1:]))
  except Failure as failure:
    say(str(failure))
    sys.exit(1)
  except KeyboardInterrupt:
    sys.exit(130)
