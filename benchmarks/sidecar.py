# SPDX-License-Identifier: Apache-2.0
"""What ./bench.sh sidecar measures: tether-sidecar beside nginx, nghttpx, and a direct call.

  ingress      clients -> proxy -> leaf       the sidecar's ingress
  egress       clients -> proxy -> leaf       an egress port of the sidecar, for calls of no request
  in and out   clients -> proxy -> app -> proxy -> leaf
               The app makes one call for each request, and passes the headers on that OpenTelemetry would. So the sidecar's
               egress knows the request. A peer needs two processes for the two proxies, and the sidecar one.

All proxies of a figure run at the same time, on the same two cores as the clients, the app and the leaf. The clients turn to
one after the other, a few seconds each, in changing order. A proxy that isn't used costs nothing. Each proxy has one worker.

The CPU time of a call is that of the proxy's processes, divided by the number of calls. It counts the system calls, too.
The memory of a call in flight is by how much the resident memory of the proxy's processes has grown, divided by the number.
"""

import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import tempfile
import time

from instructions import Failure

NGINX = "/usr/sbin/nginx"
NGHTTPX = "/usr/sbin/nghttpx"
CLOSED_CLIENTS = 16
OK = "0"
CANCELLED = "1"
# More than any measurement needs.
MANY = 1000000
START_S = 20


def free_address():
  """Returns an address on which nothing listens."""
  with socket.socket() as one:
    one.bind(("127.0.0.1", 0))
    return "127.0.0.1:%d" % one.getsockname()[1]


def await_port(address, process):
  """Waits until the process listens."""
  host, port = address.split(":")
  end = time.monotonic() + START_S
  while process.poll() is None and time.monotonic() < end:
    try:
      socket.create_connection((host, int(port)), 1).close()
      return
    except OSError:
      time.sleep(0.01)
  raise Failure("%s does not listen (exit code %s)" % (process.args[0], process.poll()))


def with_children(pid):
  """Returns the process and all that it has started."""
  parents = {}
  for name in os.listdir("/proc"):
    if name.isdigit():
      try:
        with open("/proc/%s/stat" % name, encoding="utf-8", errors="replace") as file:
          parents.setdefault(int(file.read().rpartition(")")[2].split()[1]), []).append(int(name))
      except OSError:
        pass  # it has ended
  found = [pid]
  for one in found:
    found += parents.get(one, [])
  return found


def cpu_s(pids):
  """Returns the CPU time of the processes so far, of all their threads."""
  # The clock of a process's CPU time, as clock_getcpuclockid() returns it. /proc/PID/stat counts only hundredths of a second.
  return sum(time.clock_gettime((~pid << 3) | 2) for pid in pids)


def resident_bytes(pids):
  pages = 0
  for pid in pids:
    with open("/proc/%d/statm" % pid, encoding="utf-8") as file:
      pages += int(file.read().split()[1])
  return pages * os.sysconf("SC_PAGESIZE")


class Server:
  """An echo_main. Without `following` it is the leaf. Use it with "with"."""

  def __init__(self, binary, following=None):
    command = [binary] + (["--next=" + following] if following else [])
    self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, universal_newlines=True)
    self.address = self.process.stdout.readline().strip()
    if not self.address:
      self.__exit__()
      raise Failure("%s did not start" % " ".join(command))

  def __enter__(self):
    return self

  def __exit__(self, *unused):
    self.process.stdin.close()
    end(self.process)
    self.process.stdout.close()

  def tell(self, command):
    self.process.stdin.write(command + "\n")
    self.process.stdin.flush()

  def report(self):
    self.tell("report")
    line = self.process.stdout.readline()
    if not line:
      raise Failure("a server ended (exit code %s)" % self.process.wait())
    return json.loads(line)


def end(process):
  try:
    process.wait(30)
  except subprocess.TimeoutExpired:
    process.kill()
    process.wait()


class Proxy:
  """A proxy's processes. Use it with "with". `folder` is the proxy's own."""

  def __init__(self, command, addresses):
    self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
      for address in addresses:
        await_port(address, self.process)
      # A master starts its worker before or after it listens.
      time.sleep(0.2)
      self.pids = with_children(self.process.pid)
    except BaseException:
      self.__exit__()
      raise

  def __enter__(self):
    return self

  def __exit__(self, *unused):
    if self.process.poll() is None:
      self.process.send_signal(signal.SIGTERM)
    end(self.process)


NGINX_CONF = """\
daemon off;
worker_processes 1;
worker_rlimit_nofile {files};
error_log stderr error;
pid {folder}/pid;
events {{ worker_connections {files}; }}
http {{
  access_log off;
  client_body_temp_path {folder}/client_body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  http2_max_concurrent_streams {many};
  keepalive_requests {many};
  keepalive_timeout 1h;
  client_max_body_size 0;
  grpc_read_timeout 1h;
  grpc_send_timeout 1h;
  upstream target {{
    server {target};
    keepalive 256;
    keepalive_requests {many};
    keepalive_timeout 1h;
  }}
  server {{
    listen {address} http2;
    location / {{ grpc_pass grpc://target; }}
  }}
}}
"""


def nginx(folder, address, target):
  files = os.sysconf("SC_OPEN_MAX")
  conf = os.path.join(folder, "nginx.conf")
  with open(conf, "w", encoding="utf-8") as file:
    file.write(NGINX_CONF.format(folder=folder, address=address, target=target, files=files, many=MANY))
  return Proxy([NGINX, "-e", "stderr", "-p", folder, "-c", conf], [address])


def nghttpx(folder, address, target):
  return Proxy([
      NGHTTPX, "--conf=" + os.path.join(folder, "none"), "--log-level=ERROR", "--errorlog-file=" + os.path.join(folder, "errors"),
      "--pid-file=" + os.path.join(folder, "pid"), "--workers=1", "--frontend=%s;no-tls" % address.replace(":", ","),
      "--backend=%s;;proto=h2" % target.replace(":", ","), "--frontend-http2-max-concurrent-streams=%d" % MANY,
      "--frontend-http2-read-timeout=1h", "--backend-read-timeout=1h"], [address])


SIDECAR_CONF = """\
ingress {{ listen: "{ingress}" app: "{app}" }}
egress {{ listen: "{egress}" target: "{target}" }}
mode: FULL
threads: 1
max_in_flight: {many}
"""


def sidecar(binary, folder, ingress, app, egress, target):
  conf = os.path.join(folder, "sidecar.textproto")
  with open(conf, "w", encoding="utf-8") as file:
    file.write(SIDECAR_CONF.format(ingress=ingress, app=app, egress=egress, target=target, many=MANY))
  return Proxy([binary, "--config=" + conf], [ingress, egress])


class Way:
  """A way for clients to reach a leaf. `address` is where they send their calls, `pids` are the proxies on the way."""

  def __init__(self, address, pids):
    self.address, self.pids = address, pids


class Ways:
  """Starts all servers and proxies. Use it with "with". `leaf` is the leaf of all ways."""

  def __init__(self, binaries, peers):
    self.binaries, self.peers = binaries, peers
    self._open = []

  def __enter__(self):
    self.folder = tempfile.mkdtemp(prefix="tether-bench-sidecar.")
    # The workers of a master that root starts are another user's.
    os.chmod(self.folder, 0o755)
    try:
      self.leaf = self._enter(Server(self.binaries["echo_main"]))
    except BaseException:
      self.__exit__()
      raise
    return self

  def __exit__(self, *unused):
    for one in reversed(self._open):
      one.__exit__()
    self._open = []
    shutil.rmtree(self.folder, ignore_errors=True)

  def _enter(self, one):
    self._open.append(one.__enter__())
    return one

  def _peer(self, name, address, target):
    folder = tempfile.mkdtemp(dir=self.folder)
    os.chmod(folder, 0o755)
    return self._enter({"nginx": nginx, "nghttpx": nghttpx}[name](folder, address, target))

  def _sidecar(self, app, egress):
    ingress = free_address()
    folder = tempfile.mkdtemp(dir=self.folder)
    proxy = self._enter(sidecar(self.binaries["tether-sidecar"], folder, ingress, app, egress, self.leaf.address))
    return Way(ingress, proxy.pids), Way(egress, proxy.pids)

  def one_proxy(self):
    """Returns {name: Way}. The sidecar's are "ingress" and "egress"."""
    ways = {"direct": Way(self.leaf.address, [])}
    for name in self.peers:
      address = free_address()
      ways[name] = Way(address, self._peer(name, address, self.leaf.address).pids)
    ways["ingress"], ways["egress"] = self._sidecar(self.leaf.address, free_address())
    return ways

  def in_and_out(self):
    """Returns {name: Way}. The sidecar's is "in and out"."""
    ways = {}
    for name in ["direct"] + list(self.peers) + ["in and out"]:
      out = self.leaf.address if name == "direct" else free_address()
      app = self._enter(Server(self.binaries["echo_main"], out)).address
      if name == "direct":
        ways[name] = Way(app, [])
      elif name == "in and out":
        ways[name] = self._sidecar(app, out)[0]
      else:
        address = free_address()
        pids = self._peer(name, out, self.leaf.address).pids
        ways[name] = Way(address, pids + self._peer(name, address, app).pids)
    return ways


def clients(binaries, way, seconds, options):
  command = [binaries["generator_main"], "--target=" + way.address, "--time=%gs" % seconds, "--timeout=20s"] + options
  result = subprocess.run(command, stdout=subprocess.PIPE, universal_newlines=True)
  if result.returncode != 0:
    raise Failure("%s failed (exit code %d)" % (" ".join(command), result.returncode))
  return json.loads(result.stdout)


class Turn:
  """What one turn of a way has given. `taken_us` is empty without a rate."""

  def __init__(self, calls, taken_us, cpu, seconds):
    self.calls, self.taken_us, self.cpu_s, self.seconds = calls, sorted(taken_us), cpu, seconds

  def quantile_us(self, part):
    return self.taken_us[min(len(self.taken_us) - 1, int(part * len(self.taken_us)))]

  def cpu_us(self):
    return 1e6 * self.cpu_s / self.calls

  def per_second(self):
    return self.calls / self.seconds


def take_turn(binaries, way, rate, seconds, seed):
  """One turn of a way. Without `rate`, a fixed number of clients send one request after the other."""
  before = cpu_s(way.pids)
  taken_us = []
  if rate is None:
    answers = round(clients(binaries, way, seconds, ["--closed=%d" % CLOSED_CLIENTS])["per_second"] * seconds)
  else:
    requests = clients(binaries, way, seconds, ["--rate=%g" % rate, "--seed=%d" % seed])["requests"]
    failed = [code for _, _, code, _ in requests if code != 0]
    if failed:
      raise Failure("%d of %d requests failed, one with code %d" % (len(failed), len(requests), failed[0]))
    taken_us = [taken / 1000 for _, taken, _, _ in requests]
    answers = len(requests)
  return Turn(answers, taken_us, cpu_s(way.pids) - before, seconds)


def take_turns(binaries, ways, rate, seconds, turns, seed):
  """Returns {name: [Turn]}. The order changes from turn to turn, so that no way is always after the same one."""
  taken = {name: [] for name in ways}
  for turn in range(turns):
    names = list(ways)
    names = names[turn % len(names):] + names[:turn % len(names)]
    for name in names if (seed + turn) % 2 else names[::-1]:
      taken[name].append(take_turn(binaries, ways[name], rate, seconds, 1000 * seed + turn))
  return taken


class Figures(dict):
  """{(operation, unit): {name: value}}"""

  def add(self, operation, unit, by_way, own):
    """Adds a row: of `by_way`, {name of the way: value}, the sidecar's figure is that of the way `own`."""
    row = {name: value for name, value in by_way.items() if name not in ("ingress", "egress", "in and out")}
    if own in by_way:
      row["tether"] = by_way[own]
    self[operation, unit] = row


def add_calls(figures, binaries, ways, sides, plan, seed):
  """Adds the rows of answered calls. `sides` are the names of the sidecar's ways. A figure is the median of the turns, so that
  other load on the machine that comes and goes changes it little."""
  for way in ways.values():
    clients(binaries, way, 0.2, ["--rate=100"])  # the first calls are slower than all others

  def add(operation, unit, taken, read):
    by_way = {name: statistics.median(read(turn) for turn in turns) for name, turns in taken.items()}
    for side in sides:
      figures.add("%s, %s" % (operation, side), unit, by_way, side)

  def only_proxies(taken):
    return {name: turns for name, turns in taken.items() if name != "direct"}

  for rate in plan.rates:
    first = rate == plan.rates[0]
    taken = take_turns(binaries, ways, rate, plan.seconds if first else plan.short, plan.turns, seed)
    for name, part in (("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)) if first else ():
      add("%s at %d/s" % (name, rate), "us", taken, lambda turn, part=part: turn.quantile_us(part))
    add("cpu of a call at %d/s" % rate, "us", only_proxies(taken), Turn.cpu_us)
  taken = take_turns(binaries, ways, None, plan.short, plan.turns, seed)
  add("cpu of a call, saturated", "us", only_proxies(taken), Turn.cpu_us)
  add("answers, saturated", "per second", taken, Turn.per_second)


class HeldCalls:
  """A held_main: calls that stay in flight until finish(). Use it with "with"."""

  def __init__(self, binaries, way, kind, calls):
    self.process = subprocess.Popen([binaries["held_main"], "--target=" + way.address, "--kind=" + kind, "--calls=%d" % calls],
                                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, universal_newlines=True)

  def __enter__(self):
    return self

  def __exit__(self, *unused):
    self.process.stdin.close()
    end(self.process)
    self.process.stdout.close()

  def await_open(self):
    if self.process.stdout.readline() != "open\n":
      raise Failure("not all calls got on (exit code %s)" % self.process.wait())

  def finish(self):
    """Returns {code: number}, and how long it took until all had ended."""
    self.process.stdin.write("end\n")
    self.process.stdin.flush()
    line = self.process.stdout.readline()
    if not line:
      raise Failure("not all calls have ended (exit code %s)" % self.process.wait())
    result = json.loads(line)
    return result["ended"], result["ms"]


def must_be(found, expected, what):
  if found != expected:
    raise Failure("%s: %r, not %r" % (what, found, expected))


def stream_bytes(binaries, way, calls):
  """Returns the memory of an open stream."""
  clients(binaries, way, 0.2, ["--rate=100"])
  before = resident_bytes(way.pids)
  with HeldCalls(binaries, way, "streams", calls) as held:
    held.await_open()
    grown = resident_bytes(way.pids) - before
    must_be(held.finish()[0], {OK: calls}, "streams by status code")
  return grown / calls


def await_report(leaf, key, number):
  """Waits until the leaf's count is `number`. Returns the report."""
  stop = time.monotonic() + 60
  while True:
    report = leaf.report()
    if report[key] == number:
      return report
    if time.monotonic() > stop:
      raise Failure("%s is %d, not %d" % (key, report[key], number))
    time.sleep(0.005)


def in_flight(binaries, leaf, way, calls, correlated):
  """Holds so many requests at the leaf, and then lets them end; and again, but the clients cancel them. With `correlated`, the
  calls must have the requests' deadline, and end with them. Returns the memory of a request, the time until all were answered,
  and the time until all calls at the leaf were cancelled (None unless `correlated`)."""
  clients(binaries, way, 0.2, ["--rate=100"])
  before = resident_bytes(way.pids)
  report = leaf.report()
  with HeldCalls(binaries, way, "unary", calls) as held:
    held.await_open()
    after = await_report(leaf, "waiting", report["waiting"] + calls)
    grown = resident_bytes(way.pids) - before
    must_be(after["with_deadline"] - report["with_deadline"], calls if correlated else 0, "calls with a deadline")
    leaf.tell("release")
    ended, answered_ms = held.finish()
    must_be(ended, {OK: calls}, "requests by status code")
  cancelled_ms = None
  if correlated:
    report = leaf.report()
    with HeldCalls(binaries, way, "cancel", calls) as held:
      held.await_open()
      await_report(leaf, "waiting", calls)
      begin = time.monotonic()
      must_be(held.finish()[0], {CANCELLED: calls}, "cancelled requests by status code")
      await_report(leaf, "waiting", 0)
      cancelled_ms = 1000 * (time.monotonic() - begin)
      must_be(leaf.report()["cancelled"], report["cancelled"] + calls, "cancelled calls")
  return grown / calls, answered_ms, cancelled_ms


class Plan:
  """What is measured in a round. Turns take `seconds`, but those that measure only CPU time are `short`. `streams` and `held`
  are numbers of calls."""

  def __init__(self, rates, turns, seconds, short, streams, held):
    self.rates, self.turns, self.seconds, self.short, self.streams, self.held = rates, turns, seconds, short, streams, held


FULL = Plan(rates=(400, 2000), turns=4, seconds=3.0, short=1.0, streams=(1000, 10000), held=10000)
QUICK = Plan(rates=(400,), turns=1, seconds=2.0, short=0.5, streams=(1000,), held=1000)


def rows(binaries, peers, plan, seed):
  """Measures everything once. Returns {(operation, unit): {name: value}}. `binaries` are those of "echo_main", "held_main",
  "generator_main" and "tether-sidecar"."""
  figures = Figures()
  with Ways(binaries, peers) as ways:
    add_calls(figures, binaries, ways.one_proxy(), ("ingress", "egress"), plan, seed)
  with Ways(binaries, peers) as ways:
    add_calls(figures, binaries, ways.in_and_out(), ("in and out",), plan, seed)
  for calls in plan.streams:
    by_way = {}
    for side in ("ingress", "egress"):
      # Another sidecar: what the streams of the one side have freed would hide what those of the other need.
      with Ways(binaries, peers if side == "ingress" else []) as ways:
        for name, way in ways.one_proxy().items():
          if name == side or name in peers:
            by_way[name] = stream_bytes(binaries, way, calls)
    for side in ("ingress", "egress"):
      figures.add("open stream, of %d, %s" % (calls, side), "bytes", by_way, side)
  found = {}
  with Ways(binaries, peers) as ways:
    for name, way in ways.in_and_out().items():
      found[name] = in_flight(binaries, ways.leaf, way, plan.held, name == "in and out")
  what = "%d in flight, in and out" % plan.held
  figures.add("request of " + what, "bytes", {n: f[0] for n, f in found.items() if n != "direct"}, "in and out")
  figures.add("last answer of " + what, "ms", {n: f[1] for n, f in found.items()}, "in and out")
  figures.add("last call cancelled of " + what, "ms", {n: f[2] for n, f in found.items() if f[2] is not None}, "in and out")
  return figures
