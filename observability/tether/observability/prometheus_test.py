#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs a real Prometheus that scrapes programs with tether, and asks it the questions of docs/operations.md in PromQL.

  prometheus_test.py METRICS_SERVER RULES

It needs prometheus and promtool (tools/setup.sh prometheus), so it is "manual".
"""

import os
import subprocess
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
# Here, or where Bazel puts the test of //observability.
sys.path[:0] = [os.path.join(HERE, "testing"), os.path.join(HERE, "tether/observability/testing")]
from prometheus_process import Prometheus, get, program, wait_for  # noqa: E402

METRICS_SERVER = ""
RULES = ""

WINDOW = 10  # seconds: PromQL's range
# The deadlines are near the upper bounds of their buckets, so that slow arrivals don't change the bucket.
TARGETS = {
    "orders": ["--calls_per_second=50", "--deadline=4.9s", "--without_deadline=4"],
    "inventory": ["--calls_per_second=20", "--deadline=90s", "--without_deadline=0"],
}
SHARE_WITHOUT_DEADLINE = {"orders": 0.25, "inventory": 0}
P99_OF_TIME_LEFT = {"orders": (2, 5), "inventory": (30, 100)}  # the bounds of the bucket
RATES = {"orders": 50, "inventory": 20}


class Target:
  """A program that prints "metrics on port N", and ends with its standard input."""

  def __init__(self, command):
    self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    line = self.process.stdout.readline()
    if not line.startswith("metrics on port "):
      self.stop()
      raise AssertionError("%s printed %r" % (command[0], line))
    self.address = "127.0.0.1:" + line.split()[-1]

  def text(self):
    return get("http://%s/metrics" % self.address)

  def stop(self):
    self.process.stdin.close()
    try:
      return self.process.wait(timeout=20)
    except subprocess.TimeoutExpired:
      self.process.kill()
      return self.process.wait()
    finally:
      self.process.stdout.close()


def start_targets():
  """{job: Target}"""
  return {job: Target([METRICS_SERVER] + flags) for job, flags in TARGETS.items()}


class PrometheusTest(unittest.TestCase):

  @classmethod
  def setUpClass(cls):
    program("promtool")
    cls.targets = start_targets()
    for target in cls.targets.values():
      cls.addClassCleanup(target.stop)
    cls.prometheus = Prometheus({job: [target.address] for job, target in cls.targets.items()}, [RULES])
    cls.addClassCleanup(cls.prometheus.stop)
    # Ranges are full from then on.
    wait_for("%d s of samples" % WINDOW,
             lambda: min(cls.prometheus.query("count_over_time(up[%ds])" % WINDOW).values(), default=0) >= WINDOW - 1)

  def test_each_target_is_scraped(self):
    wait_for("all targets are up", lambda: self.prometheus.query("up") == dict.fromkeys(TARGETS, 1))
    # The log says what it drops.
    self.assertEqual([line for line in self.prometheus.log().splitlines() if "scrape" in line], [])

  def test_requests_per_second(self):
    rates = self.prometheus.query("sum by (job) (rate(tether_server_requests_total[%ds]))" % WINDOW)
    self.assertEqual(rates.keys(), RATES.keys())
    for job, rate in rates.items():
      # A target that was held up makes its calls later.
      self.assertAlmostEqual(rate, RATES[job], delta=RATES[job] * 0.3)

  def test_requests_by_code_and_reason(self):
    share = self.prometheus.query('sum by (job) (tether_server_requests_total{code="OK",reason="completed"})'
                                  " / sum by (job) (tether_server_requests_total)")
    self.assertEqual(share, dict.fromkeys(TARGETS, 1))
    self.assertEqual(self.prometheus.query('tether_server_requests_total{code="DEADLINE_EXCEEDED"}'), {})

  def test_share_without_deadline(self):
    shares = self.prometheus.query(
        "sum by (job) (rate(tether_server_requests_without_deadline_total[%ds]))"
        " / sum by (job) (rate(tether_server_requests_total[%ds]))" % (WINDOW, WINDOW))
    self.assertEqual(shares.keys(), SHARE_WITHOUT_DEADLINE.keys())
    for job, share in shares.items():
      self.assertAlmostEqual(share, SHARE_WITHOUT_DEADLINE[job], delta=0.05)

  def test_p99_of_the_time_left(self):
    times = self.prometheus.query(
        "histogram_quantile(0.99, sum by (job, le) (rate(tether_server_time_left_on_arrival_seconds_bucket[%ds])))" % WINDOW)
    self.assertEqual(times.keys(), P99_OF_TIME_LEFT.keys())
    for job, seconds in times.items():
      low, high = P99_OF_TIME_LEFT[job]
      self.assertGreater(seconds, low)
      self.assertLessEqual(seconds, high)

  def test_requests_with_a_deadline_are_those_in_the_histogram(self):
    rest = self.prometheus.query(
        "sum by (job) (tether_server_requests_total) - sum by (job) (tether_server_requests_without_deadline_total)"
        " - sum by (job) (tether_server_time_left_on_arrival_seconds_count)")
    self.assertEqual(rest, dict.fromkeys(TARGETS, 0))

  def test_prometheus_knows_types_and_meanings(self):
    metadata = self.prometheus.api("metadata")
    for name, kind in (("tether_server_requests_total", "counter"), ("tether_server_requests_in_flight", "gauge"),
                       ("tether_server_service_time_seconds", "histogram")):
      self.assertEqual([entry["type"] for entry in metadata[name]], [kind])
      self.assertRegex(metadata[name][0]["help"], r"^[A-Z].*\.$")

  def test_promtool_finds_nothing_against_the_conventions(self):
    texts = [target.text() for target in self.targets.values()]
    # This one has all metrics.
    texts.append(subprocess.run([METRICS_SERVER, "--print_samples"], stdout=subprocess.PIPE, text=True, timeout=60, check=True).stdout)
    for text in texts:
      self.assertIn("tether_server_requests_total{", text)
      run = subprocess.run([program("promtool"), "check", "metrics"], input=text, stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, text=True, timeout=60, check=False)
      self.assertEqual((run.returncode, run.stdout), (0, ""))

  def test_the_alerts_see_what_is_wrong(self):
    def states():
      rules = [rule for group in self.prometheus.api("rules")["groups"] for rule in group["rules"]]
      self.assertEqual({rule["name"] for rule in rules if rule["health"] == "err"}, set())
      return {rule["name"]: [(alert["labels"]["job"], alert["state"]) for alert in rule["alerts"]] for rule in rules}

    wait_for("an alert for requests without deadline", lambda: states()["TetherRequestsWithoutDeadline"])
    # It fires after 10 minutes.
    self.assertEqual(states()["TetherRequestsWithoutDeadline"], [("orders", "pending")])
    self.assertEqual([name for name, alerts in states().items() if alerts], ["TetherRequestsWithoutDeadline"])


if __name__ == "__main__":
  RULES = sys.argv.pop(2)
  METRICS_SERVER = os.path.abspath(sys.argv.pop(1))
  unittest.main()
