#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tests sidecar.py: what it reads off processes, and a moment of load on the real ones. nginx and nghttpx are left out where
they are not installed (tools/setup.sh proxy).

  sidecar_test.py PROGRAM...
"""

import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import sidecar  # noqa: E402

BINARIES = {}
PEERS = [name for name, path in (("nginx", sidecar.NGINX), ("nghttpx", sidecar.NGHTTPX)) if os.path.exists(path)]


class ProcessesTest(unittest.TestCase):
  def run_python(self, script):
    process = subprocess.Popen([sys.executable, "-c", "import subprocess, sys, time\n" + script], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               universal_newlines=True)
    self.addCleanup(lambda: (process.stdin.close(), process.wait(), process.stdout.close()))
    self.assertEqual(process.stdout.readline(), "ready\n")
    return process.pid

  def test_the_cpu_time_is_that_of_children_too(self):
    busy = "import sys, time\nwhile time.process_time() < 0.3: pass\nprint('ready', flush=True)\nsys.stdin.read()"
    pid = self.run_python("subprocess.run([sys.executable, '-c', %r])" % busy)
    pids = sidecar.with_children(pid)
    self.assertEqual((pids[0], len(pids)), (pid, 2))
    self.assertGreaterEqual(sidecar.cpu_s(pids), 0.3)
    self.assertLess(sidecar.cpu_s(pids[:1]), 0.25)  # it only waits

  def test_resident_memory(self):
    idle = sidecar.resident_bytes([self.run_python("print('ready', flush=True)\nsys.stdin.read()")])
    full = sidecar.resident_bytes([self.run_python("x = b'x' * 50000000\nprint('ready', flush=True)\nsys.stdin.read()")])
    self.assertAlmostEqual((full - idle) / 50e6, 1, delta=0.1)


class FiguresTest(unittest.TestCase):
  def test_the_sidecar_has_a_row_for_each_side(self):
    figures = sidecar.Figures()
    for side in ("ingress", "egress"):
      figures.add("p50, " + side, "us", {"direct": 1.0, "ingress": 2.0, "egress": 3.0}, side)
    self.assertEqual(figures, {("p50, ingress", "us"): {"direct": 1.0, "tether": 2.0},
                               ("p50, egress", "us"): {"direct": 1.0, "tether": 3.0}})

  def test_a_turn(self):
    turn = sidecar.Turn(100, reversed(range(100)), 0.001, 4.0)
    self.assertEqual([turn.quantile_us(part) for part in (0.5, 0.99, 0.999)], [50, 99, 99])
    self.assertEqual((turn.cpu_us(), turn.per_second()), (10.0, 25.0))

  def fake(self, name, function):
    self.addCleanup(setattr, sidecar, name, getattr(sidecar, name))
    setattr(sidecar, name, function)

  def test_each_way_has_its_turn_at_each_place(self):
    turns = []
    self.fake("take_turn", lambda binaries, way, rate, seconds, seed: turns.append(way))
    sidecar.take_turns(None, {"a": "a", "b": "b", "c": "c"}, 400, 1.0, 3, 1)
    self.assertEqual(["".join(turns[i:i + 3]) for i in (0, 3, 6)], ["abc", "acb", "cab"])

  def test_rows_of_calls(self):
    self.fake("clients", lambda *args: None)
    numbers = iter(range(1, 100))

    def take_turn(binaries, way, rate, seconds, seed):
      number = next(numbers) if way == "ingress" else 7
      return sidecar.Turn(1, [number] if rate else [], number / 1e6, seconds)

    self.fake("take_turn", take_turn)
    figures = sidecar.Figures()
    plan = sidecar.Plan(rates=(400, 2000), turns=3, seconds=2.0, short=0.5, streams=(), held=0)
    sidecar.add_calls(figures, None, {name: name for name in ("direct", "nginx", "ingress")}, ("ingress",), plan, 1)
    self.assertEqual(figures, {
        ("p50 at 400/s, ingress", "us"): {"direct": 7, "nginx": 7, "tether": 2},
        ("p99 at 400/s, ingress", "us"): {"direct": 7, "nginx": 7, "tether": 2},
        ("p99.9 at 400/s, ingress", "us"): {"direct": 7, "nginx": 7, "tether": 2},
        ("cpu of a call at 400/s, ingress", "us"): {"nginx": 7, "tether": 2},
        ("cpu of a call at 2000/s, ingress", "us"): {"nginx": 7, "tether": 5},
        ("cpu of a call, saturated, ingress", "us"): {"nginx": 7, "tether": 8},
        ("answers, saturated, ingress", "per second"): {"direct": 2, "nginx": 2, "tether": 2},
    })


class WaysTest(unittest.TestCase):
  """A moment of load. The figures mean nothing."""

  def served(self, ways, way, rate):
    """Returns how many calls the clients have counted, and how many the leaf."""
    before = ways.leaf.report()["served"]
    turn = sidecar.take_turn(BINARIES, way, rate, 0.3, 1)
    if way.pids:
      self.assertGreater(turn.cpu_us(), 0)
    return turn.calls, ways.leaf.report()["served"] - before

  def check_calls(self, ways, by_name):
    for name, way in by_name.items():
      with self.subTest(way=name):
        counted, served = self.served(ways, way, 200)
        self.assertGreater(counted, 10)
        self.assertEqual(served, counted + 1)  # the first one connects, and doesn't count
        counted, served = self.served(ways, way, None)
        self.assertGreater(counted, 10)
        self.assertGreaterEqual(served, counted)

  def test_one_proxy(self):
    with sidecar.Ways(BINARIES, PEERS) as ways:
      by_name = ways.one_proxy()
      self.assertEqual(list(by_name), ["direct"] + PEERS + ["ingress", "egress"])
      self.check_calls(ways, by_name)
      # The egress uses memory that the ingress has freed.
      for name in PEERS + ["ingress"]:
        with self.subTest(way=name):
          self.assertGreater(sidecar.stream_bytes(BINARIES, by_name[name], 300), 100)

  def test_in_and_out(self):
    with sidecar.Ways(BINARIES, PEERS) as ways:
      by_name = ways.in_and_out()
      self.assertEqual(list(by_name), ["direct"] + PEERS + ["in and out"])
      self.check_calls(ways, by_name)
      for name, way in by_name.items():
        with self.subTest(way=name):
          sidecar.in_flight(BINARIES, ways.leaf, way, 200, name == "in and out")
      # A call that isn't correlated doesn't pass for one that is.
      with self.assertRaisesRegex(sidecar.Failure, "calls with a deadline: 0, not 100"):
        sidecar.in_flight(BINARIES, ways.leaf, by_name["direct"], 100, True)

  def test_calls_that_fail_give_no_figures(self):
    with sidecar.Ways(BINARIES, []) as ways:
      way = sidecar.Way(sidecar.free_address(), [])
      with self.assertRaisesRegex(sidecar.Failure, "exit code"):
        sidecar.clients(BINARIES, way, 0.1, ["--nonsense"])
      app = ways.one_proxy()["direct"]
      with self.assertRaisesRegex(sidecar.Failure, "requests failed, one with code 4"):
        sidecar.take_turn(dict(BINARIES, generator_main=self.slow_clients()), app, 100, 0.2, 1)

  def slow_clients(self):
    """Clients whose deadline has passed when they call."""
    path = os.path.join(os.environ.get("TEST_TMPDIR", "/tmp"), "slow_clients.%d" % os.getpid())
    with open(path, "w", encoding="utf-8") as file:
      file.write("#!/bin/bash\nexec %r \"$@\" --timeout=-1s\n" % BINARIES["generator_main"])
    os.chmod(path, 0o755)
    self.addCleanup(os.remove, path)
    return path


if __name__ == "__main__":
  BINARIES = {os.path.basename(path): os.path.abspath(path) for path in sys.argv[1:]}
  unittest.main(argv=sys.argv[:1])
