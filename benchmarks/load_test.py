#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tests load.py: what it reads off a run, and a moment of load on the real processes.

  load_test.py HOP GENERATOR
"""

import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import load  # noqa: E402

BINARIES = {}
MS = 1000000


def hop(**changes):
  report = {"most_in_flight": 1, "peak_rss_kib": 1024, "wasted_s": 0.0, "worked_s": 1.0, "cpu_s": 2.0,
            "samples": [[0, 1, 10, 100]]}
  report.update(changes)
  return report


def run_of(requests, hops=None, seconds=10.0, stall=None):
  return load.Run({"begin_ns": 0, "requests": requests}, hops or [hop()] * 3, seconds, stall)


class FiguresTest(unittest.TestCase):
  def test_goodput_counts_answers(self):
    self.assertEqual(run_of([[0, MS, 0, 1], [1, MS, 4, 1], [2, MS, 0, 2]], seconds=2.0).goodput(), 1.0)

  def test_latency_is_that_of_all_requests(self):
    run = run_of([[i, i * MS, 4 if i == 99 else 0, 1] for i in range(100)])
    self.assertEqual([run.latency_ms(part) for part in (0.5, 0.99, 0.999)], [50, 99, 99])

  def test_wasted_work_is_a_share_of_the_cpu_of_all_hops(self):
    hops = [hop(), hop(wasted_s=0.5), hop(wasted_s=1.0)]
    self.assertEqual(run_of([[0, 1, 0, 1]], hops).wasted_percent(), 25.0)

  def test_the_worst_hop_counts(self):
    hops = [hop(most_in_flight=3, samples=[[0, 1, 7, 1], [0, 1, 70, 1]]), hop(peak_rss_kib=2048), hop()]
    run = run_of([[0, 1, 0, 1]], hops)
    self.assertEqual((run.most_in_flight(), run.threads(), run.peak_rss_mib()), (3, 70, 2.0))

  def test_arrivals_within_a_deadline(self):
    # Three at once, and two that come within 200 ms of the last of them.
    run = run_of([[at * MS, 1, 0, 1] for at in (0, 500, 500, 500, 600, 699, 701)])
    self.assertEqual(run.most_arrivals(), 5)

  def test_recovery(self):
    def recovery(fails):
      requests = [[at * MS, MS, 4 if fails(at) else 0, 1] for at in range(0, 10000, 10)]
      return run_of(requests, stall=(0.2, 0.6)).recovery_ms()
    self.assertEqual(recovery(lambda at: at < 5900), 0)
    self.assertAlmostEqual(recovery(lambda at: 2000 <= at < 7000), 990)  # one of twenty may fail
    self.assertGreaterEqual(recovery(lambda at: at > 2000), 3800)  # never

  def test_series(self):
    run = run_of([[50 * MS, 2 * MS, 0, 1], [60 * MS, 200 * MS, 4, 1], [950 * MS, MS, 0, 1]],
                 [hop(samples=[[20 * MS, 5, 1, 1], [40 * MS, 4, 1, 1]])] * 3, seconds=1.0)
    series = load.series(run)
    self.assertEqual(series["answers"], [10.0] + [0.0] * 8 + [10.0])
    self.assertEqual(series["p99_ms"][:2], [200.0, None])
    self.assertEqual(series["in_flight"]["orders"], [5] + [0] * 9)
    self.assertIsNone(series["stall_s"])


class ChainTest(unittest.TestCase):
  """Enough load to see that each variant works. The figures mean nothing."""

  def test_each_variant(self):
    scenarios = [load.Scenario("slow", 0.3, ["--slow=0.3", "--leave=0.2"]),
                 load.Scenario("stall", 0.3, ["--attempts=2"], stall=(0.2, 0.6))]
    for api in load.APIS:
      for scenario in scenarios:
        for variant in load.VARIANTS:
          with self.subTest(variant=variant, api=api, scenario=scenario.name):
            run = load.measure(BINARIES, scenario, variant, api, 200, 1.0, 1)
            self.assertGreater(run.goodput(), 0)
            self.assertGreater(run.most_in_flight(), 1)
            if scenario.name == "slow":
              # Slow requests take two seconds. Their clients wait for 0.2.
              wasted = run.wasted_percent()
              self.assertGreater(wasted, 5) if variant == "no propagation" else self.assertLess(wasted, 5)

  def test_capacity(self):
    self.assertGreater(load.capacity(BINARIES, "sync", 0.2), 10)

  def test_a_program_that_fails_gives_no_figures(self):
    with self.assertRaisesRegex(load.Failure, "exit code"):
      load.run_chain(BINARIES, "tether", "sync", lambda hops: load.clients(BINARIES, hops[0], 0.1, ["--nonsense"]))
    with self.assertRaisesRegex(load.Failure, "did not start"):
      load.run_chain(BINARIES, "nonsense", "sync", lambda hops: None)


if __name__ == "__main__":
  BINARIES = {"hop": sys.argv[1], "generator": sys.argv[2]}
  unittest.main(argv=sys.argv[:1])
