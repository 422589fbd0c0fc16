#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs a Node service, a Python service and a plain C++ service behind sidecars, and checks that the deadline, the cancellation
and the report pass through all three; without sidecars, as a control, they don't.

  apps_test.py SIDECAR RUN_SH PLAIN_INVENTORY SHOP_CLIENT

It needs "tools/setup.sh sidecar".
"""

import base64
import json
import os
import queue
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import unittest

OK, CANCELLED, DEADLINE_EXCEEDED = 0, 1, 4
METHODS = ["GetOrderPage", "GetOrder", "GetStock"]

SIDECAR = RUN = INVENTORY = CLIENT = ""
GIVE_UP = 60  # seconds, for what is certain to happen
# How much later than promised something may happen on a machine that others use, too, in milliseconds. The controls are
# longer than that by far. A request that was later still is sent again: what doesn't work fails each time.
SLACK_MS = 80
TRIES = 6


def free_port():
  with socket.socket() as listener:
    listener.bind(("127.0.0.1", 0))
    return listener.getsockname()[1]


class Process:
  """A program, and the lines that it prints."""

  def __init__(self, name, command, **environment):
    self.name = name
    self.lines = queue.Queue()
    self.process = subprocess.Popen(command, env={**os.environ, **environment}, stdin=subprocess.DEVNULL,
                                    stdout=subprocess.PIPE, text=True)
    threading.Thread(target=self.read, daemon=True).start()

  def read(self):
    for line in self.process.stdout:
      self.lines.put(line.rstrip("\n"))
    self.lines.put(None)

  def line(self, timeout=GIVE_UP):
    try:
      line = self.lines.get(timeout=timeout)
    except queue.Empty:
      raise AssertionError(self.name + " printed nothing for %.0f s" % timeout) from None
    if line is None:
      raise AssertionError(self.name + " has ended")
    return line

  def forget(self):
    """Drops what was printed until now."""
    try:
      while True:
        self.lines.get_nowait()
    except queue.Empty:
      pass

  def match(self, pattern):
    """The first group of the first line that matches."""
    while True:
      found = re.match(pattern, self.line())
      if found:
        return found.group(1)

  def record(self, key, timeout=GIVE_UP):
    """The next record that has this field."""
    while True:
      line = self.line(timeout)
      if line.startswith("{"):
        record = json.loads(line)
        if key in record:
          return record

  def stop(self):
    self.process.send_signal(signal.SIGTERM)
    try:
      self.process.wait(timeout=20)
    except subprocess.TimeoutExpired:
      self.process.kill()
      self.process.wait()
    self.process.stdout.close()
    return self.process.returncode


class SlowPort:
  """A port that hands each connection on to another one, but says nothing for the first 0.4 s, as a busy service does."""

  def __init__(self, port):
    self.target = port
    self.listener = socket.create_server(("127.0.0.1", 0))
    self.port = self.listener.getsockname()[1]
    threading.Thread(target=self.accept, daemon=True).start()

  def accept(self):
    try:
      while True:
        connection, _ = self.listener.accept()
        time.sleep(0.4)
        onward = socket.create_connection(("127.0.0.1", self.target))
        for ends in ((connection, onward), (onward, connection)):
          threading.Thread(target=self.copy, args=ends, daemon=True).start()
    except OSError:
      pass  # closed

  def copy(self, source, sink):
    try:
      while data := source.recv(65536):
        sink.sendall(data)
      sink.shutdown(socket.SHUT_WR)
    except OSError:
      pass  # the other end is gone

  def close(self):
    self.listener.shutdown(socket.SHUT_RDWR)
    self.listener.close()


class Shop:
  """storefront (Node) → orders (Python) → inventory (C++), each behind a sidecar of its own unless `sidecars` is false."""

  def __init__(self, sidecars=True, delay="5ms", refresh=False, propagators="tracecontext,baggage", slow_ports=False,
               proxy=False):
    self.sidecars = sidecars
    self.proxy = proxy  # the services keep the addresses of their callees, and are told of a proxy
    self.slow_ports = slow_ports
    self.processes, self.ports = [], []
    try:
      self.inventory, address = self.service("inventory", [INVENTORY, "--delay=" + delay], None, None)
      self.orders, address = self.service("orders", [RUN, "orders"], "--inventory", address)
      flags = ["--refresh"] if refresh else []
      self.storefront, self.address = self.service("storefront", [RUN, "storefront"] + flags, "--orders", address,
                                                   OTEL_PROPAGATORS=propagators)
    except BaseException:
      self.stop()
      raise

  def start(self, name, command, **environment):
    process = Process(name, command, **environment)
    self.processes.append(process)
    return process

  def service(self, name, command, callee_flag, callee, **environment):
    """Starts a service and its sidecar. Returns the service, and the address at which others reach it."""
    if not self.sidecars:
      callee_flags = ["%s=%s" % (callee_flag, callee)] if callee else []
      process = self.start(name, command + callee_flags, **environment)
      return process, "127.0.0.1:" + process.match(r"listening on port (\d+)$")
    port = seen = free_port()
    if self.slow_ports:
      self.ports.append(SlowPort(port))
      seen = self.ports[-1].port
    flags = ["--ingress=127.0.0.1:0", "--app=127.0.0.1:%d" % seen, "--mode=full"]
    if callee:
      flags.append("--egress=127.0.0.1:0=" + callee)
      if self.proxy:
        flags.append("--connect=127.0.0.1:0")
    sidecar = self.start(name + "'s sidecar", [SIDECAR] + flags)
    address = sidecar.match(r"ingress (\S+)$")
    if callee:
      egress = sidecar.match(r"egress (\S+) -> ")
      command = command + ["%s=%s" % (callee_flag, callee if self.proxy else egress)]
      if self.proxy:
        environment["grpc_proxy"] = "http://" + sidecar.match(r"connect (\S+)$")
        environment["no_grpc_proxy"] = "not.this"  # instead of the machine's no_proxy
    sidecar.match(r"(ready)")
    process = self.start(name, command + ["--port=%d" % port], **environment)
    process.match(r"listening on port (\d+)$")
    return process, address

  def get_page(self, *flags):
    run = subprocess.run([CLIENT, "--storefront=" + self.address] + list(flags), stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE, text=True, timeout=GIVE_UP, check=True)
    return json.loads(run.stdout)

  def services(self):
    return self.storefront, self.orders, self.inventory

  def hops(self, timeout=GIVE_UP):
    """What each service says of its next request to end, from the client outwards."""
    return [service.record("service", timeout) for service in self.services()]

  def stop(self):
    """Stops everything, the client's side first. Returns the names of those that failed."""
    failed = [p.name for p in reversed(self.processes) if p.stop() != 0]
    self.processes = []
    for port in self.ports:
      port.close()
    return failed


def end_of(hop):
  return hop["started_ms"] + hop["elapsed_ms"]


def methods_in(call):
  """The methods of a report's chain of calls, from the client outwards."""
  methods = []
  while call:
    methods.append(base64.b64decode(call["method"]).decode())
    calls = call.get("report", {}).get("calls", [])
    assert len(calls) <= 1, calls
    call = calls[0] if calls else None
  return methods


class AppsTest(unittest.TestCase):

  def shop(self, **options):
    shop = Shop(**options)
    self.addCleanup(lambda: self.assertEqual(shop.stop(), []))
    # The first request loads code and connects.
    page = shop.get_page("--deadline=30s")
    self.assertEqual((page["code"], page["availability"]), (0, "42 in stock"), page)
    self.assertEqual([h["outcome"] for h in shop.hops()], ["ok"] * 3)
    return shop

  def expect_end(self, hops, limit):
    """`limit`: milliseconds of the machine's clock."""
    for hop in hops:
      self.assertLess(end_of(hop), limit + SLACK_MS, hop)

  def until_it_holds(self, shop, check):
    for left in reversed(range(TRIES)):
      for service in shop.services():
        service.forget()
      try:
        return check()
      except AssertionError:
        if left == 0:
          raise
        time.sleep(3)  # all hops have ended, even those that nobody stopped

  def expect_the_deadline_to_end_all(self, shop, *flags):
    def check():
      page = shop.get_page("--deadline=200ms", *flags)
      hops = shop.hops(timeout=5)
      self.assertEqual(page["code"], DEADLINE_EXCEEDED, page)
      self.assertLess(page["ended_ms"], page["sent_ms"] + 200 + SLACK_MS, page)
      self.assertRegex(page["message"], r"inventory\.GetStock \d+ms")
      self.assertEqual(methods_in(page["report"]), METHODS)
      self.assertEqual([h["outcome"] for h in hops], ["deadline_exceeded"] * 3, hops)
      self.expect_end(hops, page["sent_ms"] + 200)
      left = [h["remaining_ms_on_arrival"] for h in hops]
      self.assertEqual(left, sorted(left, reverse=True))
      self.assertLessEqual(left[0], 200)
    self.until_it_holds(shop, check)

  def expect_a_client_that_leaves_to_end_all(self, shop, *flags):
    def check():
      page = shop.get_page("--deadline=30s", "--cancel_after=50ms", *flags)
      self.assertEqual(page["code"], CANCELLED, page)
      noticed = shop.inventory.record("cancelled_ms", timeout=5)["cancelled_ms"]
      hops = shop.hops(timeout=5)
      self.assertGreater(noticed, page["left_ms"])
      self.assertLess(noticed, page["left_ms"] + 20 + SLACK_MS)
      self.assertEqual([h["outcome"] for h in hops], ["cancelled"] * 3, hops)
      self.expect_end(hops, page["left_ms"] + 20)
    self.until_it_holds(shop, check)

  def test_a_page_on_time(self):
    shop = self.shop()
    page = shop.get_page("--deadline=30s")
    self.assertEqual((page["code"], page["message"], page["availability"]), (OK, "", "42 in stock"))
    for hop in shop.hops():
      self.assertEqual(hop["outcome"], "ok")
      self.assertLess(hop["remaining_ms_on_arrival"], 30000)
      self.assertGreater(hop["remaining_ms_on_arrival"], 20000)

  def test_an_app_that_is_slow_to_accept_is_waited_for(self):
    self.shop(slow_ports=True)

  def test_the_deadline_ends_every_hop(self):
    self.expect_the_deadline_to_end_all(self.shop(delay="2s"))

  def test_a_client_that_leaves_ends_every_hop(self):
    self.expect_a_client_that_leaves_to_end_all(self.shop(delay="2s"))

  def test_services_that_are_told_of_a_proxy_keep_their_addresses(self):
    shop = self.shop(delay="2s", proxy=True)
    self.expect_the_deadline_to_end_all(shop)
    self.expect_a_client_that_leaves_to_end_all(shop)

  def test_control_without_sidecars_the_leaf_works_on(self):
    shop = self.shop(sidecars=False, delay="2s")
    def check_deadline():
      page = shop.get_page("--deadline=200ms")
      hops = shop.hops(timeout=5)
      self.assertEqual(page["code"], DEADLINE_EXCEEDED, page)
      self.assertLess(page["ended_ms"], page["sent_ms"] + 200 + SLACK_MS)
      self.assertNotIn("inventory", page["message"])
      self.assertEqual(methods_in(page["report"]), METHODS[:1])
      self.expect_the_leaf_to_have_worked_on(hops)
    self.until_it_holds(shop, check_deadline)

    def check_leave():
      page = shop.get_page("--deadline=30s", "--cancel_after=50ms")
      self.assertEqual(page["code"], CANCELLED, page)
      self.expect_the_leaf_to_have_worked_on(shop.hops(timeout=5))
    self.until_it_holds(shop, check_leave)

  def expect_the_leaf_to_have_worked_on(self, hops):
    self.assertEqual([h["outcome"] for h in hops], ["ok"] * 3, hops)
    self.assertGreaterEqual(hops[-1]["elapsed_ms"], 2000)
    self.assertNotIn("remaining_ms_on_arrival", hops[-1])

  def test_trace_headers_alone_suffice(self):
    shop = self.shop(delay="2s", propagators="tracecontext")
    self.expect_the_deadline_to_end_all(shop)
    self.expect_a_client_that_leaves_to_end_all(shop)

  def test_a_request_without_a_trace(self):
    # Node has the id from the baggage, and begins a trace of its own. Python has the id from that trace's headers.
    shop = self.shop(delay="2s")
    self.expect_the_deadline_to_end_all(shop, "--notrace")
    self.expect_a_client_that_leaves_to_end_all(shop, "--notrace")

  def shop_that_refreshes(self):
    shop = self.shop(delay="1s", refresh=True)
    self.assertEqual(shop.storefront.record("refreshed")["refreshed"], OK)
    return shop

  def test_a_call_after_the_reply_runs_on(self):
    shop = self.shop_that_refreshes()
    def check():
      page = shop.get_page("--deadline=1700ms")
      self.assertEqual(page["code"], OK, page)
      self.assertEqual([h["outcome"] for h in shop.hops()], ["ok"] * 3)
      self.assertEqual(shop.storefront.record("refreshed")["refreshed"], OK)
      stock = shop.inventory.record("service")
      self.assertEqual(stock["outcome"], "ok")
      # It began in time, and ended after the request's deadline.
      self.assertLess(stock["started_ms"], page["sent_ms"] + 1700)
      self.assertGreater(end_of(stock), page["sent_ms"] + 1700)
    self.until_it_holds(shop, check)

  def test_a_call_after_the_client_left_is_refused(self):
    shop = self.shop_that_refreshes()
    def check():
      page = shop.get_page("--deadline=30s", "--cancel_after=200ms")
      self.assertEqual(page["code"], CANCELLED, page)
      self.assertEqual([h["outcome"] for h in shop.hops(timeout=5)], ["cancelled"] * 3)
      refused = shop.storefront.record("refreshed")
      self.assertEqual(refused["refreshed"], CANCELLED)
      self.assertLess(refused["after_ms"], 20 + SLACK_MS)
      # It didn't reach orders, so the next request there is the next page's.
      page = shop.get_page("--deadline=30s")
      self.assertGreater(shop.orders.record("service")["started_ms"], page["sent_ms"])
    self.until_it_holds(shop, check)


if __name__ == "__main__":
  SIDECAR, RUN, INVENTORY, CLIENT = sys.argv[1:5]
  del sys.argv[1:5]
  unittest.main()
