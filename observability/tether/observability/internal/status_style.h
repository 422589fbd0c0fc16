// SPDX-License-Identifier: Apache-2.0
//
// The style sheet of StatusPage, alike that of the demo's page. Internal.

#ifndef TETHER_OBSERVABILITY_INTERNAL_STATUS_STYLE_H_
#define TETHER_OBSERVABILITY_INTERNAL_STATUS_STYLE_H_

namespace tether::internal {

// The script sets the length of a bar: --length, in percent.
inline constexpr char kStatusStyle[] = R"css(
:root {
  color-scheme: light dark;
  --page: #f4f5f7; --card: #fff; --line: #d9dce3; --grid: #e9ebf0;
  --ink: #171a21; --soft: #565d6d;
  --own: #2f5fd0; --wait: #e3eafa; --wait-ink: #274a9c;
  --bad: #b3261e; --bad-soft: #fbeceb; --late: #8f5200; --late-soft: #fcf1de;
  --good: #17693a; --good-soft: #e6f4ea;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #111318; --card: #191c23; --line: #343945; --grid: #262a34;
    --ink: #e8eaf0; --soft: #a2a9b8;
    --own: #86a8ff; --wait: #212c49; --wait-ink: #b3c6ff;
    --bad: #ffa198; --bad-soft: #3a1d1c; --late: #f5bd6a; --late-soft: #382a12;
    --good: #82d49a; --good-soft: #15301f;
  }
}
* { box-sizing: border-box; }
[hidden] { display: none !important; }
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
h2 { margin: 1.8rem 0 .5rem; font-size: 1.15rem; font-weight: 650; }
a { color: var(--own); }
nav { display: flex; flex-wrap: wrap; gap: .3rem 1.4rem; margin: 0 0 1.3rem;
  border-bottom: 1px solid var(--line); }
nav a { padding: .35rem 0; text-decoration: none; color: var(--soft);
  border-bottom: 2px solid transparent; margin-bottom: -1px; }
nav a:hover { color: var(--ink); }
nav [aria-current] { color: var(--ink); font-weight: 600;
  border-bottom-color: var(--own); }
.story { margin: 0 0 .7rem; color: var(--soft); }
.none { margin: 0; padding: 1.4rem 1.1rem; color: var(--soft); }
.mark { display: inline-block; padding: .1em .6em; border-radius: 1em;
  font-size: .8rem; font-weight: 600; line-height: 1.5;
  color: var(--soft); background: var(--grid);
  max-width: 100%; overflow-wrap: anywhere; }
h1 .mark { font-size: .85rem; }
.mark.good { color: var(--good); background: var(--good-soft); }
.mark.late { color: var(--late); background: var(--late-soft); }
.mark.bad { color: var(--bad); background: var(--bad-soft); }
.mark.wait { color: var(--wait-ink); background: var(--wait); }
.facts { display: flex; flex-wrap: wrap; gap: 1rem 2.6rem; margin: 0 0 1.4rem; }
.facts dt, .detail dt { color: var(--soft); font-size: .8rem; }
.facts dd, .detail dd { margin: 0; overflow-wrap: anywhere;
  font-variant-numeric: tabular-nums; }
.facts dd { font-weight: 600; }
code { font: .9em/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas,
  "DejaVu Sans Mono", monospace; overflow-wrap: anywhere; }
.tools { display: flex; flex-wrap: wrap; align-items: center;
  gap: .6rem .8rem; margin: 0 0 .8rem; }
.tools input { flex: 0 1 22rem; min-width: 0; }
.tools input, .tools button { padding: .4rem .7rem; font: inherit;
  color: inherit; background: var(--card); border: 1px solid var(--line);
  border-radius: 8px; }
.tools button { cursor: pointer; min-width: 5.5rem; }
.tools button[aria-pressed=true] { color: var(--late);
  background: var(--late-soft); border-color: var(--late); }
#shown:empty { display: none; }
#shown { color: var(--soft); font-size: .85rem; }
:focus-visible { outline: 2px solid var(--own); outline-offset: 2px; }
.card { background: var(--card); border: 1px solid var(--line);
  border-radius: 10px; overflow: clip; }
table, thead, tbody { display: block; width: 100%; }
tr { display: grid; align-items: center; gap: 0 1.1rem; padding: 0 1.1rem;
  grid-template-columns: minmax(13rem, 1.2fr) minmax(12rem, 1fr) 5.8rem
    10.4rem minmax(11rem, 13rem); }
th, td { display: block; min-width: 0; padding: 0; text-align: left;
  font-weight: 400; }
thead tr { border-bottom: 1px solid var(--line); }
thead th { padding: .7rem 0 .45rem; color: var(--soft); font-size: .8rem; }
tbody td, tbody th { padding: .5rem 0; }
tbody tr { border-top: 1px solid var(--grid); }
tbody tr:first-child { border-top: 0; }
thead .age, tbody .age { text-align: right; }
.age, .number { white-space: nowrap; font-variant-numeric: tabular-nums; }
small { display: block; color: var(--soft); font-size: .8rem; line-height: 1.4;
  overflow-wrap: anywhere; }
abbr { display: none; text-decoration: none; }
tbody .what { overflow-wrap: anywhere; line-height: 1.35; }
.what b { font-weight: 600; }
.request .what, .requests > thead .what { padding-left: 1.25rem; }
.toggle { all: unset; position: relative; cursor: pointer; line-height: 1.35;
  overflow-wrap: anywhere; }
.toggle::before { content: "\25B8"; position: absolute; left: -1.25rem;
  color: var(--soft); }
.toggle[aria-expanded=true]::before { content: "\25BE"; }
.toggle:hover b { text-decoration: underline; }
.toggle:focus-visible { outline: 2px solid var(--own); outline-offset: 2px;
  border-radius: 2px; }
.bar { display: flex; align-items: center; gap: .7rem; }
.bar .number { flex: none; width: 5.2rem; font-weight: 600; }
.bar .number.over { color: var(--bad); }
.lane { flex: 1; height: .75rem; border-radius: 3px; background: var(--grid);
  overflow: hidden; }
.lane i { display: block; height: 100%; width: var(--length);
  min-width: 2px; background: var(--own); border-radius: 3px; }
.lane i.over { background: var(--bad); }
.lane.none { padding: 0; background: none; border-radius: 0; height: 0;
  border-top: 2px dotted var(--line); }
.trace code { font-size: .78rem; }
.status .mark + .mark { margin-top: .2rem; }
tr.more { display: block; padding: 0 1.1rem 1rem 2.35rem; border-top: 0; }
tr.more > td { padding: 0; }
.detail { display: flex; flex-wrap: wrap; gap: .5rem 2rem;
  margin: 0 0 .7rem; font-size: .9rem; }
tr.more .story { font-size: .9rem; margin: 0; }
tr.more table { border: 1px solid var(--grid); border-radius: 8px;
  overflow: clip; background: var(--page); font-size: .95em; }
tr.more tr { gap: 0 .9rem; padding: 0 .8rem; grid-template-columns:
    minmax(8rem, 1.2fr) minmax(11rem, 1fr) 5.2rem minmax(9rem, 10.2rem)
    minmax(6rem, 9rem); }
.stale .card { opacity: .55; }
.findings { list-style: none; margin: 0; padding: 0; display: grid; gap: .7rem;
  grid-template-columns: minmax(0, 1fr); }
.findings li { padding: .9rem 1.1rem 1rem; border-left: 4px solid var(--late); }
.findings li.info { border-left-color: var(--line); }
.findings h3 { display: flex; flex-wrap: wrap; align-items: center;
  gap: .2rem .7rem; margin: 0 0 .35rem; font-size: 1rem; font-weight: 650;
  overflow-wrap: anywhere; }
.findings p { margin: 0 0 .3rem; max-width: 56rem; overflow-wrap: anywhere; }
.findings .fix::before { content: "Fix: "; font-weight: 600; }
.findings small code + code { margin-left: .8rem; }
.methods tr { gap: 0 .7rem; grid-template-columns:
    minmax(11rem, 1fr) repeat(10, minmax(3rem, 4.6rem)); }
.methods th:not(.what), .methods td { text-align: right;
  font-variant-numeric: tabular-nums; }
.methods thead th { align-self: end; line-height: 1.25; }
.methods td.zero { color: var(--soft); }
.methods td.found { font-weight: 600; color: var(--late); }
footer { margin-top: 1rem; max-width: 46rem; color: var(--soft);
  font-size: .85rem; }
@media (max-width: 62rem) {
  main { padding: 1.2rem .8rem 2rem; }
  h1 { font-size: 1.4rem; }
  .facts { gap: .7rem 1.6rem; }
  .tools input { flex: 1 1 12rem; font-size: 16px; }
  thead { position: absolute; width: 1px; height: 1px; overflow: hidden;
    clip-path: inset(50%); }
  tr { gap: 0 .8rem; grid-template-columns: 5.2rem minmax(0, 1fr);
    padding: .7rem .8rem; }
  .trace code { font-size: .68rem; }
  tbody td, tbody th { padding: .15rem 0; }
  .what, .left, .status { grid-column: 1 / -1; }
  thead .age, tbody .age { text-align: left; }
  tr.more { padding: 0 .8rem .9rem; }
  tr.more tr { padding: .5rem .7rem;
    grid-template-columns: 4.7rem minmax(0, 1fr); }
  abbr { display: block; color: var(--soft); font-size: .75rem; }
  .status .mark { margin-right: .4rem; }
  .methods tr { display: flex; flex-wrap: wrap; gap: .1rem 1.4rem; }
  .methods .what { flex-basis: 100%; }
  .methods th:not(.what), .methods td { text-align: left; }
  .methods td.zero { display: none; }
}
@media (forced-colors: active) {
  .lane, .lane i { forced-color-adjust: none; }
}
)css";

}  // namespace tether::internal

#endif  // TETHER_OBSERVABILITY_INTERNAL_STATUS_STYLE_H_
