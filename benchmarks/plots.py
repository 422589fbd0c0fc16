#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Draws the pictures of the docs from the figures in benchmarks/results.

  benchmarks/plots.py            writes docs/load_*.svg
  benchmarks/plots.py --check    fails if one isn't what it would write

It needs Debian's matplotlib: "tools/setup.sh plots" installs it, for Debian's own Python.
"""

import io
import json
import os
import sys

# matplotlib belongs to Debian's Python, which another one may hide.
PYTHON = "/usr/bin/python3"
try:
  import matplotlib
except ImportError:
  if os.path.realpath(sys.executable) == os.path.realpath(PYTHON):
    sys.exit('plots: matplotlib is missing; run "tools/setup.sh plots"')
  os.execv(PYTHON, [PYTHON] + sys.argv)

matplotlib.use("svg")
matplotlib.rcParams.update({
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "tether",  # the same names each time
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Helvetica", "Arial"],
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e4e7eb",
    "axes.axisbelow": True,
})
from matplotlib import pyplot  # noqa: E402

ROOT = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

# Colours that differ for readers with a colour vision deficiency, too (Okabe and Ito).
VARIANTS = (("no propagation", "#d55e00", "-"), ("FromServerContext", "#7a7f87", "--"), ("tether", "#0072b2", "-"))
HOPS = ("storefront", "orders", "inventory")


def load(name):
  with open(os.path.join(ROOT, "benchmarks", "results", name), encoding="utf-8") as file:
    return json.load(file)


def svg(figure):
  """Returns the figure as text without the time and the version of its making."""
  figure.tight_layout(rect=(0, 0, 1, 0.94))  # above it is the legend
  out = io.StringIO()
  figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
  pyplot.close(figure)
  lines = out.getvalue().splitlines()
  return "\n".join(line.rstrip() for line in lines) + "\n"


def over_time(series, panels):
  """Draws a panel for each (title, read): read(series of a variant) is a list with a value for each bin."""
  figure, axes = pyplot.subplots(len(panels), 1, figsize=(8, 2.6 * len(panels)), sharex=True)
  for axis, (title, read) in zip(axes, panels):
    for name, colour, style in VARIANTS:
      one = series[name]
      times = [(i + 0.5) * one["bin_s"] for i in range(len(one["answers"]))]
      axis.plot(times, [float("nan") if v is None else v for v in read(one)], style, color=colour, label=name, linewidth=1.8)
    begin, end = series["tether"]["stall_s"]
    axis.axvspan(begin, end, color="#f6c244", alpha=0.25, linewidth=0)
    axis.set_title(title, loc="left", fontsize=10)
    axis.set_ylim(bottom=0)
    axis.set_xlim(0, len(series["tether"]["answers"]) * series["tether"]["bin_s"])
  axes[0].text((begin + end) / 2, axes[0].get_ylim()[1] / 2, "inventory stands still", ha="center", va="center", fontsize=9)
  axes[-1].set_xlabel("seconds")
  figure.legend(*axes[0].get_legend_handles_labels(), loc="upper right", ncol=3, frameon=False, fontsize=9)
  return figure


def in_flight(one):
  return [sum(values) for values in zip(*(one["in_flight"][hop] for hop in HOPS))]


def stall(series):
  return svg(over_time(series["stall, sync"], (
      ("requests answered in time, per second, by when they began", lambda one: one["answers"]),
      ("handlers at work, on all three hops", in_flight))))


def latency(series):
  return svg(over_time(series["stall, callback"], (
      ("callback servers: the median time of a request, ms", lambda one: one["p50_ms"]),
      ("callback servers: handlers at work, on all three hops", in_flight))))


def bars(rows, figure_name, title, scenarios):
  figure, axes = pyplot.subplots(1, 2, figsize=(8, 2.8), sharey=True)
  for axis, api in zip(axes, ("sync", "callback")):
    for number, (name, colour, _) in enumerate(VARIANTS):
      values = []
      for scenario in scenarios:
        row = rows["%s, %s, %s" % (figure_name, scenario, api)]
        values.append(row["tether"] if name == "tether" else row["peers"][name])
      bar = axis.bar([i + (number - 1) * 0.27 for i in range(len(scenarios))], values, 0.25, color=colour, label=name)
      axis.bar_label(bar, ["%.0f" % v if v >= 10 else "%.1f" % v for v in values], fontsize=8)
    axis.set_title("%s servers" % api, loc="left", fontsize=10)
    axis.set_xticks(range(len(scenarios)), scenarios)
    axis.grid(axis="x", visible=False)
  axes[0].set_ylabel(title)
  figure.legend(*axes[0].get_legend_handles_labels(), loc="upper right", ncol=3, frameon=False, fontsize=9)
  return svg(figure)


def pictures():
  """Returns {path: text}."""
  rows = {row["operation"]: row for row in load("load.json")["rows"]}
  series = load("load.series.json")["series"]
  return {
      "docs/load_stall.svg": stall(series),
      "docs/load_latency.svg": latency(series),
      "docs/load_wasted.svg": bars(rows, "wasted work", "wasted CPU, percent", ("slow inventory", "overload", "stall")),
      "docs/load_goodput.svg": bars(rows, "goodput", "answers in time, per second", ("slow inventory", "overload", "stall")),
  }


def main(argv):
  wrong = []
  for path, text in pictures().items():
    full = os.path.join(ROOT, path)
    if argv == ["--check"]:
      with open(full, encoding="utf-8") as file:
        if file.read() != text:
          wrong.append(path)
    else:
      with open(full, "w", encoding="utf-8") as file:
        file.write(text)
  if wrong:
    print("plots: not drawn from the figures: %s; run benchmarks/plots.py" % ", ".join(wrong), file=sys.stderr)
  return 1 if wrong else 0


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
