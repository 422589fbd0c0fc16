#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the demo with real processes, and checks its output.

  demo_test.py DEMO
"""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import unittest

DEMO = ""
TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
SERVICES = ["storefront", "orders", "inventory"]
SLOW = ["--inventory_delay=5s", "--inventory_timeout=10s"]
# Long enough for a busy machine.
QUICK = ["--deadline=10s", "--inventory_timeout=5s"]


def services_folder():
  return os.path.dirname(os.path.dirname(os.path.realpath(DEMO)))


def running():
  """The running processes of the demo's programs: {pid: name}."""
  found = {}
  for pid in filter(str.isdigit, os.listdir("/proc")):
    try:
      program = os.readlink("/proc/%s/exe" % pid)
      with open("/proc/%s/stat" % pid, encoding="utf-8") as stat:
        state = stat.read().rpartition(")")[2].split()[0]
    except OSError:
      continue  # ended meanwhile, or not ours
    if program.startswith(services_folder() + "/") and state != "Z":
      found[int(pid)] = os.path.basename(program)
  return found


class DemoTest(unittest.TestCase):

  def setUp(self):
    self.before = running()

  def tearDown(self):
    self.assertEqual(self.new_processes(), {}, "left behind")

  def new_processes(self):
    return {p: n for p, n in running().items() if p not in self.before}

  def wait_for(self, condition):
    end = time.monotonic() + 20
    while not condition():
      self.assertLess(time.monotonic(), end, "waited in vain")
      time.sleep(0.01)

  def run_demo(self, *flags):
    return subprocess.run([DEMO] + list(flags), stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=60, check=False)

  def result_of(self, *flags):
    """The JSON object of a successful run."""
    run = self.run_demo("--json", *flags)
    self.assertEqual(run.returncode, 0, run)
    result = json.loads(run.stdout.splitlines()[-1])
    for hop in result["hops"]:
      self.assertEqual(hop["trace_id"], result["trace_id"])
      self.assertRegex(hop["request_id"], "^demo-[0-9a-f]{16}$")
      self.assertEqual(hop["request_id"], result["hops"][0]["request_id"])
    left = [h["remaining_ms_on_arrival"] for h in result["hops"]]
    self.assertEqual(left, sorted(left, reverse=True))
    return result

  def outcomes(self, result):
    return [(h["service"], h["outcome"]) for h in result["hops"]]

  def test_three_hops_of_one_trace(self):
    result = self.result_of("--trace_id=" + TRACE_ID, *QUICK)
    self.assertEqual(self.outcomes(result), [(s, "ok") for s in SERVICES])
    self.assertEqual(result["trace_id"], TRACE_ID)
    self.assertEqual(result["status_code"], 0)
    self.assertIs(result["fallback"], False)
    self.assertLess(result["elapsed_ms"], 1000)

  def test_the_waterfall_is_for_people(self):
    run = self.run_demo("--trace_id=" + TRACE_ID, *QUICK)
    self.assertEqual((run.returncode, run.stderr), (0, ""))
    lines = run.stdout.splitlines()
    self.assertIn(TRACE_ID, lines[0])
    self.assertEqual([line.split(".")[0].strip() for line in lines[2:5]], SERVICES)
    self.assertIn("█ its own time", lines[5])
    self.assertEqual(lines[6], "Every hop answered in time: 42 in stock.")
    self.assertLessEqual(max(map(len, lines)), 100)
    self.assertNotIn("\x1b", run.stdout)

  def test_help_lists_the_flags(self):
    text = self.run_demo("--help").stdout
    for flag in ("deadline", "inventory_delay", "inventory_timeout", "cancel_after", "fallback", "track", "trace_id",
                 "json", "html"):
      self.assertIn("--%s (" % flag, text)

  def test_the_page_has_a_row_for_each_hop(self):
    for flags, sentence in ((QUICK, "Every hop answered in time: 42 in stock."),
                            (["--cancel_after=100ms"] + SLOW, "The client left after 100ms, and every hop stopped.")):
      with self.subTest(flags), tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "page.html")
        result = self.result_of("--html=" + path, "--trace_id=" + TRACE_ID, *flags)
        with open(path, encoding="utf-8") as file:
          page = file.read()
        self.assertEqual(re.findall(r'rowheader" scope="row">(\w+)<', page), SERVICES)
        self.assertIn("%.1f ms" % result["elapsed_ms"], page)
        self.assertIn(sentence, page)
        self.assertIn(TRACE_ID, page)

  def test_a_page_that_cannot_be_written_is_an_error(self):
    run = self.run_demo("--html=/nowhere/page.html", *QUICK)
    self.assertEqual(run.returncode, 1)
    self.assertIn("Every hop answered", run.stdout)
    self.assertEqual(run.stderr, "ERROR: can't write --html=/nowhere/page.html: No such file or directory\n")

  def test_traces_differ(self):
    self.assertNotEqual(self.result_of()["trace_id"], self.result_of()["trace_id"])

  def test_slow_inventory_gives_default_stock(self):
    result = self.result_of("--inventory_delay=5s", "--inventory_timeout=400ms", "--deadline=2s")
    self.assertEqual(result["status_code"], 0)
    self.assertIs(result["fallback"], True)
    self.assertEqual(self.outcomes(result),
                     [("storefront", "ok"), ("orders", "ok"), ("inventory", "deadline_exceeded")])
    self.assertLess(result["elapsed_ms"], 1000)

  def test_without_fallback_the_error_goes_up(self):
    result = self.result_of("--inventory_delay=5s", "--inventory_timeout=400ms", "--deadline=2s", "--nofallback")
    self.assertEqual(result["status_code"], 4)
    self.assertEqual(self.outcomes(result), [(s, "deadline_exceeded") for s in SERVICES])
    self.assertLess(result["elapsed_ms"], 1000)

  def test_the_deadline_stops_every_hop(self):
    result = self.result_of("--nofallback", "--deadline=1s", *SLOW)
    self.assertEqual(result["status_code"], 4)
    self.assertEqual(self.outcomes(result), [(s, "deadline_exceeded") for s in SERVICES])
    # Each hop reserves a few percent of its time for its own reply.
    self.assertGreaterEqual(result["elapsed_ms"], 850)
    self.assertLess(result["elapsed_ms"], 1200)
    self.assertRegex(result["status_message"], r"deadline exceeded: .*, of which inventory\.GetStock \d+ms")
    for hop in result["hops"]:
      self.assertLessEqual(hop["remaining_ms_on_arrival"], 1000)
      self.assertLess(hop["elapsed_ms"], 1200)

  def test_the_client_that_leaves_stops_every_hop(self):
    result = self.result_of("--cancel_after=100ms", *SLOW)
    self.assertEqual(result["status_code"], 1)
    self.assertEqual(self.outcomes(result), [(s, "cancelled") for s in SERVICES])
    self.assertLess(result["elapsed_ms"], 250)
    for hop in result["hops"]:
      self.assertLess(hop["elapsed_ms"], 250)

  def test_a_deadline_too_short_to_send_anything(self):
    result = self.result_of("--deadline=1ns")
    self.assertEqual(result["status_code"], 4)
    self.assertEqual(result["hops"], [])

  def test_the_stream_ends_when_the_client_leaves(self):
    run = self.run_demo("--track", "--cancel_after=1500ms", "--json")
    self.assertEqual(run.returncode, 0, run)
    self.assertEqual(len([l for l in run.stdout.splitlines() if l.startswith("courier")]), 2)
    result = json.loads(run.stdout.splitlines()[-1])
    self.assertEqual(result["status_code"], 1)
    self.assertEqual(result["positions"], 2)
    self.assertEqual(self.outcomes(result), [("storefront", "cancelled"), ("orders", "cancelled")])
    self.assertLess(result["elapsed_ms"], 1800)

  def test_positions_come_while_the_stream_runs(self):
    with subprocess.Popen([DEMO, "--track"], stdout=subprocess.PIPE, text=True) as demo:
      self.assertIn("courier   1", demo.stdout.readline())
      self.assertIsNone(demo.poll())
      demo.send_signal(signal.SIGINT)
      rest = demo.stdout.read()
      self.assertEqual(demo.wait(20), 128 + signal.SIGINT)
    self.assertIn("every hop stopped", rest)

  def test_nothing_survives_a_killed_demo(self):
    with subprocess.Popen([DEMO, "--track"], stdout=subprocess.PIPE, text=True) as demo:
      demo.stdout.readline()
      self.assertEqual(sorted(self.new_processes().values()), sorted(SERVICES + ["demo"]))
      demo.kill()
    self.wait_for(lambda: not self.new_processes())

  def test_bad_flags_get_one_line(self):
    for flag in [
        "--deadline=soon", "--deadline=200", "--deadline=-1s", "--deadline=0", "--deadline=inf", "--deadline=9999h",
        "--inventory_delay=x", "--inventory_delay=-1ms", "--inventory_timeout=0s", "--cancel_after=-5ms",
        "--cancel_after=nan", "--trace_id=abc", "--trace_id=" + TRACE_ID.upper(), "--trace_id=" + 32 * "0",
        "--nofallback=5", "--json=maybe", "--no_such_flag", "--no_such_flag=1", "--deadline", "stray", ["--deadline=soon", "--cancel_after=later"]
    ]:
      flags = [flag] if isinstance(flag, str) else flag
      with self.subTest(flags):
        run = self.run_demo(*flags)
        self.assertIn(run.returncode, (1, 2))
        self.assertEqual(run.stdout, "")
        self.assertEqual(len(run.stderr.splitlines()), 1, run.stderr)
        name = flags[0].lstrip("-").split("=")[0]
        self.assertIn("fallback" if name == "nofallback" else name, run.stderr)


if __name__ == "__main__":
  DEMO = sys.argv.pop(1)
  unittest.main()
