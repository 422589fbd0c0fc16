#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tests run.py: its input, its output, and its calls of the programs. Nothing is built or measured."""

import contextlib
import io
import json
import os
import stat
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import run  # noqa: E402

GOOGLE = json.dumps({
    "context": {"host_name": "secret"},
    "benchmarks": [
        {"name": "child: create", "real_time": 2.0, "cpu_time": 1.0, "time_unit": "us", "allocations": 1.0},
        {"name": "child: create/real_time/threads:2", "real_time": 90.5, "time_unit": "ns", "allocations": 1.01},
        {"name": "memory of a child", "real_time": 0.1, "time_unit": "ns", "bytes": 128.0},
    ],
})
GO = """goos: linux
cpu: Some Processor
BenchmarkContext/child:_create-2         \t  826387\t       150.4 ns/op\t      96 B/op\t       2 allocs/op
BenchmarkContext/child:_create@2-2       \t  761527\t       151.2 ns/op\t      96 B/op\t       2 allocs/op
BenchmarkContext/look_up:_miss,_10-deep-2\t       1\t 254766374 ns/op\t       107.6 bytes\t 8 B/op\t  3 allocs/op
PASS
"""


def figures(value, unit="ns", allocations=None):
  return [run.Figure(v, unit, allocations) for v in value]


class ParseTest(unittest.TestCase):
  def test_google(self):
    found = run.parse_google(GOOGLE)
    self.assertEqual(list(found), [("child: create", 1), ("child: create", 2), ("memory of a child", 1)])
    self.assertEqual([f.value for f in found.values()], [2000.0, 90.5, 128.0])
    self.assertEqual([f.unit for f in found.values()], ["ns", "ns", "bytes"])
    self.assertEqual(found["child: create", 1].allocations, 1.0)

  def test_a_failed_benchmark_is_no_figure(self):
    text = json.dumps({"benchmarks": [{"name": "x", "error_occurred": True, "error_message": "found nothing"}]})
    with self.assertRaisesRegex(run.Failure, "x: found nothing"):
      run.parse_google(text)

  def test_go(self):
    found = run.parse_go(GO)
    self.assertEqual(
        {row: (f.value, f.unit, f.allocations) for row, f in found.items()},
        {("child:_create", 1): (150.4, "ns", 2.0),
         ("child:_create", 2): (151.2, "ns", 2.0),
         ("look_up:_miss,_10-deep", 1): (107.6, "bytes", 3.0)})

  def test_go_on_one_processor_names_no_number(self):
    self.assertEqual(list(run.parse_go("BenchmarkContext/a_b \t 10\t 5 ns/op\n")), [("a_b", 1)])


class ProgramTest(unittest.TestCase):
  """Tests with fake programs."""

  def program(self, script):
    folder = tempfile.TemporaryDirectory()
    self.addCleanup(folder.cleanup)
    path = os.path.join(folder.name, "program")
    with open(path, "w", encoding="utf-8") as file:
      file.write("#!/bin/bash\n" + script)
    os.chmod(path, os.stat(path).st_mode | stat.S_IXUSR)
    return path

  def test_google_is_asked_for_one_row(self):
    path = self.program("""
case " $* " in
  *" --benchmark_list_tests "*) printf 'a b\\na b/real_time/threads:2\\n' ;;
  *" --benchmark_filter=^a b/real_time/threads:2$ "*)
    echo '{"benchmarks": [{"name": "a b/real_time/threads:2", "real_time": 7, "time_unit": "ns"}]}' ;;
  *) echo '{"benchmarks": []}' ;;
esac""")
    program = run.GoogleProgram(path)
    self.assertEqual(program.rows(), [("a b", 1), ("a b", 2)])
    self.assertEqual(program.measure(("a b", 2), 0.1).value, 7)
    with self.assertRaisesRegex(run.Failure, "no figure"):
      program.measure(("a b", 1), 0.1)

  def test_a_name_must_be_plain(self):
    with self.assertRaisesRegex(run.Failure, "regular expression"):
      run.GoogleProgram(self.program("echo 'what (now)'"))

  def test_go_rows_get_their_blanks_back(self):
    path = self.program("""
case " $* " in
  *" -test.bench=. "*) printf 'BenchmarkContext/a_b-2 1 5 ns/op\\nBenchmarkContext/a_b@2-2 1 5 ns/op\\n' ;;
  *" -test.bench=/^a_b@2$ "*) printf 'BenchmarkContext/a_b@2-2 1 9 ns/op\\n' ;;
esac""")
    program = run.GoProgram(path, [("a b", 1), ("a b", 2), ("other", 1)])
    self.assertEqual(program.rows(), [("a b", 1), ("a b", 2)])
    self.assertEqual(program.measure(("a b", 2), 0.1).value, 9)

  def test_a_program_that_fails_shows_why(self):
    with self.assertRaisesRegex(run.Failure, "exit code 3(.|\n)*oh no"):
      run.output_of([self.program("echo oh no >&2; exit 3")])


class FakeProgram:
  def __init__(self, values):
    self.values = dict(values)  # row -> figures not returned yet

  def measure(self, row, seconds):
    return run.Figure(self.values[row].pop(0), "ns", None)


class MeasureTest(unittest.TestCase):
  def test_each_round_measures_each_row_where_it_is(self):
    a, b = ("a", 1), ("b", 1)
    tether = FakeProgram({a: [1, 2, 3], b: [4, 5, 6]})
    peer = FakeProgram({a: [7, 8, 9]})
    with contextlib.redirect_stderr(io.StringIO()):
      found = run.measure("context", {"tether": {a: tether, b: tether}, "go": {a: peer}}, 3, 0.1)
    self.assertEqual([f.value for f in found[a]["go"]], [7, 8, 9])
    self.assertEqual([f.value for f in found[b]["tether"]], [4, 5, 6])
    self.assertEqual(list(found[b]), ["tether"])


class TogetherTest(unittest.TestCase):
  TEXT = json.dumps({"rows": [
      {"operation": "cpu unary", "unit": "us", "tether": 90.5, "peers": {"plain grpc": 88.0}, "allocations": 12.2}]})

  def test_rows(self):
    found = run.parse_together(self.TEXT, ["tether", "plain grpc"])
    self.assertEqual(list(found), [("cpu unary", 1)])
    own, peer = (found["cpu unary", 1][name] for name in ("tether", "plain grpc"))
    self.assertEqual((own.value, own.unit, own.allocations), (90.5, "us", 12.2))
    self.assertEqual((peer.value, peer.unit, peer.allocations), (88.0, "us", None))

  def test_of_a_worst_figure_the_worst_of_the_rounds_is_taken(self):
    rows = [{"operation": "drift", "unit": "ms", "tether": -2.0, "peers": {"plain grpc": 12.0}, "worst": worst}
            for worst in (False, True)]
    rows[1]["operation"] = "drift worst"
    with tempfile.TemporaryDirectory() as folder:
      path = os.path.join(folder, "program")
      with open(path, "w", encoding="utf-8") as file:
        # The second run has different figures.
        file.write("#!/bin/bash\nfirst='%s'\n[ -e '%s' ] && first=${first//-2.0/-1.0}\ntouch '%s'\necho \"$first\"\n" % (
            json.dumps({"rows": rows}), path + ".second", path + ".second"))
      os.chmod(path, os.stat(path).st_mode | stat.S_IXUSR)
      with contextlib.redirect_stderr(io.StringIO()):
        found = run.measure_together("drift", path, ["tether", "plain grpc"], 2, 1)
    result = run.report("drift", found, "m", "c", "d")
    self.assertEqual([row["tether"] for row in result["rows"]], [-1.5, -1.0])
    self.assertEqual([row["peers"]["plain grpc"] for row in result["rows"]], [12.0, 12.0])

  def test_no_peer_may_be_missing(self):
    with self.assertRaisesRegex(run.Failure, "'cpu unary' has figures of plain grpc, tether"):
      run.parse_together(self.TEXT, ["tether", "plain grpc", "empty interceptor"])

  def test_each_round_is_a_run(self):
    with tempfile.TemporaryDirectory() as folder:
      path = os.path.join(folder, "program")
      with open(path, "w", encoding="utf-8") as file:
        file.write("#!/bin/bash\n[ \"$*\" = --seconds=2 ] && echo '%s'\n" % self.TEXT)
      os.chmod(path, os.stat(path).st_mode | stat.S_IXUSR)
      with contextlib.redirect_stderr(io.StringIO()):
        found = run.measure_together("rpc", path, ["tether", "plain grpc"], 3, 2)
    self.assertEqual([f.value for f in found["cpu unary", 1]["plain grpc"]], [88.0, 88.0, 88.0])
    result = run.report("rpc", found, "m", "c", "d")
    self.assertEqual(result["rows"], [
        {"operation": "cpu unary", "unit": "us", "tether": 90.5, "peers": {"plain grpc": 88.0}, "allocations": 12,
         "threads": 1}])
    self.assertEqual(run.table_of(result, ["plain grpc"])[1].split(),
                     ["cpu", "unary", "90.5", "us", "88.0", "us", "0.97×", "12"])


class ScaleTest(unittest.TestCase):
  ROWS = [{"operation": "latest", "unit": "us", "tether": 5.0, "peers": {"no requests": 4.0}},
          {"operation": "share", "unit": "percent", "tether": 0.25, "peers": {}}]

  def measure(self, *rows_of_programs, quick=False):
    """Returns the figures of a group of fake programs, and the options that each got."""
    before = run.GROUPS, run.QUICK_SCALE, run.output_of
    self.addCleanup(lambda: [setattr(run, name, value) for name, value in zip(("GROUPS", "QUICK_SCALE", "output_of"), before)])
    programs = ["//benchmarks:%d" % i for i in range(len(rows_of_programs))]
    run.GROUPS = {"scale": {"tether": programs}}
    run.QUICK_SCALE = {program: ["--quick-of=" + program] for program in programs}
    binaries = {program: "bin" + program for program in programs}
    outputs = {"bin" + program: json.dumps({"rows": rows}) for program, rows in zip(programs, rows_of_programs)}
    commands = []
    run.output_of = lambda command: commands.append(command) or outputs[command[0]]
    with contextlib.redirect_stderr(io.StringIO()):
      found = run.measure_scale(binaries, ["tether", "plain grpc", "no requests"], quick)
    return found, [command[1:] for command in commands]

  def test_each_program_runs_once_and_rows_need_no_peers(self):
    found, options = self.measure(self.ROWS[:1], self.ROWS[1:])
    self.assertEqual(options, [[], []])
    self.assertEqual([(row, list(by_name)) for row, by_name in found.items()],
                     [(("latest", 1), ["tether", "no requests"]), (("share", 1), ["tether"])])
    table = run.table_of(run.report("scale", found, "m", "c", "d"), ["plain grpc", "no requests"])
    self.assertEqual(table[1].split(), ["latest", "5.00", "us", "-", "-", "4.00", "us", "0.80×"])
    self.assertEqual(table[2].split(), ["share", "0.25", "%", "-", "-", "-", "-"])

  def test_quick_measures_less(self):
    self.assertEqual(self.measure(self.ROWS, quick=True)[1], [["--quick-of=//benchmarks:0"]])

  def test_each_program_has_quick_options(self):
    self.assertEqual(sorted(run.QUICK_SCALE), sorted(run.GROUPS["scale"]["tether"]))

  def test_a_row_has_one_program_and_known_peers(self):
    with self.assertRaisesRegex(run.Failure, "two programs have the row .'share'"):
      self.measure(self.ROWS, self.ROWS[1:])
    with self.assertRaisesRegex(run.Failure, "'latest' has figures of other"):
      self.measure([dict(self.ROWS[0], peers={"other": 1.0})])


class InstructionsTest(unittest.TestCase):
  def measure(self, *rounds):
    before = run.instructions.rows
    self.addCleanup(lambda: setattr(run.instructions, "rows", before))
    left = [{"unary": {"tether": (own, 20.4), "plain grpc": (plain, None)}} for own, plain in rounds]
    run.instructions.rows = lambda binary: left.pop(0)
    with contextlib.redirect_stderr(io.StringIO()):
      return run.measure_instructions("program", len(rounds))

  def test_a_figure_is_the_median_of_the_rounds_to_the_last_instruction(self):
    result = run.report("instructions", self.measure((171234, 143210), (171232, 143211), (171299, 143299)), "m", "c", "d")
    self.assertEqual(result["rows"], [
        {"operation": "unary", "unit": "instructions", "tether": 171234, "peers": {"plain grpc": 143211},
         "allocations": 20, "threads": 1}])
    self.assertEqual(run.table_of(result, ["plain grpc"])[1].split(),
                     ["unary", "171,234", "143,211", "0.836×", "20"])

  def test_only_instructions_are_checked(self):
    with self.assertRaisesRegex(run.Failure, "--check is for the group instructions"):
      run.main(["rpc", "--check"])

  def test_callgrind_is_needed(self):
    before = run.subprocess.run
    self.addCleanup(lambda: setattr(run.subprocess, "run", before))
    run.subprocess.run = lambda command, **kwargs: type("Result", (), {"returncode": command[-1] == "instructions"})()
    with self.assertRaisesRegex(run.Failure, "callgrind is missing"):
      run.install(["instructions"])
    run.install(["context"])


class ReportTest(unittest.TestCase):
  def setUp(self):
    self.result = run.report("context", {
        ("child: create", 2): {
            "tether": figures([50.0, 1000.0, 40.0], allocations=1.004), "go": figures([100, 400, 500])},
        ("memory of a child", 1): {"tether": figures([128.0], "bytes")},
    }, "Some Processor, 2 cores", "abc", "2024-01-02T03:04:05Z")

  def test_form(self):
    self.assertEqual(self.result, {
        "group": "context",
        "machine": "Some Processor, 2 cores",
        "date": "2024-01-02T03:04:05Z",
        "commit": "abc",
        "rows": [
            {"operation": "child: create", "unit": "ns", "tether": 50.0, "peers": {"go": 400.0}, "allocations": 1,
             "threads": 2},
            {"operation": "memory of a child", "unit": "bytes", "tether": 128.0, "peers": {}, "allocations": None,
             "threads": 1},
        ],
    })

  def test_table(self):
    lines = run.table_of(self.result, ["stop_token", "go"])
    self.assertEqual(
        [line.split() for line in lines],
        [["operation", "threads", "tether", "stop_token", "ratio", "go", "ratio", "allocations"],
         ["child:", "create", "2", "50.0", "ns", "-", "-", "400", "ns", "8.0×", "1"],
         ["memory", "of", "a", "child", "1", "128", "B", "-", "-", "-", "-", "-"]])
    self.assertEqual(len({len(line) for line in lines}), 1)

  def test_columns_that_say_nothing_are_left_out(self):
    self.result["rows"] = [dict(self.result["rows"][1], unit="percent", peers={"go": 40.0})]
    self.assertEqual([line.split() for line in run.table_of(self.result, ["go"])],
                     [["operation", "tether", "go", "ratio"], ["memory", "of", "a", "child", "128", "%", "40.0", "%", "0.3×"]])

  def test_more_answers_are_better(self):
    self.assertEqual(run.ratio(50, 100, unit="per second"), "2.0×")
    self.assertEqual(run.ratio(0, 100, unit="per second"), "-")
    self.assertEqual(run.ratio(50, 100, unit="ms"), "0.5×")

  def test_no_ratio_to_nothing(self):
    self.assertEqual(run.ratio(5.0, 0), "-")
    self.assertEqual(run.ratio(None, 5.0), "-")
    self.assertEqual(run.ratio(5.0, 2.0), "2.5×")
    self.assertEqual(run.ratio(2500.0, 2.0), "1,250×")

  def test_figures_with_signs(self):
    self.assertEqual(run.ratio(2.0, -1.0), "-")
    self.assertEqual(run.ratio(-2.0, 1.0), "-")
    self.assertEqual([run.shown(v, "ms") for v in (-0.5, -59.94, -400.4)], ["-0.50 ms", "-59.9 ms", "-400 ms"])

  def test_the_machine_has_no_name(self):
    name = os.uname().nodename
    self.assertTrue(run.describe_machine().endswith(" cores"))
    self.assertFalse(len(name) > 3 and name in run.describe_machine())


class CommandLineTest(unittest.TestCase):
  def test_groups(self):
    self.assertEqual(run.choose(["context", "context"]), ["context"])
    self.assertEqual(run.choose(["all"]), list(run.GROUPS))
    with self.assertRaisesRegex(run.Failure, "unknown group 'nope'.*context"):
      run.choose(["nope"])

  def test_each_group_measures_tether(self):
    for group in run.GROUPS.values():
      self.assertEqual(list(group)[0], "tether")

  def test_where_the_figures_go(self):
    results = os.path.join(run.ROOT, "benchmarks", "results")
    self.assertEqual(run.json_path("g", None, False, True), os.path.join(results, "g.json"))
    self.assertEqual(run.json_path("g", None, True, False), os.path.join(results, "g.quick.json"))
    self.assertEqual(run.json_path("g", "x.json", False, False), "x.json")
    self.assertEqual(run.json_path("g", "x", False, True), os.path.join("x", "g.json"))
    with tempfile.TemporaryDirectory() as folder:
      self.assertEqual(run.json_path("g", folder, False, False), os.path.join(folder, "g.json"))
      path = os.path.join(folder, "new", "g.json")
      run.write_json(path, {"×": 1})
      with open(path, encoding="utf-8") as file:
        self.assertEqual(json.load(file), {"×": 1})


class MissingPeerTest(unittest.TestCase):
  def test_is_left_out(self):
    before = run.INSTALLED, run.subprocess.run
    self.addCleanup(lambda: (setattr(run, "INSTALLED", before[0]), setattr(run.subprocess, "run", before[1])))
    run.INSTALLED = {"go": ("bench", "/nonexistent/go"), "opentelemetry": ("bench", "/")}
    run.subprocess.run = lambda *args, **kwargs: type("Result", (), {"returncode": 1})()
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
      names = run.install(["context"])
    self.assertEqual(names, {"context": ["tether", "stop_token", "opentelemetry"]})
    self.assertIn("without go", said.getvalue())


if __name__ == "__main__":
  unittest.main()
