#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs tetherctl against servers with scripted answers: on a terminal, with keys and signals, and in a pipe.

  tetherctl_test.py TETHERCTL FAKE_INSPECTOR
"""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "testing"))
import terminal  # noqa: E402

TETHERCTL = FAKE = ""
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
# Would set the title, clear the screen and change the colour of a terminal.
EVIL = "\\033]0;title\\007\\033[2J\\302\\233" + "31m\\r\\n"
DOWN, PAGE_DOWN, END, ESCAPE = b"\x1bOB", b"\x1b[6~", b"\x1bOF", b"\x1b"


def request(method, age_us, left_us, trace="", rest=""):
  left = "time_left_us: %d " % left_us if left_us is not None else ""
  return 'requests { method: "%s" age_us: %d %strace_id: "%s" %s }\n' % (method, age_us, left, trace, rest)


def call(method, target, age_us, left_us):
  return 'waits_for { method: "%s" target: "%s" age_us: %d time_left_us: %d }' % (method, target, age_us, left_us)


def snapshot(process, pid, *entries):
  count = sum(e.startswith("requests") for e in entries)
  return 'snapshot { process: "%s" pid: %d requests_in_flight: %d\n%s}' % (process, pid, count, "".join(entries))


class Fake:
  """A process with an Inspector."""

  def __init__(self, answer, health=None):
    self.folder = tempfile.TemporaryDirectory()
    self.answer(answer)
    files = [self.file("snapshot")]
    if health is not None:
      with open(self.file("health"), "w", encoding="utf-8") as file:
        file.write(health)
      files.append(self.file("health"))
    self.process = subprocess.Popen([FAKE] + files, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    self.address = "127.0.0.1:" + self.process.stdout.readline().split()[-1]

  def file(self, name):
    return os.path.join(self.folder.name, name)

  def answer(self, text):
    with open(self.file("new"), "w", encoding="utf-8") as file:
      file.write(text)
    os.rename(self.file("new"), self.file("snapshot"))

  def stop(self):
    if self.process.poll() is None:
      self.process.stdin.close()
      self.process.wait()
      self.process.stdout.close()
    self.folder.cleanup()


class TetherctlTest(unittest.TestCase):

  def setUp(self):
    self.storefront = self.fake(snapshot(
        "storefront", 11,
        request("/shop.v1.Storefront/GetOrderPage", 260000, 740000, TRACE,
                call("/shop.v1.Orders/GetOrder", "dns:///orders:9090", 259000, 740000))), 'health { process: "storefront" }')
    self.orders = self.fake(snapshot(
        "orders", 12,
        request("/shop.v1.Orders/GetOrder", 258000, 700000, TRACE,
                call("/shop.v1.Inventory/GetStock", "dns:///inventory:9090", 257000, 50000)),
        request("/shop.v1.Orders/Export", 12345000, -3200000, "", "ended_by: END_REASON_CALLER_LEFT")),
        'health { process: "orders" findings { severity: SEVERITY_WARNING kind: KIND_DEAF_HANDLER what: "It is deaf." } }')
    self.both = [self.storefront.address, self.orders.address]

  def fake(self, answer, health=None):
    fake = Fake(answer, health)
    self.addCleanup(fake.stop)
    return fake

  def top(self, *words, **options):
    result = terminal.Terminal([TETHERCTL, "top", "--interval=100ms"] + list(words), **options)
    self.addCleanup(result.close)
    return result

  def run_it(self, *words, **variables):
    return subprocess.run([TETHERCTL] + list(words), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
                          check=False, env=dict(os.environ, **variables))

  def assert_is_clean(self, run):
    """The evil text is there, and nothing that a terminal obeys."""
    self.assertIn("?]0;t", run.stdout)
    self.assertNotRegex(run.stdout + run.stderr, "[\x00-\x09\x0b-\x1f\x7f-\x9f]")

  def test_top_shows_all_processes_and_quits(self):
    top = self.top(*self.both, "127.0.0.1:1")
    top.wait_for(lambda s: "GetOrderPage" in s and "Orders/Export" in s and "no connection" in s)
    lines = top.screen.lines()
    self.assertEqual(lines[0], "3 requests, 0 calls in 3 processes, by time left")
    self.assertRegex(lines[1], "^127.0.0.1:1  no connection: ")
    self.assertRegex(lines[2], "^ *LEFT +AGE STATE +METHOD +PROCESS +WAITS FOR$")
    # The least time left first.
    self.assertRegex(lines[3], r"^-3.20s ░░░░  12.3s caller left Orders/Export +orders$")
    self.assertRegex(lines[4], r"^ 700ms ███░  258ms waiting +Orders/GetOrder +orders +inventory:9090$")
    self.assertRegex(lines[5], r"^ 740ms ███░  260ms waiting +Storef.*OrderPage +storefront orders:9090$")
    self.assertRegex(lines[23], "^q quit")
    top.press("q")
    self.assertEqual(top.end(), 0)
    self.assertTrue(top.is_restored())

  def test_keys_sort_filter_pause_and_select(self):
    top = self.top(*self.both)
    top.wait_for(lambda s: "GetOrderPage" in s and "Export" in s)
    top.press("m")
    top.wait_for(lambda s: "by method" in s and s.index("Export") < s.index("Orders/GetOrder") < s.index("GetOrderPage"))
    top.press(END)
    top.wait_for_text("trace " + TRACE)
    top.press("/Exp")
    top.wait_for(lambda s: "method or trace: Exp_" in s and "GetOrderPage" not in s)
    top.press("\r")
    top.wait_for_text("filter Exp")
    top.press(ESCAPE)
    top.wait_for_text("GetOrderPage")
    top.press("p")
    top.wait_for_text("PAUSED")
    self.orders.answer(snapshot("orders", 12, request("/shop.v1.Orders/Brandnew", 1000, 1000)))
    top.press("t")
    top.wait_for_text("by time left")
    # For several intervals.
    for _ in range(10):
      top.read(0.05)
      self.assertNotIn("Brandnew", top.screen.text())
    top.press("p")
    top.wait_for(lambda s: "Brandnew" in s and "Export" not in s)
    top.press("q")
    self.assertEqual(top.end(), 0)

  def test_long_lists_scroll_and_the_size_may_change(self):
    self.orders.answer(snapshot("orders", 12, *[request("/S/M%03d" % i, 1000, 1000 * i) for i in range(1, 101)]))
    top = self.top(self.orders.address)
    top.wait_for(lambda s: "rows 1-19 of 100" in s and "S/M019" in s and "S/M020" not in s)
    top.press(PAGE_DOWN)
    top.wait_for(lambda s: "rows 2-20 of 100" in s and "S/M020" in s)
    top.press(DOWN)
    top.wait_for(lambda s: "rows 3-21 of 100" in s and "S/M021" in s)
    top.resize(120, 40)
    top.wait_for(lambda s: s.split("\n")[39].startswith("q quit") and "rows 3-37 of 100" in s)
    top.press(END)
    top.wait_for_text("rows 66-100 of 100")
    top.resize(40, 6)
    top.wait_for(lambda s: "S/M" in s and s.split("\n")[5].startswith("q quit"))
    top.press("q")
    self.assertEqual(top.end(), 0)
    self.assertTrue(top.is_restored())

  def test_signals_restore_the_terminal(self):
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
      with self.subTest(number):
        top = self.top(*self.both)
        top.wait_for_text("GetOrderPage")
        top.process.send_signal(number)
        self.assertEqual(top.end(), 128 + number)
        self.assertTrue(top.is_restored())

  def test_control_c_is_a_signal(self):
    top = self.top(*self.both)
    top.wait_for_text("GetOrderPage")
    top.press(b"\x03")
    self.assertEqual(top.end(), 128 + signal.SIGINT)
    self.assertTrue(top.is_restored())

  def test_a_terminal_that_is_closed_ends_it(self):
    top = self.top(*self.both)
    top.wait_for_text("GetOrderPage")
    top.hang_up()
    self.assertEqual(top.process.wait(terminal.GIVE_UP), 128 + signal.SIGHUP)

  def test_it_can_be_stopped_and_continued(self):
    # Only a shell with job control can stop a program.
    script = '"$@"; echo "stopped $?"; read -r; fg >/dev/null; echo "ended $?"'
    top = terminal.Terminal(["bash", "--norc", "-ic", script, "sh", TETHERCTL, "top"] + self.both)
    self.addCleanup(top.close)
    top.wait_for_text("GetOrderPage")
    top.press(b"\x1a")  # Ctrl-Z
    top.wait_for_text("stopped 148")
    self.assertTrue(top.is_restored())
    top.press("\n")
    top.wait_for_text("GetOrderPage")
    top.press("m")
    top.wait_for_text("by method")
    top.press("q")
    top.wait_for_text("ended 0")
    self.assertTrue(top.is_restored())

  def test_a_process_that_ends_is_told(self):
    top = self.top(*self.both)
    top.wait_for_text("GetOrderPage")
    self.orders.process.stdin.close()
    self.orders.process.wait()
    self.orders.process.stdout.close()
    top.wait_for(lambda s: "no connection" in s and "Orders/Export" not in s and "GetOrderPage" in s)
    top.press("q")
    self.assertEqual(top.end(), 0)

  def test_colors_only_if_wanted(self):
    color = re.compile(rb"\x1b\[[0-9;]*3[1-3][;m]")
    for variables, has_colors in (({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "xterm-mono"}, False)):
      with self.subTest(variables):
        top = self.top(*self.both, env=variables)
        top.wait_for_text("GetOrderPage")
        top.press("q")
        self.assertEqual(top.end(), 0)
        self.assertEqual(bool(color.search(top.output)), has_colors)

  def test_a_hostile_server_writes_nothing_but_text(self):
    self.orders.answer(snapshot(EVIL, 12, request(EVIL, 1, 2, EVIL, call(EVIL, EVIL, 1, 2))))
    top = self.top(*self.both)
    # The terminal fails the test if there is anything that it doesn't know.
    top.wait_for(lambda s: "?]0;t" in s and "orders:9090" in s)
    top.press("q")
    self.assertEqual(top.end(), 0)
    self.assertNotIn(b"\x07", top.output)
    for words in (["top", "--once"], ["top", "--once", "--json"]):
      self.assert_is_clean(self.run_it(*words, *self.both))

  def test_a_hostile_diagnosis_writes_nothing_but_text(self):
    finding = 'findings { severity: SEVERITY_WARNING kind: KIND_DEAF_HANDLER %s trace_ids: "%s" }' % (
        " ".join('%s: "%s"' % (field, EVIL) for field in ("method", "callee", "what", "fix")), EVIL)
    hostile = self.fake(snapshot("hostile", 13), 'health { process: "%s" %s methods { method: "%s" } }' % (EVIL, finding, EVIL))
    for words in (["doctor"], ["doctor", "--json"]):
      run = self.run_it(*words, hostile.address)
      self.assertEqual(run.returncode, 1)
      self.assert_is_clean(run)

  def test_a_hostile_tree_writes_nothing_but_text(self):
    self.orders.answer(snapshot(EVIL, 12, request(EVIL, 1, 2, TRACE, call(EVIL, EVIL, 1, 2) + ' request_id: "%s"' % EVIL)))
    run = self.run_it("tree", TRACE, *self.both)
    self.assertEqual(run.returncode, 0)
    self.assert_is_clean(run)

  def test_without_a_terminal_top_says_what_to_do(self):
    run = self.run_it("top", *self.both)
    self.assertEqual((run.returncode, run.stdout), (2, ""))
    self.assertIn("--once", run.stderr)
    # ncurses' newterm, which fails then, leaks 1,624 bytes.
    no_leaks = ":".join(filter(None, [os.environ.get("ASAN_OPTIONS"), "detect_leaks=0"]))
    top = self.top(*self.both, env={"TERM": "no-such-terminal", "ASAN_OPTIONS": no_leaks})
    self.assertEqual(top.end(), 2)
    self.assertIn(b"$TERM", top.process.stderr.read())

  def test_once_is_plain_text(self):
    run = self.run_it("top", "--once", "--sort=age", "127.0.0.1:1", *self.both, COLUMNS="80")
    self.assertEqual((run.returncode, run.stderr), (2, ""))
    lines = run.stdout.splitlines()
    self.assertRegex(lines[0], "^127.0.0.1:1: no connection: ")
    self.assertIn("Orders/Export", lines[5])
    self.assertLessEqual(max(map(len, lines)), 80)
    run = self.run_it("top", "--once", "--method=Page", *self.both)
    self.assertEqual(run.returncode, 0)
    self.assertIn(TRACE, run.stdout)
    self.assertNotIn("Export", run.stdout)

  def test_json_is_one_object(self):
    run = self.run_it("top", "--once", "--json", *self.both)
    self.assertEqual(run.returncode, 0)
    processes = json.loads(run.stdout)["processes"]
    self.assertEqual([p["address"] for p in processes], self.both)
    first = processes[0]["snapshot"]["requests"][0]
    self.assertEqual(first["method"], "/shop.v1.Storefront/GetOrderPage")
    self.assertEqual(int(first["timeLeftUs"]), int(first["waitsFor"][0]["timeLeftUs"]))

  def test_tree_goes_across_processes(self):
    run = self.run_it("tree", TRACE, *self.both, COLUMNS="80")
    self.assertEqual((run.returncode, run.stderr), (0, ""))
    lines = run.stdout.splitlines()
    self.assertRegex(lines[1], "^storefront@127.* Storefront/GetOrderPage .* waiting$")
    self.assertRegex(lines[2], "^  orders@127.* Orders/GetOrder .* waiting$")
    self.assertRegex(lines[3], "^    -> inventory:9090 .* Inventory/GetStock .* not asked$")
    self.assertEqual(self.run_it("tree", 32 * "1", *self.both).returncode, 1)

  def test_doctor_has_exit_codes(self):
    run = self.run_it("doctor", *self.both)
    self.assertEqual(run.returncode, 1)
    self.assertIn("It is deaf.", run.stdout)
    self.assertEqual(self.run_it("doctor", self.both[0]).returncode, 0)
    self.assertEqual(self.run_it("doctor", "127.0.0.1:1", *self.both).returncode, 2)
    health = json.loads(self.run_it("doctor", "--json", *self.both).stdout)["processes"][1]["health"]
    self.assertEqual(health["findings"][0]["what"], "It is deaf.")
    silent = self.fake(snapshot("silent", 13))
    run = self.run_it("doctor", silent.address)
    self.assertEqual(run.returncode, 2)
    self.assertIn("tether::StartMetrics()", run.stdout)

  def test_help(self):
    for words in (["help"], ["--help"], ["top", "--help"], ["-h"]):
      run = self.run_it(*words)
      self.assertEqual((run.returncode, run.stderr), (0, ""))
      for flag in ("once", "json", "interval", "timeout", "method", "trace", "max", "sort", "tls", "ca_cert"):
        self.assertRegex(run.stdout, "(?m)^  --%s " % flag)
      self.assertLessEqual(max(map(len, run.stdout.splitlines())), 80)

  def test_version(self):
    for words in (["--version"], ["top", "--version"]):
      run = self.run_it(*words)
      self.assertEqual((run.returncode, run.stderr), (0, ""))
      self.assertRegex(run.stdout, r"\Atetherctl \d+\.\d+\.\d+\n\Z")

  def test_mistakes_get_exit_code_2_and_a_line(self):
    for words, text in (
        ([], "a command is missing"), (["tops", "a:1"], "unknown command"), (["top"], "HOST:PORT is missing"),
        (["tree", "xyz", "a:1"], "isn't a trace id"), (["doctor", "a"], "isn't HOST:PORT"),
        (["top", "a:1", "--nonsense"], "nonsense"), (["top", "a:1", "--timeout=x"], "timeout"),
        (["top", "a:1", "--timeout=0"], "--timeout must"), (["top", "a:1", "--interval=1ms"], "--interval must"),
        (["top", "a:1", "--max=0"], "--max must"), (["top", "a:1", "--max=10001"], "--max must"),
        (["top", "a:1", "--sort=x"], "--sort must"), (["top", "a:1", "--trace=x"], "--trace"),
        (["top", "a:1", "--json"], "--json needs --once"), (["doctor", "a:1", "--ca_cert=x"], "--ca_cert needs --tls"),
        (["tree", TRACE, "a:1", "--json"], "--json is for"),
        (["doctor", "a:1", "--tls", "--ca_cert=/nowhere"], "can't read --ca_cert=/nowhere")):
      with self.subTest(words):
        run = self.run_it(*words)
        self.assertEqual((run.returncode, run.stdout), (2, ""))
        self.assertIn(text, run.stderr)

  def test_the_terminal_of_these_tests_reads_to_the_end(self):
    top = terminal.Terminal(["sh", "-c", "printf %06000d 1; printf 2"])
    self.addCleanup(top.close)
    top.process.wait(terminal.GIVE_UP)  # two reads are needed for what it has left behind
    self.assertEqual(top.end(), 0)
    self.assertTrue(top.output.endswith(b"0012"))


if __name__ == "__main__":
  FAKE = sys.argv.pop(2)
  TETHERCTL = sys.argv.pop(1)
  unittest.main()
