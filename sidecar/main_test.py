#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs tether-sidecar as a process, and operates it like an administrator: exit codes, reload, drain.

It needs Debian's python3-grpcio, so it names Debian's Python.
"""

import concurrent.futures
import os
import queue
import re
import signal
import subprocess
import sys
import tempfile
import threading
import unittest

import grpc

SIDECAR = sys.argv.pop(1)
GIVE_UP = 20
METHOD = "/shop.v1.Orders/GetOrder"


class App(grpc.GenericRpcHandler):
  """A server that answers each call with its own name, once `go` is set."""

  def __init__(self, name):
    self.name = name.encode()
    self.arrived = queue.Queue()
    self.go = threading.Event()
    self.go.set()
    self.server = grpc.server(concurrent.futures.ThreadPoolExecutor(8), [self], options=[("grpc.so_reuseport", 0)])
    self.address = "127.0.0.1:%d" % self.server.add_insecure_port("127.0.0.1:0")
    self.server.start()

  def service(self, details):
    def answer(request, context):
      del request, context
      self.arrived.put(details.method)
      self.go.wait(GIVE_UP)
      return self.name

    return grpc.unary_unary_rpc_method_handler(answer)

  def stop(self):
    self.go.set()
    self.server.stop(None).wait()


class Process:
  """A tether-sidecar. Its lines of standard output are read on a thread."""

  def __init__(self, *flags):
    self.process = subprocess.Popen([SIDECAR, *flags], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                    stderr=subprocess.PIPE, text=True)
    self.lines = {"out": queue.Queue(), "err": queue.Queue()}
    self.threads = [threading.Thread(target=self.read, args=(self.process.stdout, "out")),
                    threading.Thread(target=self.read, args=(self.process.stderr, "err"))]
    for thread in self.threads:
      thread.start()

  def read(self, pipe, name):
    for line in pipe:
      self.lines[name].put(line.rstrip("\n"))
    self.lines[name].put(None)

  def line(self, name="out"):
    """The next line that isn't from gRPC's own log; None at the end."""
    while True:
      line = self.lines[name].get(timeout=GIVE_UP)
      if line is None or not re.match(r"[EIW]\d{4} ", line):
        return line

  def lines_until(self, last):
    lines = []
    while not lines or lines[-1] != last:
      lines.append(self.line())
      if lines[-1] is None:
        raise AssertionError("it ended after %s, and said: %s" % (lines, self.line("err")))
    return lines

  def send(self, number):
    self.process.send_signal(number)

  def wait(self):
    return self.process.wait(GIVE_UP)

  def close(self):
    if self.process.poll() is None:
      self.process.kill()
    self.process.wait()
    for thread in self.threads:
      thread.join()
    self.process.stdout.close()
    self.process.stderr.close()


class MainTest(unittest.TestCase):

  def setUp(self):
    folder = tempfile.TemporaryDirectory()
    self.addCleanup(folder.cleanup)
    self.config = os.path.join(folder.name, "sidecar.textproto")
    self.app = self.make_app("app")

  def make_app(self, name):
    app = App(name)
    self.addCleanup(app.stop)
    return app

  def write(self, text):
    with open(self.config, "w", encoding="utf-8") as file:
      file.write(text)

  def start(self, *flags):
    process = Process(*flags)
    self.addCleanup(process.close)
    return process

  def run_it(self, *flags):
    return subprocess.run([SIDECAR, *flags], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)

  def call(self, address):
    """Starts a call."""
    channel = grpc.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)])
    self.addCleanup(channel.close)
    return channel.unary_unary(METHOD).future(b"x", timeout=GIVE_UP, wait_for_ready=True)

  def ingress(self, app, more=""):
    return 'ingress { listen: "127.0.0.1:0" app: "%s" }\n%s' % (app.address, more)

  # ---- Exit codes ---------------------------------------------------------------------------------------------------

  def test_a_wrong_command_line_is_one_line_and_64(self):
    for flags, error in [
        ([], "ERROR: --config, or --ingress and --app, is required; see --help\n"),
        (["--foo"], "ERROR: Unknown command line flag 'foo'\n"),
        (["--foo", "--bar"], "ERROR: Unknown command line flag 'foo'\n"),
        (["--egress=[::1]:1=a:1", "--egress=[::1]:2=b:1"], "ERROR: --egress is given twice; write LISTEN=TARGET,LISTEN=TARGET\n"),
        (["--app=[::1]:1", "-app=[::1]:2"], "ERROR: --app is given twice\n"),
        (["--check=x"], "ERROR: Illegal value 'x' specified for flag 'check'\n"),
        (["x"], 'ERROR: "x" is not a flag\n'),
        (["--ingress=[::1]:1"], "ERROR: --app: required, but not set\n"),
        (["--check", "--ingress=[::1]:1"], "ERROR: --app: required, but not set\n"),
        (["--config=f", "--mode=full"], "ERROR: --mode can't be used together with --config; set it in the file\n"),
    ]:
      run = self.run_it(*flags)
      self.assertEqual((run.returncode, run.stdout, run.stderr), (64, "", error), flags)

  def test_check_says_ok_or_all_errors(self):
    self.write(self.ingress(self.app))
    run = self.run_it("--check", "--config=" + self.config)
    self.assertEqual((run.returncode, run.stdout, run.stderr), (0, "ok\n", ""))
    self.write("ingress {}\n")
    for flags in (["--check"], []):
      run = self.run_it("--config=" + self.config, *flags)
      self.assertEqual((run.returncode, run.stdout, run.stderr), (
          1, "", "%s:1:1: ingress.listen: required, but not set\n%s:1:1: ingress.app: required, but not set\n" %
          (self.config, self.config)))
    for more, error in [
        ('access_log { path: "/nowhere/x.log" }', "can't open the access log /nowhere/x.log: there is no folder /nowhere/"),
        ('admin { http_listen: "127.0.0.1:0" }',
         "admin.http_listen: this program is built without the page; tether-sidecar-http has it"),
    ]:
      self.write(self.ingress(self.app, more))
      run = self.run_it("--check", "--config=" + self.config)
      self.assertEqual((run.returncode, run.stdout, run.stderr), (1, "", "ERROR: %s\n" % error))
    run = self.run_it("--check", "--ingress=[::1]:1", "--app=[::1]:2")
    self.assertEqual((run.returncode, run.stdout, run.stderr), (0, "ok\n", ""))

  def test_help_and_version(self):
    for flag in ("--help", "-h"):
      run = self.run_it(flag)
      self.assertEqual((run.returncode, run.stderr), (0, ""))
      for name in ("config", "check", "ingress", "app", "egress", "connect", "mode", "admin", "help", "version"):
        self.assertIn("--" + name, run.stdout)
      self.assertLessEqual(max(map(len, run.stdout.split("\n"))), 80)
    self.assertRegex(self.run_it("--version").stdout, r"^tether-sidecar \d+\.\d+\.\d+\n$")

  def test_a_port_that_is_taken_is_an_error(self):
    run = self.run_it("--ingress=" + self.app.address, "--app=127.0.0.1:1")
    self.assertEqual((run.returncode, run.stdout), (1, ""))
    self.assertIn("ERROR: can't listen on %s\n" % self.app.address, run.stderr)

  # ---- A life -------------------------------------------------------------------------------------------------------

  def test_it_names_its_ports_and_ends_with_0(self):
    for number in (signal.SIGTERM, signal.SIGINT):
      with tempfile.TemporaryDirectory() as folder:
        process = self.start("--ingress=127.0.0.1:0", "--app=" + self.app.address,
                             "--egress=localhost:0=%s,unix:%s/s=dns:///orders:1" % (self.app.address, folder))
        lines = process.lines_until("ready")
        self.assertEqual(len(lines), 4, lines)
        self.assertRegex(lines[0], r"^ingress 127\.0\.0\.1:[1-9]\d*$")
        self.assertRegex(lines[1], r"^egress localhost:[1-9]\d* -> " + re.escape(self.app.address))
        self.assertEqual(lines[2], "egress unix:%s/s -> dns:///orders:1" % folder)
        self.assertEqual(self.call(lines[0].split()[1]).result(), b"app")
        self.assertEqual(self.call(lines[1].split()[1]).result(), b"app")
        process.send(number)
        self.assertEqual(process.lines_until("draining"), ["draining"])
        self.assertEqual(process.wait(), 0)
        self.assertIsNone(process.line("err"))

  def test_running_requests_end_before_the_process_does(self):
    process = self.start("--ingress=127.0.0.1:0", "--app=" + self.app.address)
    address = process.lines_until("ready")[0].split()[1]
    self.app.go.clear()
    call = self.call(address)
    self.app.arrived.get(timeout=GIVE_UP)
    process.send(signal.SIGTERM)
    process.lines_until("draining")
    self.app.go.set()
    self.assertEqual(call.result(), b"app")
    self.assertEqual(process.wait(), 0)

  def test_requests_that_take_too_long_are_ended(self):
    self.write(self.ingress(self.app, "drain { nanos: 1000000 }"))
    process = self.start("--config=" + self.config)
    address = process.lines_until("ready")[0].split()[1]
    self.app.go.clear()
    call = self.call(address)
    self.app.arrived.get(timeout=GIVE_UP)
    process.send(signal.SIGTERM)
    self.assertEqual(call.exception(GIVE_UP).code(), grpc.StatusCode.UNAVAILABLE)
    self.assertEqual(process.wait(), 0)

  def test_a_second_signal_ends_it_at_once(self):
    process = self.start("--ingress=127.0.0.1:0", "--app=" + self.app.address)
    address = process.lines_until("ready")[0].split()[1]
    self.app.go.clear()
    call = self.call(address)
    self.app.arrived.get(timeout=GIVE_UP)
    process.send(signal.SIGTERM)
    process.lines_until("draining")
    process.send(signal.SIGTERM)
    self.assertEqual(process.wait(), -signal.SIGTERM)
    self.assertEqual(call.exception(GIVE_UP).code(), grpc.StatusCode.UNAVAILABLE)

  # ---- Reload -------------------------------------------------------------------------------------------------------

  def test_a_reload_loses_no_call(self):
    other = self.make_app("other")
    self.write(self.ingress(self.app))
    process = self.start("--config=" + self.config)
    address = process.lines_until("ready")[0].split()[1]
    self.app.go.clear()
    running = self.call(address)
    self.app.arrived.get(timeout=GIVE_UP)
    self.write(self.ingress(other, 'egress { listen: "127.0.0.1:0" target: "%s" }' % self.app.address))
    process.send(signal.SIGHUP)
    lines = process.lines_until("reloaded")
    self.assertEqual(lines[0], "ingress " + address)
    self.assertRegex(lines[1], r"^egress 127\.0\.0\.1:[1-9]\d* -> " + re.escape(self.app.address))
    # New calls follow the new configuration, and the old one ends as it began.
    self.assertEqual(self.call(address).result(), b"other")
    self.app.go.set()
    self.assertEqual(running.result(), b"app")
    self.assertEqual(self.call(lines[1].split()[1]).result(), b"app")
    process.send(signal.SIGTERM)
    self.assertEqual(process.wait(), 0)

  def test_a_wrong_configuration_changes_nothing(self):
    self.write(self.ingress(self.app))
    process = self.start("--config=" + self.config)
    address = process.lines_until("ready")[0].split()[1]
    self.write(self.ingress(self.app, "mode: SOME"))
    process.send(signal.SIGHUP)
    self.assertRegex(process.line("err"), "^%s:2:.*SOME" % re.escape(self.config))
    self.assertEqual(process.line("err"), "ERROR: not reloaded")
    # Is right, but needs a port that is taken.
    self.write('ingress { listen: "%s" app: "127.0.0.1:1" }' % self.app.address)
    process.send(signal.SIGHUP)
    self.assertEqual(process.line("err"), "ERROR: not reloaded: can't listen on " + self.app.address)
    self.write(self.ingress(self.app, 'admin { grpc_listen: "127.0.0.1:0" }'))
    process.send(signal.SIGHUP)
    self.assertEqual(process.line("err"), "ERROR: not reloaded: admin can't be changed without a restart")
    os.remove(self.config)
    process.send(signal.SIGHUP)
    self.assertEqual(process.line("err"), self.config + ": can't be read: No such file or directory")
    self.assertEqual(process.line("err"), "ERROR: not reloaded")
    self.assertEqual(self.call(address).result(), b"app")
    process.send(signal.SIGTERM)
    self.assertEqual(process.lines_until("draining"), ["draining"])
    self.assertEqual(process.wait(), 0)

  def test_flags_are_the_same_after_a_reload(self):
    process = self.start("--ingress=127.0.0.1:0", "--app=" + self.app.address)
    lines = process.lines_until("ready")
    process.send(signal.SIGHUP)
    self.assertEqual(process.lines_until("reloaded"), [lines[0], "reloaded"])
    self.assertEqual(self.call(lines[0].split()[1]).result(), b"app")


if __name__ == "__main__":
  unittest.main()
