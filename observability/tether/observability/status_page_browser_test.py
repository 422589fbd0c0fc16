#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Opens StatusPage's pages in a browser while what they show changes, at the sizes of a phone and of a screen.

  status_page_browser_test.py SCRIPTED_STATUS_PAGE

It writes screenshots into the folder TETHER_SCREENSHOTS, or among the test's outputs (bazel-testlogs/.../test.outputs).
"""

import json
import os
import subprocess
import sys
import tempfile
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
# Here, or where Bazel puts the test of //observability.
sys.path[:0] = [os.path.join(HERE, "testing"), os.path.join(HERE, "tether/observability/testing")]
from browser import Browser  # noqa: E402

PROGRAM = ""
SIZES = [(360, 800), (390, 844), (768, 1024), (1000, 800), (1280, 800)]
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
HOSTILE = "/<script>alert(1)</script>\"'></script><img src=x onerror=alert(2)>/<b onclick=alert(3)>${alert(4)}"

# Measures the layout and the contrast of all visible texts.
PROBE = """(() => {
  const numbers = color => color.match(/[\\d.]+/g).map(Number);
  const luminance = color => numbers(color).slice(0, 3).map(c => c / 255)
    .map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = e => {
    for (; e; e = e.parentElement) {
      const color = numbers(getComputedStyle(e).backgroundColor);
      if (color.length < 4 || color[3] > 0) return getComputedStyle(e).backgroundColor;
    }
    return 'rgb(255, 255, 255)';
  };
  const texts = [...document.querySelectorAll('body *')].filter(e => !['SCRIPT', 'NOSCRIPT'].includes(e.tagName) &&
    e.offsetWidth > 1 && !e.closest('thead') && [...e.childNodes].some(n => n.nodeType == 3 && n.data.trim()));
  const contrast = e => {
    const [a, b] = [luminance(getComputedStyle(e).color), luminance(ground(e))];
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  };
  const worst = texts.reduce((a, b) => contrast(a) < contrast(b) ? a : b);
  return {
    scroll_width: document.documentElement.scrollWidth, inner_width: innerWidth,
    // Of the window, or of the card or the table that would clip them.
    beyond: texts.filter(e => [document.body, e.closest('table'), e.closest('.card')].some(around => {
      const [b, a] = [e.getBoundingClientRect(), (around ?? document.body).getBoundingClientRect()];
      return b.right > a.right + 0.5 || b.left < a.left - 0.5;
    })).map(e => e.textContent),
    cut: texts.filter(e => e.scrollWidth > e.clientWidth + 1 && e.clientWidth > 0).map(e => e.textContent),
    contrast: [contrast(worst), worst.textContent],
    page_luminance: luminance(getComputedStyle(document.body).backgroundColor),
    ink_luminance: luminance(getComputedStyle(document.body).color),
  };
})()"""

# What the table of requests shows.
ROWS = """[...document.querySelectorAll('#requests > tr.request')].map(row => ({
  method: row.querySelector('.toggle').textContent, text: row.innerText, is_open: !row.nextElementSibling.hidden,
  left: row.querySelector('.number').textContent,
  bar: row.querySelector('.lane i').getBoundingClientRect().width / row.querySelector('.lane').getBoundingClientRect().width,
  bar_class: row.querySelector('.lane i').className,
}))"""


def request(method, left_us=None, age_us=100_000, **fields):
  entry = {"method": "/shop.v1.Orders/" + method if "/" not in method else method, "ageUs": age_us, "observed": True,
           "peer": "ipv4:127.0.0.1:40000", "style": "API_STYLE_SYNC", "requestId": "id of " + method}
  if left_us is not None:
    entry.update(timeLeftUs=left_us, deadlineOwner="DEADLINE_OWNER_CALLER")
  entry.update(fields)
  return entry


def snapshot(*requests, **fields):
  return dict({"process": "orders", "pid": 4242, "requestsInFlight": len(requests), "requests": requests}, **fields)


def picture():
  """A snapshot with everything that a request can have."""
  call = {"method": "/shop.v1.Inventory/GetStock", "target": "dns:///inventory:443", "traceId": TRACE, "ageUs": 1_210_000,
          "timeLeftUs": 742_000}
  return snapshot(
      request("GetOrder", -340_000, 2_340_000, traceId="9c1f0f6be27a4b41a8e2f4a1d6d0a3b7", observed=True,
              endedBy="END_REASON_INHERITED_DEADLINE", endedAgoUs=340_000, requestId="web-7f31",
              waitsFor=[dict(call, timeLeftUs=-340_000, ageUs=2_310_000, endedBy="END_REASON_CANCELLED")]),
      request("GetOrder", 742_000, 1_258_000, traceId=TRACE, requestId="web-7f32", peer="ipv4:10.1.2.3:51234",
              waitsFor=[call, dict(call, method="/shop.v1.Prices/GetPrice", label="price", target="dns:///prices:443",
                                   timeLeftUs=242_000)]),
      request("GetOrder", 1_630_000, 370_000, traceId="0af7651916cd43dd8448eb211c80319c", requestId="web-7f33",
              peer="ipv4:10.1.2.4:40112", deadlineOwner="DEADLINE_OWNER_BASE_CONTEXT",
              waitsFor=[dict(call, ageUs=310_000, timeLeftUs=1_600_000)]),
      request("PlaceOrder", 4_100_000, 900_000, traceId="b7ad6b7169203331b7ad6b7169203331", style="API_STYLE_CALLBACK",
              peer="ipv6:[2001:db8::17]:50710", requestId="app-0001", endedBy="END_REASON_CALLER_LEFT", endedAgoUs=612_000),
      request("ListOrders", 9_300_000, 700_000, traceId="", deadlineOwner="DEADLINE_OWNER_DEFAULT_TIMEOUT", observed=False,
              peer="unix:/run/shop/orders.sock", requestId="cron-17"),
      request("ExportOrders", None, 754_000_000, traceId="", style="API_STYLE_ASYNC", observed=False, requestId="night-1"),
      callsInFlight=5, otherCalls=[
          {"method": "/shop.v1.Audit/Write", "target": "dns:///audit:443", "ageUs": 8_120_000},
          {"method": "/shop.v1.Inventory/Refresh", "target": "dns:///inventory:443", "label": "cache", "ageUs": 20_000,
           "timeLeftUs": 480_000, "traceId": "00f067aa0ba902b700f067aa0ba902b7"}])


def health(*findings, counted_us=3_723_000_000):
  methods = [
      {"method": "/shop.v1.Orders/GetOrder", "requests": 1_204_331, "deaf": 12, "deafLongestUs": 1_840_000,
       "callsWithoutContext": 118, "withoutDeadline": 40},
      {"method": "/shop.v1.Orders/ListOrders", "requests": 640, "withoutDeadline": 640, "withoutTrace": 640},
      {"method": "/shop.v1.Inventory/GetStock", "calls": 1_204_449, "backgroundCalls": 2}]
  return {"process": "orders", "pid": 4242, "countedUs": counted_us, "findings": findings,
          "methods": methods if counted_us else []}


FINDINGS = [
    {"kind": "KIND_CONTEXT_NOT_HANDED_ON", "severity": "SEVERITY_WARNING", "method": "/shop.v1.Orders/GetOrder",
     "callee": "/shop.v1.Inventory/GetStock", "count": 118, "total": 1_204_331,
     "what": "The handler made 118 calls without the context of its request.",
     "fix": "Pass tether::ContextOf(server_context) to the ClientCall."},
    {"kind": "KIND_DEAF_HANDLER", "severity": "SEVERITY_WARNING", "method": "/shop.v1.Orders/GetOrder", "count": 12,
     "total": 1_204_331, "longestUs": 1_840_000, "traceIds": [TRACE, "0af7651916cd43dd8448eb211c80319c"],
     "what": "The handler ran on for up to 1.84 s after its context had ended.",
     "fix": "Look at ctx.Done() between steps, and hand the context to everything that waits."},
    {"kind": "KIND_NO_TRACE", "severity": "SEVERITY_INFO", "method": "/shop.v1.Orders/ListOrders", "count": 640,
     "total": 640, "what": "All requests came without a trace.", "fix": "Install tether in the client."}]


class ScriptedPage:
  """The page, and what it shows."""

  def __init__(self):
    self.process = subprocess.Popen([PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    self.url = "http://%s" % self.process.stdout.readline().strip()

  def show(self, kind, message):
    self.process.stdin.write("%s %s\n" % (kind, json.dumps(message)))
    self.process.stdin.flush()
    answer = self.process.stdout.readline().strip()
    assert answer == "ok", answer

  def stop(self):
    self.process.stdin.close()
    self.process.stdout.close()
    self.process.wait()


class StatusPageBrowserTest(unittest.TestCase):

  @classmethod
  def setUpClass(cls):
    cls.browser = Browser()
    cls.enterContextOf(cls.browser)
    cls.outputs = os.environ.get("TETHER_SCREENSHOTS") or os.environ.get("TEST_UNDECLARED_OUTPUTS_DIR")
    if not cls.outputs:
      folder = tempfile.TemporaryDirectory()
      cls.addClassCleanup(folder.cleanup)
      cls.outputs = folder.name

  @classmethod
  def enterContextOf(cls, manager):
    manager.__enter__()
    cls.addClassCleanup(manager.__exit__, None, None, None)

  def setUp(self):
    self.page = ScriptedPage()
    self.addCleanup(self.page.stop)
    self.browser.resize(1280, 800)

  def show(self, *requests, **fields):
    self.page.show("snapshot", snapshot(*requests, **fields))

  def show_live(self, *requests, **fields):
    self.page.show("live", snapshot(*requests, **fields))

  def rows(self):
    return self.browser.run(ROWS)

  def open(self, path="/"):
    self.browser.open(self.page.url + path)
    self.browser.until("document.getElementById('state').textContent === 'live'")

  def until_methods(self, *methods):
    self.browser.until("JSON.stringify([...document.querySelectorAll('#requests .toggle')].map(t => t.textContent)) === %s" %
                       json.dumps(json.dumps(methods, separators=(",", ":"))))

  def check_layout(self):
    result = self.browser.run(PROBE)
    self.assertEqual(result["scroll_width"], result["inner_width"], "it must be scrolled sideways")
    self.assertEqual(result["beyond"], [], "texts that are cut off")
    self.assertEqual(result["cut"], [], "texts that are wider than their place")
    self.assertGreaterEqual(result["contrast"][0], 4.5, result["contrast"])
    return result

  def test_rows_appear_in_order_and_vanish(self):
    self.show()
    self.open()
    self.browser.until("!document.getElementById('no-requests').hidden")
    self.assertEqual(self.rows(), [])

    self.show(request("Never"), request("Late", 1_500_000, 500_000), request("Over", -20_000, 1_000_000),
              request("Soon", 300_000, 700_000))
    self.until_methods("Over", "Soon", "Late", "Never")
    over, soon, late, never = self.rows()
    for row, share in ((over, 1), (soon, 0.3), (late, 0.75)):
      self.assertAlmostEqual(row["bar"], share, delta=0.02)
    self.assertEqual([row["bar_class"] for row in (over, soon, late)], ["over", "", ""])
    self.assertEqual([row["left"] for row in (over, soon, late, never)], ["−20 ms", "300 ms", "1.50 s", "no limit"])
    self.assertEqual(never["bar"], 0)
    self.assertIn("caller's deadline", soon["text"])
    self.assertTrue(self.browser.run("document.getElementById('no-requests').hidden"))

    self.show(request("Never"), request("Late", 500_000, 1_500_000))
    self.until_methods("Late", "Never")
    self.show()
    self.until_methods()
    self.assertEqual(self.browser.run("document.querySelectorAll('#requests *').length"), 0)
    self.assertEqual(self.browser.complaints(), [])

  def test_states_say_what_is_wrong(self):
    self.page.show("snapshot", picture())
    self.open()
    self.until_methods("GetOrder", "GetOrder", "GetOrder", "PlaceOrder", "ListOrders", "ExportOrders")
    rows = [row["text"] for row in self.rows()]
    for row, texts in ((0, ["works on for nobody", "the caller's deadline, 340 ms ago", "waits for 1 call"]),
                       (1, ["waits for 2 calls", TRACE, "of 2.00 s, caller's deadline", "ipv4:10.1.2.3:51234"]),
                       (2, ["of 2.00 s, server's base context"]),
                       (3, ["works on for nobody", "the caller left, 612 ms ago", "callback"]),
                       (4, ["nobody has looked at its context", "server's default"]), (5, ["no deadline", "12 min"])):
      for text in texts:
        self.assertIn(text, rows[row])
    self.assertNotIn("nobody has looked", rows[0])
    others = self.browser.run("document.getElementById('calls').innerText")
    for text in ("Refresh", "to dns:///audit:443", "cache", "no deadline"):
      self.assertIn(text, others)
    facts = self.browser.run("document.querySelector('.facts').innerText")
    for text in ("4242", "6", "5", "2"):
      self.assertIn(text, facts)

  def test_calls_that_are_not_listed_are_counted(self):
    waits = [{"method": "/shop.v1.Inventory/GetStock", "ageUs": 5_000}]
    self.show(request("All", 1_000_000, waitsFor=waits, waitsForTotal="1"), request("None", 2_000_000),
              request("Cut", 3_000_000, waitsFor=waits, waitsForTotal="1250"), request("Unlisted", 4_000_000, waitsForTotal="70"))
    self.open()
    self.until_methods("All", "None", "Cut", "Unlisted")
    for row, text in zip(self.rows(), ("waits for 1 call\n", "at work", "waits for 1,250 calls", "waits for 70 calls")):
      self.assertIn(text, row["text"])
    self.browser.run("document.querySelectorAll('#requests .toggle').forEach(toggle => toggle.click())")
    details = self.browser.run("[...document.querySelectorAll('#requests > tr.more')].map(row => row.innerText)")
    for detail, text in zip(details, ("GetStock", "It waits for no call.", "And for 1,249 more calls.", "It waits for 70 calls.")):
      self.assertIn(text, detail)
    self.assertEqual([" more call" in detail for detail in details], [False, False, True, False])
    self.check_layout()

  def test_an_open_row_and_the_focus_survive_refreshes(self):
    call = {"method": "/shop.v1.Inventory/GetStock", "target": "dns:///inventory:443", "ageUs": 5_000, "timeLeftUs": 90_000_000}
    mine = dict(traceId=TRACE, requestId="mine")
    begin, age = time.monotonic(), 10_000_000
    self.show_live(request("A", 60_000_000), request("Mine", 70_000_000, age, **mine), request("B", 80_000_000))
    self.open()
    self.until_methods("A", "Mine", "B")
    self.browser.run("document.querySelectorAll('#requests .toggle')[1].focus()")
    self.browser.press_enter()
    self.assertEqual([row["is_open"] for row in self.rows()], [False, True, False])
    self.browser.run("window.mark = document.querySelectorAll('#requests .toggle')[1]")

    # It moves, others come and go, and it now waits for a call.
    self.show_live(request("C", -10_000), request("B", 60_000_000), request("D", 65_000_000),
                   request("Mine", 70_000_000, age + int((time.monotonic() - begin) * 1e6), waitsFor=[call], **mine))
    self.until_methods("C", "B", "D", "Mine")
    self.assertEqual([row["is_open"] for row in self.rows()], [False, False, False, True])
    self.assertTrue(self.browser.run("document.activeElement === mark && mark.isConnected"))
    self.assertEqual(self.browser.run("mark.getAttribute('aria-expanded')"), "true")
    detail = self.browser.run("document.getElementById(mark.getAttribute('aria-controls')).innerText")
    for text in ("mine", "GetStock", "to dns:///inventory:443", "/shop.v1.Orders/Mine"):
      self.assertIn(text, detail)

    # Another request with the same texts is another row. The focus goes to its neighbour.
    self.show_live(request("C", -10_000), request("Mine", 70_000_000, 0, **mine))
    self.until_methods("C", "Mine")
    self.browser.until("!mark.isConnected")
    self.assertEqual([row["is_open"] for row in self.rows()], [False, False])
    self.assertTrue(self.browser.run("document.activeElement.className === 'toggle'"))

    self.browser.press_enter()
    self.assertEqual(sum(row["is_open"] for row in self.rows()), 1)
    self.browser.press_enter()
    self.assertEqual(sum(row["is_open"] for row in self.rows()), 0)
    self.assertEqual(self.browser.complaints(), [])

  def test_hostile_names_do_nothing(self):
    hostile = dict(method=HOSTILE, traceId=HOSTILE, target=HOSTILE, label=HOSTILE)
    self.show(request(HOSTILE, 1_000_000, peer=HOSTILE, traceId=HOSTILE, requestId=HOSTILE, waitsFor=[hostile]),
              otherCalls=[hostile], process=HOSTILE)
    for path in ("/", "/?filter=" + "%3Cscript%3Ealert(1)%3C/script%3E"):
      self.open(path)
      self.browser.until("document.querySelector('#calls tr')")
      title = self.browser.run("document.title")
      self.browser.run("document.querySelector('#requests .toggle').click()")
      shown = self.browser.run("document.querySelector('tr.more:not([hidden])').innerText")
      self.assertGreaterEqual(shown.count("<script>alert(1)</script>"), 4, "escaped, it is visible as it is")
      self.assertEqual(self.browser.run("document.querySelectorAll('img, main script, main b[onclick], iframe').length"), 0)
      self.assertEqual(title, HOSTILE + ": in flight")
      self.assertEqual(self.browser.complaints(), [])

    finding = dict(FINDINGS[1], method=HOSTILE, callee=HOSTILE, what=HOSTILE, fix=HOSTILE, traceIds=[HOSTILE], kind="KIND_NO_TRACE")
    self.page.show("health", dict(health(finding), methods=[{"method": HOSTILE, "requests": 1}], process=HOSTILE))
    self.open("/health-of-propagation")
    self.browser.until("document.querySelector('#methods tr')")
    self.assertIn("<script>alert(1)</script>", self.browser.run("document.querySelector('#findings').innerText"))
    self.assertEqual(self.browser.run("document.querySelectorAll('img, main script, main b[onclick], iframe').length"), 0)
    self.check_layout()
    self.assertEqual(self.browser.complaints(), [])

  def test_long_names_fit(self):
    long = "/" + "package" * 16 + "/" + "Method" * 20
    fields = dict(traceId="f" * 256, target="t" * 127, label="l" * 256)
    self.show(request(long, 1_000_000, peer="p" * 256, requestId="r" * 256, waitsFor=[dict(fields, method=long)],
                      **{"traceId": "f" * 256}), otherCalls=[dict(fields, method=long)], process="n" * 256)
    self.page.show("health", dict(health(dict(FINDINGS[1], method=long, callee=long, what="w" * 300, fix="f" * 300)),
                                  methods=[dict(method=long, requests=1, calls=1, deaf=10**14, withoutTrace=999_950)]))
    for path in ("/", "/health-of-propagation"):
      self.open(path)
      self.browser.until("document.querySelector('#calls tr, #methods tr')")
      self.browser.run("document.querySelector('#requests .toggle')?.click()")
      for width, height in SIZES:
        with self.subTest(path=path, width=width):
          self.browser.resize(width, height)
          self.check_layout()

  def test_the_policy_keeps_injected_scripts_from_running(self):
    # The control: the escaping is not the only thing that stops them.
    self.show()
    self.open()
    self.browser.run("""document.body.insertAdjacentHTML('beforeend', '<img src=x onerror="window.ran = 1">');
      document.body.append(Object.assign(document.createElement('script'), {text: 'window.ran = 2'}))""")
    self.assertIsNone(self.browser.run("window.ran"))
    self.assertNotEqual(self.browser.complaints(), [], "the browser reports the violation")

  def test_pause_and_filter(self):
    self.show(request("Alpha", 1_000_000, traceId=TRACE), request("Beta", 2_000_000))
    self.open()
    self.until_methods("Alpha", "Beta")
    self.browser.run("document.getElementById('pause').click()")
    self.assertEqual(self.browser.run("document.getElementById('state').textContent"), "paused")
    self.show(request("Gamma", 1_000_000))
    asked = len(self.browser.requested())
    self.browser.run("new Promise(done => setTimeout(done, 1500))")
    self.assertEqual(len(self.browser.requested()), asked)
    self.until_methods("Alpha", "Beta")

    filtered = "const f = document.getElementById('filter'); f.value = %s; f.dispatchEvent(new Event('input'))"
    self.browser.run("{%s}" % filtered % json.dumps(TRACE[:8]))
    self.until_methods("Alpha")
    self.browser.run("{%s}" % filtered % json.dumps("Beta"))
    self.until_methods("Beta")
    self.assertTrue(self.browser.run("location.search").endswith("filter=Beta"))

    self.browser.run("document.getElementById('pause').click()")
    self.until_methods()
    self.browser.until("document.getElementById('no-requests').textContent === 'No request in flight matches.'")
    self.assertIn("method=Beta", self.browser.requested()[-1])
    self.browser.run("{%s}" % filtered % json.dumps(TRACE))
    self.browser.until("true")
    self.assertIn("trace=" + TRACE, self.browser.requested()[-1])

  def test_it_says_when_the_process_does_not_answer(self):
    page = ScriptedPage()
    page.show("snapshot", snapshot(request("Alpha", 1_000_000)))
    self.browser.open(page.url)
    self.until_methods("Alpha")
    page.stop()
    self.browser.until("document.getElementById('state').textContent.startsWith('no answer since ')")
    self.assertTrue(self.browser.run("document.body.classList.contains('stale')"))
    self.until_methods("Alpha")

  def test_it_loads_nothing_but_its_json(self):
    self.page.show("snapshot", picture())
    self.open()
    paths = {url.replace(self.page.url, "").partition("?")[0] for url in self.browser.requested()}
    self.assertEqual(paths - {"/favicon.ico"}, {"/", "/requests.json"})

  def test_the_health_page(self):
    self.page.show("health", health(*FINDINGS))
    self.open("/health-of-propagation")
    self.browser.until("document.querySelectorAll('#findings li').length === 3")
    text = self.browser.run("document.querySelector('main').innerText")
    for part in ("not handed on", "118 of 1,204,331", "/shop.v1.Inventory/GetStock", "Pass tether::ContextOf", "1.84 s", TRACE,
                 "1 h 2 min", "1,204,971"):
      self.assertIn(part, text)
    self.assertEqual(self.browser.run("[...document.querySelectorAll('#methods .what b')].map(b => b.textContent)"),
                     ["GetOrder", "ListOrders", "GetStock"])

    self.page.show("health", health())
    self.open("/health-of-propagation")
    self.browser.until("document.getElementById('no-findings').textContent === 'Nothing to fix.'")
    self.page.show("health", health(counted_us=0))
    self.open("/health-of-propagation")
    self.browser.until("document.getElementById('no-findings').textContent.includes('StartMetrics()')")
    self.assertEqual(self.browser.complaints(), [])

  def test_it_fits_phones_and_screens_in_light_and_dark(self):
    self.page.show("snapshot", picture())
    self.page.show("health", health(*FINDINGS))
    for path, name in (("/", "in_flight"), ("/health-of-propagation", "health")):
      self.open(path)
      self.browser.until("document.querySelector('#requests .toggle, #findings li')")
      self.browser.run("document.querySelectorAll('#requests .toggle')[1]?.click()")
      for width, height in SIZES:
        for is_dark in (False, True):
          with self.subTest(path=path, width=width, is_dark=is_dark):
            self.browser.resize(width, height, is_dark)
            result = self.check_layout()
            light = max(result["page_luminance"], result["ink_luminance"])
            self.assertEqual(light == result["ink_luminance"], is_dark)
            picture_name = "%s_%d_%s.png" % (name, width, "dark" if is_dark else "light")
            self.browser.screenshot(os.path.join(self.outputs, picture_name), is_whole=width > 500)
    self.assertEqual(self.browser.complaints(), [])


if __name__ == "__main__":
  PROGRAM = os.path.abspath(sys.argv.pop(1))
  unittest.main()
