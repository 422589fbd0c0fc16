#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The demo that keeps running, seen through everything that shows it: the pages, Prometheus, and tetherctl.

  live_test.py LIVE TETHERCTL PROMETHEUS_PROCESS

It needs the packages of the pages, of tetherctl and of Prometheus (tools/setup.sh observability prometheus), so it is "manual".
"""

import json
import os
import re
import signal
import subprocess
import sys
import unittest
import urllib.request

LIVE = ""
TETHERCTL = ""
GIVE_UP = 60  # seconds, for what is certain to happen
HOPS = ("storefront", "orders", "inventory")


class Live:
  """The demo with these flags, until stop()."""

  def __init__(self, *flags):
    self.process = subprocess.Popen([LIVE] + list(flags), stdout=subprocess.PIPE, text=True)
    self.pages, self.addresses = {}, []
    for line in self.process.stdout:
      page = re.match(r"  (\w+) +http://(\S+)/$", line)
      if page:
        self.pages[page.group(1)] = page.group(2)
      command = re.match(r"  tetherctl top (.+)$", line)
      if command:
        self.addresses = command.group(1).split()
      if line.startswith("Ctrl-C"):
        break
    if tuple(self.pages) != HOPS or len(self.addresses) != len(HOPS):
      self.stop()
      raise AssertionError("the demo has not started: %r" % self.pages)

  def get(self, hop, path):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open("http://%s/%s" % (self.pages[hop], path), timeout=20) as response:
      return response.read().decode()

  def tetherctl(self, *arguments):
    """(exit code, output)"""
    run = subprocess.run([TETHERCTL] + list(arguments) + self.addresses, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                         stdin=subprocess.DEVNULL, text=True, timeout=GIVE_UP, check=False)
    return run.returncode, run.stdout

  def stop(self):
    self.process.send_signal(signal.SIGINT)
    try:
      return self.process.wait(timeout=GIVE_UP)
    except subprocess.TimeoutExpired:
      self.process.kill()
      self.process.wait()
      raise
    finally:
      self.process.stdout.close()


def requests_of(live, hop):
  return json.loads(live.get(hop, "requests.json")).get("requests", [])


def findings_of(live, hop):
  return {finding["kind"] for finding in json.loads(live.get(hop, "health-of-propagation.json")).get("findings", [])}


class LiveTest(unittest.TestCase):

  def start(self, *flags):
    live = Live(*flags)
    self.addCleanup(self.check_stop, live)
    return live

  def check_stop(self, live):
    self.assertEqual(live.stop(), 0)

  def test_prometheus_answers_what_operators_ask(self):
    live = self.start("--clients=4")
    faulty = self.start("--clients=4", "--faults")
    prometheus = Prometheus({hop: [live.pages[hop]] for hop in HOPS} | {"faulty": [faulty.pages["inventory"]]})
    self.addCleanup(prometheus.stop)
    wait_for("10 s of samples", lambda: min(prometheus.query("count_over_time(up[10s])").values(), default=0) >= 9)
    rates = prometheus.query("sum by (job) (rate(tether_server_requests_total[10s]))")
    for hop in HOPS:
      # Four clients, each with a request in some 400 ms.
      self.assertGreater(rates[hop], 1)
      self.assertLess(rates[hop], 12)
    shares = prometheus.query("sum by (job) (rate(tether_server_requests_without_deadline_total[10s]))"
                              " / sum by (job) (rate(tether_server_requests_total[10s]))")
    for hop in HOPS:
      self.assertEqual(shares[hop], 0)
    self.assertGreater(shares["faulty"], 0.3)
    self.assertLess(shares["faulty"], 0.7)
    times = prometheus.query("histogram_quantile(0.99, sum by (job, le) "
                             "(rate(tether_server_time_left_on_arrival_seconds_bucket[10s])))")
    # The deadline is 1 s, and inventory gets 800 ms: both are in the bucket up to 1 s.
    for hop in HOPS:
      self.assertGreater(times[hop], 0.5)
      self.assertLessEqual(times[hop], 1)
    wasted = prometheus.query("sum by (job) (rate(tether_server_worked_after_end_seconds_sum[10s]))")
    self.assertGreater(wasted["faulty"], 0.1)

  def test_requests_that_are_stalled_in_the_last_service(self):
    # The front has not answered the first one when the last one arrives.
    live = self.start("--clients=200", "--deadline=10m", "--inventory_timeout=5m", "--inventory_delay=1h")
    wait_for("200 requests in inventory", lambda: len(requests_of(live, "inventory")) == 200)
    code, output = live.tetherctl("top", "--once", "--json")
    self.assertEqual(code, 0, output)
    by_hop = {}
    for process in json.loads(output)["processes"]:
      snapshot = process["snapshot"]
      by_hop[snapshot["process"].replace("_live", "")] = snapshot["requests"]
    self.assertEqual(set(by_hop), set(HOPS))
    callee = {"storefront": "/shop.v1.Orders/GetOrder", "orders": "/shop.v1.Inventory/GetStock"}
    for hop in HOPS:
      self.assertEqual(len(by_hop[hop]), 200)
      for request in by_hop[hop]:
        waits_for = request.get("waitsFor", [])
        self.assertEqual([call["method"] for call in waits_for], [callee[hop]] if hop in callee else [])
    # The services are asked one after the other, so compare the time that each had when the request arrived. A hop has less
    # than its caller, by the reserve; inventory has half of what orders has.
    left = {hop: {r["traceId"]: int(r["timeLeftUs"]) + int(r["ageUs"]) for r in by_hop[hop]} for hop in HOPS}
    for trace, time_left in left["storefront"].items():
      self.assertGreater(time_left, left["orders"][trace])
      self.assertGreater(left["orders"][trace], left["inventory"][trace])

    code, tree = live.tetherctl("tree", next(iter(left["storefront"])))
    self.assertEqual(code, 0, tree)
    places = [tree.find(text) for text in ("Storefront/GetOrderPage", "Orders/GetOrder", "Inventory/GetStock")]
    self.assertNotIn(-1, places, tree)
    self.assertEqual(places, sorted(places), tree)

  def test_the_doctor_finds_what_is_planted(self):
    live = self.start("--clients=4", "--faults")
    wait_for("a deaf handler", lambda: "KIND_DEAF_HANDLER" in findings_of(live, "inventory"))
    wait_for("a lost context", lambda: "KIND_CONTEXT_NOT_HANDED_ON" in findings_of(live, "orders"))
    code, output = live.tetherctl("doctor")
    self.assertEqual(code, 1, output)
    self.assertRegex(output, r"/shop\.v1\.Inventory/GetStock worked on after the end of \d+ request")
    self.assertRegex(output, r"/shop\.v1\.Orders/GetOrder made \d+ calls? of\s+/shop\.v1\.Inventory/GetStock\s+without")
    self.assertRegex(output, r"requests to\s+/shop\.v1\.Inventory/GetStock came\s+without\s+a\s+deadline")

  def test_the_doctor_finds_nothing_where_nothing_is_wrong(self):
    live = self.start("--clients=4")
    wait_for("some requests", lambda: 'GetStock",code="OK"' in live.get("inventory", "metrics"))
    code, output = live.tetherctl("doctor")
    self.assertEqual(code, 0, output)
    for hop in HOPS:
      self.assertEqual(findings_of(live, hop), set())


if __name__ == "__main__":
  sys.path.insert(0, os.path.dirname(os.path.abspath(sys.argv.pop(3))))
  TETHERCTL = os.path.abspath(sys.argv.pop(2))
  LIVE = os.path.abspath(sys.argv.pop(1))
  from prometheus_process import Prometheus, wait_for
  unittest.main()
