#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Takes the pictures in docs/operations.md: the live demo's pages, in a browser.

  services/demo/pictures.py FOLDER [LIVE]

It needs the packages of the pages and a browser (tools/setup.sh observability browser). LIVE is bazel-bin/services/demo/live.
"""

import os
import re
import subprocess
import sys

ROOT = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../.."))
sys.path.insert(0, os.path.join(ROOT, "observability/tether/observability/testing"))
from browser import Browser  # noqa: E402

# A picture: its name, the demo's flags, the page, and what must be on it. Each request in flight is one row in <tbody>.
PICTURES = [
    ("incident_slow_downstream", ["--clients=6", "--inventory_delay=30s", "--inventory_timeout=700ms"], "orders", "",
     r"/\n[12]?\d\d ms\s+of /.test(document.body.innerText)"),
    ("incident_deaf_handler", ["--clients=6", "--faults"], "inventory", "",
     "/ago/.test(document.body.innerText)"),
    ("incident_lost_context", ["--clients=6", "--faults"], "orders", "health-of-propagation",
     r"/made \d{2,} calls/.test(document.body.innerText)"),
]


def pages_of(demo):
  pages = {}
  for line in demo.stdout:
    page = re.match(r"  (\w+) +(http://\S+)$", line)
    if page:
      pages[page.group(1)] = page.group(2)
    if line.startswith("Ctrl-C"):
      return pages
  raise SystemExit("the demo has not started")


def main(folder, live=os.path.join(ROOT, "bazel-bin/services/demo/live")):
  with Browser() as browser:
    for name, flags, service, path, condition in PICTURES:
      with subprocess.Popen([live] + flags, stdout=subprocess.PIPE, text=True) as demo:
        try:
          browser.resize(1000, 640)
          browser.open(pages_of(demo)[service] + path)
          browser.until(condition)
          browser.screenshot(os.path.join(folder, name + ".png"), is_whole=False)
        finally:
          demo.terminate()


if __name__ == "__main__":
  main(*sys.argv[1:])
