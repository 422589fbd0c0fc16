# SPDX-License-Identifier: Apache-2.0
"""The load that ./bench.sh load measures: a chain of three processes, and clients in a fourth.

  clients -> storefront -> orders -> inventory

Each scenario runs in each API style, and in three variants of the chain, one right after the other:

  no propagation      each hop gives its call a fixed timeout of one second, and handlers run to their end
  FromServerContext   gRPC's own propagation, and handlers that ask IsCancelled() before each piece of work
  tether              the interceptors, and handlers that ask their context instead

The clients and the rate of the requests are the same in all variants. The rate is a share of what the chain without propagation
can serve, which is measured first. load/hop.h and load/meter.h say what a request costs.
"""

import json
import os
import statistics
import subprocess
import threading
import time

from instructions import Failure

VARIANTS = ("tether", "no propagation", "FromServerContext")
APIS = ("sync", "callback")
HOPS = ("storefront", "orders", "inventory")
TIMEOUT_S = 0.2
CLIENTS_OF_CAPACITY = 16

# The end of a stall shows as the first moment from which almost all requests of a deadline's length are answered in time.
WINDOW_S = TIMEOUT_S
RECOVERED = 0.95

SECOND_NS = 1000000000


# A run with a stall is so much longer. In a full run, the stall takes five seconds.
STALL_LONGER = 2.1


class Scenario:
  """`rate` is a share of the capacity. `options` are the clients', `tether` those of the hops with tether. The stall is a share
  of the run, (begin, end)."""

  def __init__(self, name, rate, options=(), tether=(), stall=None, longer=1.0):
    self.name, self.rate, self.options, self.tether, self.stall = name, rate, list(options), list(tether), stall
    self.longer = longer


SCENARIOS = (
    Scenario("healthy", 0.5),
    Scenario("slow inventory", 0.5, ["--slow=0.3"]),
    Scenario("overload", 2.0),
    Scenario("overload with min_budget", 2.0, tether=["--min_budget=100ms"]),
    Scenario("stall", 0.5, stall=(0.2, 0.6), longer=STALL_LONGER),
    Scenario("clients leave", 0.5, ["--leave=0.5"]),
    Scenario("retry storm", 0.5, ["--attempts=3"], stall=(0.2, 0.6), longer=STALL_LONGER),
)


class Hop:
  """A process of the chain. Use it with "with"."""

  def __init__(self, binary, variant, api, following, options):
    command = [binary, "--variant=" + variant, "--api=" + api] + options
    if following is not None:
      command.append("--next=" + following.address)
    self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, universal_newlines=True)
    self.address = self.process.stdout.readline().strip()
    if not self.address:
      self.__exit__()
      raise Failure("%s did not start" % " ".join(command))

  def __enter__(self):
    return self

  def __exit__(self, *unused):
    self.process.stdin.close()
    try:
      self.process.wait(30)
    except subprocess.TimeoutExpired:
      self.process.kill()
      self.process.wait()
    self.process.stdout.close()

  def tell(self, command):
    self.process.stdin.write(command + "\n")
    self.process.stdin.flush()

  def report(self):
    self.tell("report")
    line = self.process.stdout.readline()
    if not line:
      raise Failure("a hop ended (exit code %s)" % self.process.wait())
    return json.loads(line)


class Run:
  """What was measured in one run. `outcomes` is what the clients print, `hops` the reports in the order of HOPS."""

  def __init__(self, outcomes, hops, seconds, stall):
    self.begin_ns = outcomes["begin_ns"]
    # [intended, taken, code, attempts]
    self.requests = sorted(outcomes["requests"])
    self.hops = hops
    self.seconds = seconds
    self.stall = stall

  def goodput(self):
    return sum(code == 0 for _, _, code, _ in self.requests) / self.seconds

  def latency_ms(self, part):
    taken = sorted(taken for _, taken, _, _ in self.requests)
    return taken[min(len(taken) - 1, int(part * len(taken)))] / 1e6

  def most_in_flight(self):
    return max(hop["most_in_flight"] for hop in self.hops)

  def peak_rss_mib(self):
    return max(hop["peak_rss_kib"] for hop in self.hops) / 1024

  def threads(self):
    return max(sample[2] for hop in self.hops for sample in hop["samples"])

  def wasted_percent(self):
    return 100 * sum(hop["wasted_s"] for hop in self.hops) / sum(hop["cpu_s"] for hop in self.hops)

  def recovery_ms(self):
    """The time from the end of the stall until requests are answered again; the rest of the run if they never are."""
    end = self.stall[1] * self.seconds
    times = [(intended / SECOND_NS, code == 0) for intended, _, code, _ in self.requests]
    start = end
    while start + WINDOW_S <= self.seconds:
      window = [ok for at, ok in times if start <= at < start + WINDOW_S]
      if window and sum(window) >= RECOVERED * len(window):
        break
      start += 0.01
    return 1000 * (start - end)

  def most_arrivals(self):
    """The most requests that began within one deadline: as many may be in flight if each ends by its deadline."""
    times = [intended / SECOND_NS for intended, _, _, _ in self.requests]
    most = first = 0
    for last, at in enumerate(times):
      while times[first] < at - TIMEOUT_S:
        first += 1
      most = max(most, last - first + 1)
    return most


# A figure: its name in a row, its unit, how it is read, and whether rounds are combined by the maximum.
FIGURES = (
    ("goodput", "per second", Run.goodput, False),
    ("p50", "ms", lambda run: run.latency_ms(0.5), False),
    ("p99", "ms", lambda run: run.latency_ms(0.99), False),
    ("p99.9", "ms", lambda run: run.latency_ms(0.999), False),
    ("wasted work", "percent", Run.wasted_percent, False),
    ("most in flight", "requests", Run.most_in_flight, True),
    ("most arrivals in a deadline", "requests", Run.most_arrivals, True),
    ("peak memory of a hop", "MiB", Run.peak_rss_mib, True),
    ("threads of a hop", "threads", Run.threads, True),
)
RECOVERY = ("recovery", "ms", Run.recovery_ms, True)


def run_chain(binaries, variant, api, work, options=()):
  """Starts the chain, calls work(hops), and ends the chain."""
  options = list(options)
  with Hop(binaries["hop"], variant, api, None, options) as inventory:
    with Hop(binaries["hop"], variant, api, inventory, options) as orders:
      with Hop(binaries["hop"], variant, api, orders, options) as storefront:
        return work((storefront, orders, inventory))


def clients(binaries, storefront, seconds, options):
  command = [binaries["generator"], "--target=" + storefront.address, "--time=%gs" % seconds] + options
  result = subprocess.run(command, stdout=subprocess.PIPE, universal_newlines=True)
  if result.returncode != 0:
    raise Failure("%s failed (exit code %d)" % (" ".join(command), result.returncode))
  return json.loads(result.stdout)


def capacity(binaries, api, seconds):
  """Returns how many requests a second the chain without propagation can serve."""
  return run_chain(binaries, "no propagation", api, lambda hops: clients(
      binaries, hops[0], seconds, ["--closed=%d" % CLIENTS_OF_CAPACITY]))["per_second"]


def idle_reports(hops):
  """Waits until no handler is left, which may take two seconds. Returns the reports."""
  end = time.monotonic() + 30
  while True:
    reports = [hop.report() for hop in hops]
    if not any(report["in_flight"] for report in reports):
      return reports
    if time.monotonic() > end:
      raise Failure("handlers are left")
    time.sleep(0.1)


def measure(binaries, scenario, variant, api, rate, seconds, seed):
  seconds *= scenario.longer

  def work(hops):
    # The first calls are slower than all others.
    clients(binaries, hops[0], 0.2, ["--rate=100"])
    for hop in hops:
      hop.tell("begin")
    stall = None
    if scenario.stall is not None:
      begin, end = (seconds * part for part in scenario.stall)
      stall = threading.Timer(begin, hops[2].tell, ["stall %d" % (1000 * (end - begin))])
      stall.start()
    options = ["--rate=%g" % (rate * scenario.rate), "--timeout=%gs" % TIMEOUT_S, "--seed=%d" % seed]
    try:
      outcomes = clients(binaries, hops[0], seconds, options + scenario.options)
    finally:
      if stall is not None:
        stall.cancel()  # if the clients failed before it
        stall.join()
    return Run(outcomes, idle_reports(hops), seconds, scenario.stall)

  return run_chain(binaries, variant, api, work, scenario.tether if variant == "tether" else ())


def series(run, bin_s=0.1):
  """Returns the run over time, for plots: answers in time a second, the latencies' p50 and p99, and what was in flight."""
  bins = int(run.seconds / bin_s)
  taken = [[] for _ in range(bins)]
  answers = [0] * bins
  for intended, latency, code, _ in run.requests:
    number = int(intended / SECOND_NS / bin_s)
    if number < bins:
      taken[number].append(latency / 1e6)
      answers[number] += code == 0
  flight = [[0] * bins for _ in run.hops]
  for hop, row in zip(run.hops, flight):
    for at, in_flight, _, _ in hop["samples"]:
      number = int((at - run.begin_ns) / SECOND_NS / bin_s)
      if 0 <= number < bins:
        row[number] = max(row[number], in_flight)

  def quantile(values, part):
    return round(sorted(values)[int(part * len(values))], 2) if values else None

  return {
      "bin_s": bin_s,
      "stall_s": [part * run.seconds for part in run.stall] if run.stall else None,
      "answers": [round(count / bin_s, 1) for count in answers],
      "p50_ms": [quantile(values, 0.5) for values in taken],
      "p99_ms": [quantile(values, 0.99) for values in taken],
      "in_flight": dict(zip(HOPS, flight)),
  }


def rows(binaries, seconds, seed, say, apis=APIS, scenarios=SCENARIOS):
  """Runs all scenarios once. Returns ({(operation, unit, worst): {variant: value}}, {"scenario, api": {variant: series}})."""
  figures, plots = {}, {}
  for api in apis:
    rate = statistics.median(capacity(binaries, api, min(2.0, seconds)) for _ in range(3))
    say("%s: %.0f requests a second are the capacity" % (api, rate))
    for scenario in scenarios:
      # Alternate the order, so that no variant is always first.
      for variant in VARIANTS if seed % 2 else VARIANTS[::-1]:
        run = measure(binaries, scenario, variant, api, rate, seconds, seed)
        for name, unit, read, worst in FIGURES + ((RECOVERY,) if scenario.stall else ()):
          operation = "%s, %s, %s" % (name, scenario.name, api)
          figures.setdefault((operation, unit, worst), {})[variant] = read(run)
        plots.setdefault("%s, %s" % (scenario.name, api), {})[variant] = series(run)
  return figures, plots
