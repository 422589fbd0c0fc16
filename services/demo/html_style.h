// SPDX-License-Identifier: Apache-2.0
//
// The style sheet of the demo's page.

#ifndef SHOP_SERVICES_DEMO_HTML_STYLE_H_
#define SHOP_SERVICES_DEMO_HTML_STYLE_H_

namespace shop {

// The page sets the positions on the axis: --at and --length, in percent.
inline constexpr char kHtmlStyle[] = R"css(
:root {
  color-scheme: light dark; --indent: 1.1rem;
  --page: #f4f5f7; --card: #fff; --line: #d9dce3; --grid: #e9ebf0;
  --ink: #171a21; --soft: #565d6d;
  --own: #2f5fd0; --wait: #e3eafa; --stripe: #9db4e8; --way: #767f92;
  --bad: #b3261e; --bad-soft: #fbeceb; --late: #8f5200; --late-soft: #fcf1de;
  --good: #17693a; --good-soft: #e6f4ea;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #111318; --card: #191c23; --line: #343945; --grid: #262a34;
    --ink: #e8eaf0; --soft: #a2a9b8;
    --own: #86a8ff; --wait: #212c49; --stripe: #46609f; --way: #8a92a5;
    --bad: #ffa198; --bad-soft: #3a1d1c; --late: #f5bd6a; --late-soft: #382a12;
    --good: #82d49a; --good-soft: #15301f;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans",
    sans-serif;
  -webkit-text-size-adjust: 100%;
}
main { max-width: 76rem; margin: 0 auto; padding: 2rem 1.5rem 3rem; }
.kicker { margin: 0; color: var(--soft); font-size: .8rem;
  letter-spacing: .06em; text-transform: uppercase; }
h1 { display: flex; flex-wrap: wrap; align-items: center; gap: .3rem .8rem;
  margin: .1rem 0 .4rem; font-size: 1.7rem; line-height: 1.25;
  font-weight: 650; overflow-wrap: anywhere; }
.story { margin: 0 0 1.4rem; max-width: 46rem; font-size: 1.05rem;
  overflow-wrap: anywhere; }
.message { margin: -.6rem 0 1.4rem; max-width: 46rem; color: var(--soft);
  overflow-wrap: anywhere; }
.none { margin: 0; padding: 1.4rem 1.1rem; color: var(--soft); }
.mark { display: inline-block; padding: .1em .6em; border-radius: 1em;
  font-size: .8rem; font-weight: 600; line-height: 1.5;
  max-width: 100%; overflow-wrap: anywhere; }
h1 .mark { font-size: .85rem; }
.good { color: var(--good); background: var(--good-soft); }
.late { color: var(--late); background: var(--late-soft); }
.bad { color: var(--bad); background: var(--bad-soft); }
.facts { display: flex; flex-wrap: wrap; gap: 1rem 2.6rem; margin: 0 0 1.4rem; }
.facts dt { color: var(--soft); font-size: .8rem; }
.facts dd { margin: 0; font-weight: 600; font-variant-numeric: tabular-nums;
  overflow-wrap: anywhere; }
.facts small { font-size: .85rem; font-weight: 400; color: var(--soft); }
code { font: .9em/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas,
  "DejaVu Sans Mono", monospace; }
.card { background: var(--card); border: 1px solid var(--line);
  border-radius: 10px; overflow: clip; }
table, thead, tbody { display: block; width: 100%; }
tr { display: grid; align-items: stretch; padding: 0 1.1rem;
  grid-template-columns:
    minmax(11rem, 17rem) minmax(16rem, 1fr) 5.6rem 5.6rem 5.6rem
    minmax(9rem, 13rem); }
th, td { display: block; padding: 0; text-align: left; font-weight: 400; }
thead tr { border-bottom: 1px solid var(--line); }
thead th { align-self: end; padding: .75rem 0 .45rem; color: var(--soft);
  font-size: .8rem; font-weight: 400; }
tbody tr + tr { border-top: 1px solid var(--grid); }
tbody .name { align-self: center; padding: .55rem .8rem .55rem
  calc(var(--depth) * var(--indent)); font-weight: 600; overflow-wrap: anywhere;
  line-height: 1.35; }
.name span { font-weight: 400; color: var(--soft); }
.name { position: relative; min-width: 0; }
.name::before { content: "\2514"; position: absolute; margin-left: -1em;
  color: var(--way); font-weight: 400; }
.depth0 .name::before, thead .name::before { content: none; }
.number { align-self: center; text-align: right; white-space: nowrap;
  font-variant-numeric: tabular-nums; }
thead .number { align-self: end; }
.number abbr { display: none; }
.outcome { align-self: center; padding: .45rem 0 .45rem 1.1rem;
  min-width: 0; }
thead .outcome { padding-bottom: .45rem; align-self: end; }
.outcome small { display: block; margin: .15rem 0 0 .1rem; color: var(--soft);
  font-size: .8rem; line-height: 1.35; overflow-wrap: anywhere; }
thead .axis { position: relative; height: 3.1rem; padding: 0; }
.axis span { position: absolute; bottom: .45rem; left: var(--at);
  transform: translateX(-50%); white-space: nowrap;
  font-variant-numeric: tabular-nums; }
.axis .first { transform: none; }
.axis .last { transform: translateX(-100%); left: min(100%, var(--at) + 1em); }
.axis .flag { bottom: 1.6rem; color: var(--bad);
  transform: translateX(-100%); left: min(100%, var(--at) + .2em); }
.lane { position: relative; min-height: 2.9rem; overflow: hidden;
  background-repeat: no-repeat; }
.lane i { position: absolute; left: min(var(--at), calc(100% - 3px));
  width: max(var(--length), 3px); }
.way { top: 50%; height: 0; border-top: 2px dotted var(--way); }
.wait, .own, .lost { top: calc(50% - .6rem); height: 1.2rem; }
.wait { border: 1px solid var(--stripe); border-radius: 3px;
  background: repeating-linear-gradient(135deg, var(--wait) 0 5px,
    var(--stripe) 5px 7px); }
.own { background: var(--own); border-radius: 3px; }
.lost { border: 2px dashed var(--bad); border-radius: 3px;
  background: var(--bad-soft); }
.lane .end { top: calc(50% - .85rem); height: 1.7rem; width: 0;
  left: min(var(--at), calc(100% - 2px)); border-left: 2px solid var(--late); }
.lane .end::before { content: ""; position: absolute; left: -5px; top: 0;
  border: 4px solid transparent; border-top-color: var(--late); }
.deadline { width: 0 !important; top: 0; bottom: 0;
  border-left: 2px dashed var(--bad); }
.legend { display: flex; flex-wrap: wrap; gap: .4rem 1.5rem; margin: 0;
  padding: .8rem 1.1rem; border-top: 1px solid var(--line);
  list-style: none; color: var(--soft); font-size: .8rem; }
.legend li { display: flex; align-items: center; gap: .5rem; }
.legend b { position: relative; flex: none; width: 1.9rem; height: 1.2rem; }
.legend b i { position: absolute; left: 0; width: 100%; }
.legend .end, .legend .deadline { left: 50%; }
.legend .end { top: 0; height: 1.2rem; width: 0;
  border-left: 2px solid var(--late); }
.legend .end::before { content: ""; position: absolute; left: -5px; top: 0;
  border: 4px solid transparent; border-top-color: var(--late); }
footer { margin-top: 1rem; max-width: 46rem; color: var(--soft);
  font-size: .85rem; }
@media (max-width: 62rem) {
  :root { --indent: .9rem; }
  main { padding: 1.2rem .8rem 2rem; }
  h1 { font-size: 1.4rem; }
  .facts { gap: .7rem 1.6rem; }
  tr { grid-template-columns: repeat(3, 1fr); padding: 0 .8rem; }
  thead { position: sticky; top: 0; z-index: 1; background: var(--card); }
  thead .name, thead .number, thead .outcome { position: absolute;
    width: 1px; height: 1px; padding: 0; overflow: hidden;
    clip-path: inset(50%); }
  tbody .name { grid-column: 1 / -1; padding-top: .75rem;
    padding-bottom: .1rem; }
  tbody .outcome { grid-column: 1 / -1; grid-row: 2; display: flex;
    flex-wrap: wrap; align-items: center; gap: .1rem .6rem;
    padding: .1rem 0 .2rem calc(var(--depth) * var(--indent)); }
  .outcome small { margin: 0; }
  .axis, .lane { grid-column: 1 / -1; }
  .lane { min-height: 2.1rem; }
  .number { text-align: left; padding: .1rem 0 .75rem; font-size: .85rem;
    line-height: 1.35; }
  .number abbr { display: block; color: var(--soft); font-size: .75rem;
    text-decoration: none; }
  .legend { padding: .8rem; }
}
@media (forced-colors: active) {
  .own, .wait, .lost, .way, .end, .deadline { forced-color-adjust: none; }
}
@media print {
  body { background: none; }
  .card { break-inside: avoid; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
)css";

}  // namespace shop

#endif  // SHOP_SERVICES_DEMO_HTML_STYLE_H_
