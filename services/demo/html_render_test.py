#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Opens the demo's pages in a browser, at the sizes of a phone and of a screen, and measures the layout.

  html_render_test.py SAMPLE_PAGES

The screenshots are kept among the test's outputs (bazel-testlogs/.../test.outputs).
"""

import html
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest
import zlib

SAMPLE_PAGES = ""
# The second size has the narrowest axis.
SIZES = [(360, 800), (1000, 800), (1280, 800)]
DARK = "--blink-settings=preferredColorScheme=0"
POLICY = "default-src 'none'; style-src 'unsafe-inline'"

PAGES = ["deadline", "fan_out", "many", "hostile"]

# Runs inside a page, and stores its measurements for the page around it.
PROBE = """<script>
const box = e => { const b = e.getBoundingClientRect(); return {left: b.left, top: b.top, width: b.width, height: b.height,
  right: b.right, bottom: b.bottom}; };
const numbers = color => color.match(/[\\d.]+/g).map(Number);
const luminance = color => numbers(color).slice(0, 3).map(c => c / 255)
  .map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
  .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
const ground = e => {
  for (; e; e = e.parentElement) {
    const color = numbers(getComputedStyle(e).backgroundColor);
    if (color.length < 4 || color[3] > 0) return getComputedStyle(e).backgroundColor;
  }
};
const texts = [...document.querySelectorAll('body *')].filter(e => e.tagName != 'SCRIPT' &&
  e.offsetWidth > 1 && [...e.childNodes].some(n => n.nodeType == 3 && n.data.trim()));
const contrast = e => {
  const [a, b] = [luminance(getComputedStyle(e).color), luminance(ground(e))];
  return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
};
const worst = texts.reduce((a, b) => contrast(a) < contrast(b) ? a : b);
const result = {
  title: document.title,
  inner_width: innerWidth,
  scroll_width: document.documentElement.scrollWidth,
  dark: matchMedia('(prefers-color-scheme: dark)').matches,
  resources: performance.getEntriesByType('resource').length,
  elements: [...new Set([...document.body.querySelectorAll('*')].map(e => e.tagName.toLowerCase()))],
  beyond: texts.filter(e => box(e).right > innerWidth + 0.5 || box(e).left < -0.5).map(e => e.textContent),
  contrast: [contrast(worst), worst.textContent],
  rows: [...document.querySelectorAll('tbody tr')].map(row => ({
    text: row.innerText, name: row.querySelector('.name').textContent, name_box: box(row.querySelector('.name')),
    outcome_box: box(row.querySelector('.outcome')), lane: box(row.querySelector('.lane')),
    visible: getComputedStyle(row).visibility,
    bars: [...row.querySelectorAll('.lane i')].map(i => ({type: i.className, color: getComputedStyle(i).backgroundColor,
      image: getComputedStyle(i).backgroundImage, border: getComputedStyle(i).borderTopStyle, ...box(i)})),
  })),
  ticks: [...document.querySelectorAll('.axis span:not(.flag)')].filter(e => e.offsetWidth > 0).map(e => ({text: e.textContent, ...box(e)})),
};
window.measured = result;
</script>"""

# Collects the results of all frames. (A chromium window is at least 500 pixels wide, but a frame can be as narrow as a
# phone.)
COLLECTOR = """<pre id="measured"></pre>
<script>
onload = () => {
  const frames = [...document.querySelectorAll('iframe')];
  document.getElementById('measured').textContent = JSON.stringify(frames.map(f => f.contentWindow.measured));
};
</script>"""


def chromium(*args):
  program = shutil.which("chromium")
  if not program:
    raise AssertionError("chromium is missing; run: tools/setup.sh browser")
  with tempfile.TemporaryDirectory() as folder:
    run = subprocess.run(
        [program, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
         "--hide-scrollbars", "--force-device-scale-factor=1", "--user-data-dir=" + folder] + list(args),
        stdin=subprocess.DEVNULL, capture_output=True, timeout=120, check=False, env=dict(os.environ, HOME=folder))
  if run.returncode != 0:
    raise AssertionError(run.stderr.decode(errors="replace"))
  return run.stdout.decode()


def read_png(path):
  """Width, height, and the rows as bytes, of an RGB(A) image as chromium writes it."""
  with open(path, "rb") as file:
    data = file.read()
  at, packed = 8, b""
  while at < len(data):
    size, kind = struct.unpack(">I4s", data[at:at + 8])
    body = data[at + 8:at + 8 + size]
    if kind == b"IHDR":
      width, height, depth, color, _, _, interlace = struct.unpack(">IIBBBBB", body)
      assert depth == 8 and color in (2, 6) and interlace == 0
    elif kind == b"IDAT":
      packed += body
    at += 12 + size
  channels = 3 if color == 2 else 4
  stride = width * channels
  raw = zlib.decompress(packed)
  rows, above = [], bytes(stride)
  for y in range(height):
    filter_type = raw[y * (stride + 1)]
    row = bytearray(raw[y * (stride + 1) + 1:(y + 1) * (stride + 1)])
    for x in range(stride):
      left = row[x - channels] if x >= channels else 0
      up, corner = above[x], above[x - channels] if x >= channels else 0
      if filter_type == 1:
        guess = left
      elif filter_type == 2:
        guess = up
      elif filter_type == 3:
        guess = (left + up) // 2
      elif filter_type == 4:
        guess = min((left, up, corner), key=lambda c, p=left + up - corner: abs(p - c))
      else:
        guess = 0
      row[x] = (row[x] + guess) & 255
    rows.append(bytes(row))
    above = row
  return width, height, channels, rows


class HtmlRenderTest(unittest.TestCase):

  @classmethod
  def setUpClass(cls):
    cls.folder = tempfile.mkdtemp()
    cls.addClassCleanup(shutil.rmtree, cls.folder)
    cls.outputs = os.environ.get("TEST_UNDECLARED_OUTPUTS_DIR", cls.folder)
    subprocess.run([SAMPLE_PAGES, cls.folder], check=True)
    cls.light = cls.measure()
    cls.dark = cls.measure(DARK)

  @classmethod
  def measure(cls, *flags):
    """The probe's measurements of each page at each size: {(page, size): result}."""
    cases = [(page, size) for page in PAGES for size in SIZES]
    path = os.path.join(cls.folder, "frames.html")
    with open(path, "w", encoding="utf-8") as frames:
      for name, size in cases:
        with open(os.path.join(cls.folder, name + ".html"), encoding="utf-8") as file:
          page = file.read()
        assert page.count(POLICY) == 1
        page = page.replace(POLICY, POLICY + "; script-src 'unsafe-inline'").replace("</body>", PROBE + "</body>")
        # The frame's own element must not affect the size of its content.
        frames.write('<iframe style="border:0;color-scheme:light dark" width=%d height=%d srcdoc="%s"></iframe>\n' %
                     (*size, html.escape(page)))
      frames.write(COLLECTOR)
    dom = chromium("--window-size=1400,1000", "--dump-dom", *flags, "file://" + path)
    measured = json.loads(html.unescape(re.search(r'<pre id="measured">(.*?)</pre>', dom, re.S).group(1)))
    assert [m["inner_width"] for m in measured] == [size[0] for _, size in cases]
    return dict(zip(cases, measured))

  def check_page(self, result, rows):
    """Checks that hold for every page."""
    self.assertEqual(result["resources"], 0, "it loads something")
    self.assertEqual(result["scroll_width"], result["inner_width"], "it must be scrolled sideways")
    self.assertEqual(result["beyond"], [], "texts that are cut off")
    self.assertGreaterEqual(result["contrast"][0], 4.5, result["contrast"])
    self.assertEqual(len(result["rows"]), rows)
    for row in result["rows"]:
      lane = row["lane"]
      self.assertEqual(row["visible"], "visible")
      self.assertGreater(lane["width"], 200)
      bars = [b for b in row["bars"] if b["type"] not in ("deadline", "end")]
      self.assertGreater(len(bars), 0, row)
      for bar in row["bars"]:
        self.assertGreater(bar["width"], 0, bar)
        self.assertGreater(bar["height"], 0, bar)
        self.assertGreaterEqual(bar["left"], lane["left"] - 0.5, bar)
        self.assertLessEqual(bar["right"], lane["right"] + 0.5, bar)
        self.assertGreaterEqual(bar["top"], lane["top"], bar)
        self.assertLessEqual(bar["bottom"], lane["bottom"], bar)
      a, b = row["name_box"], row["outcome_box"]
      self.assertTrue(a["right"] <= b["left"] or a["bottom"] <= b["top"] + 0.5, "texts on top of each other")
    ticks = result["ticks"]
    self.assertTrue(3 <= len(ticks) <= 6, ticks)
    for left, right in zip(ticks, ticks[1:]):
      self.assertLess(left["right"], right["left"], "ticks on top of each other")

  def bar(self, row, kind):
    found = [b for b in row["bars"] if b["type"] == kind]
    self.assertGreater(len(found), 0, (kind, row))
    return found[0]

  def test_every_hop_is_where_its_time_was(self):
    for size in SIZES:
      with self.subTest(size):
        result = self.light["deadline", size]
        self.check_page(result, 3)
        self.assertFalse(result["dark"])
        storefront, orders, inventory = result["rows"]
        self.assertEqual([r["name"] for r in result["rows"]],
                         ["storefront.GetOrderPage", "orders.GetOrder", "inventory.GetStock"])
        for row, texts in ((storefront, ["199.6 ms", "200.0 ms", "4.0 ms"]),
                           (inventory, ["187.0 ms", "deadline exceeded", "did not answer"])):
          for text in texts:
            self.assertIn(text, row["text"])

        # 204 ms are as wide as the lane.
        ms = inventory["lane"]["width"] / 204
        left = inventory["lane"]["left"]
        lost = self.bar(inventory, "lost")
        self.assertAlmostEqual(lost["left"] - left, 6 * ms, delta=1)
        self.assertAlmostEqual(lost["width"], 187 * ms, delta=1)
        for row in result["rows"]:
          self.assertAlmostEqual(self.bar(row, "deadline")["left"] - left, 200 * ms, delta=1.5)
        wait = self.bar(orders, "wait")
        self.assertAlmostEqual(wait["left"], lost["left"], delta=1)
        self.assertAlmostEqual(wait["width"], lost["width"], delta=1)

        # They differ in form and in colour.
        self.assertEqual(self.bar(orders, "own")["image"], "none")
        self.assertIn("repeating-linear-gradient", wait["image"])
        self.assertEqual(lost["border"], "dashed")
        self.assertEqual(result["ticks"][0]["text"], "0")
        self.assertEqual(result["ticks"][-1]["text"], "200 ms")

  def test_parallel_calls_and_attempts_are_in_their_rows(self):
    for size in SIZES:
      with self.subTest(size):
        result = self.light["fan_out", size]
        self.check_page(result, 7)
        first, second, reviews = result["rows"][1], result["rows"][2], result["rows"][5]
        self.assertIn("attempt 1 of 2", first["text"])
        self.assertIn("attempt 2 of 2", second["text"])
        self.assertLess(self.bar(first, "own")["right"], self.bar(second, "own")["left"])
        self.assertIn("parallel", reviews["text"])
        self.assertLess(self.bar(reviews, "way")["left"], self.bar(reviews, "own")["left"])
        self.assertGreater(self.bar(reviews, "way")["right"], self.bar(reviews, "own")["right"])
        inventory = result["rows"][4]
        self.assertAlmostEqual(self.bar(inventory, "end")["left"], self.bar(inventory, "lost")["right"], delta=2)

  def test_the_dark_page_can_be_read(self):
    for size in SIZES:
      with self.subTest(size):
        light, dark = self.light["fan_out", size], self.dark["fan_out", size]
        self.assertTrue(dark["dark"])
        self.check_page(dark, 7)
        self.assertNotEqual(self.bar(light["rows"][0], "own")["color"], self.bar(dark["rows"][0], "own")["color"])

  def test_a_deep_tree_fits(self):
    for size in SIZES:
      with self.subTest(size):
        self.check_page(self.light["many", size], 64)

  def test_hostile_texts_are_texts(self):
    for size in SIZES:
      with self.subTest(size):
        result = self.light["hostile", size]
        self.check_page(result, 7)
        self.assertIn("<script>", result["title"])
        for tag in ("img", "b"):
          # <b> is the legend's.
          self.assertEqual(tag in result["elements"], tag == "b")
        self.assertNotIn("s", result["elements"])

  def test_it_is_drawn(self):
    for size in SIZES:
      with self.subTest(size):
        result = self.light["fan_out", size]
        path = os.path.join(self.outputs, "fan_out_%dx%d.png" % size)
        chromium("--window-size=%d,%d" % size, "--screenshot=" + path,
                 "file://" + os.path.join(self.folder, "fan_out.html"))
        width, height, channels, rows = read_png(path)
        self.assertEqual((width, height), size)

        def color_at(x, y):
          at = int(x) * channels
          return list(rows[int(y)][at:at + 3])

        drawn = 0
        for row in result["rows"]:
          for bar in row["bars"]:
            middle = (bar["top"] + bar["bottom"]) / 2
            if bar["type"] == "own" and bar["width"] > 6 and bar["bottom"] < height:
              expected = [int(n) for n in re.findall(r"\d+", bar["color"])]
              self.assertEqual(color_at((bar["left"] + bar["right"]) / 2, middle), expected, bar)
              # There is no bar after the row's last one.
              lane_end = row["lane"]["right"] - 2
              self.assertNotEqual(color_at(lane_end, middle), expected)
              drawn += 1
            if bar["type"] == "wait" and bar["width"] > 20 and bar["bottom"] < height:
              colors = {tuple(color_at(bar["left"] + x, middle)) for x in range(3, 18)}
              self.assertGreater(len(colors), 1, "no stripes")
        self.assertGreaterEqual(drawn, 2)


if __name__ == "__main__":
  SAMPLE_PAGES = os.path.abspath(sys.argv.pop(1))
  unittest.main()
