// SPDX-License-Identifier: Apache-2.0
//
// The scripts of StatusPage. What they show was chosen by strangers: they write
// it as text, never as HTML. Internal.

#ifndef TETHER_OBSERVABILITY_INTERNAL_STATUS_SCRIPT_H_
#define TETHER_OBSERVABILITY_INTERNAL_STATUS_SCRIPT_H_

namespace tether::internal {

// For both pages.
inline constexpr char kCommonScript[] = R"js(
'use strict';
const $ = id => document.getElementById(id);

// Leaves the node alone if it has the text already, so that a selection stays.
const put = (node, text) => {
  if (node.textContent !== text) node.textContent = text;
};
const make = (tag, name, ...children) => {
  const node = document.createElement(tag);
  if (name) node.className = name;
  node.append(...children);
  return node;
};
const cell = (tag, name, ...children) => {
  const node = make(tag, name, ...children);
  node.setAttribute('role', tag === 'th' ? 'rowheader' : 'cell');
  if (tag === 'th') node.scope = 'row';
  return node;
};
const tableRow = (name, ...cells) => {
  const node = make('tr', name, ...cells);
  node.setAttribute('role', 'row');
  return node;
};

// 64-bit numbers are strings in JSON, and zero is absent.
const number = value => Number(value ?? 0);
const count = value => number(value).toLocaleString('en');
// At most six characters.
const shortCount = n => n < 1e5 ? count(n) : n.toLocaleString('en', {notation: 'compact', maximumSignificantDigits: 4});
const plural = (n, noun) => `${count(n)} ${noun}${n === 1 ? '' : 's'}`;

const time = us => {
  const s = us / 1e6;
  if (us < 1e3) return `${us} µs`;
  if (us < 1e4) return `${(us / 1e3).toFixed(1)} ms`;
  if (us < 999500) return `${Math.round(us / 1e3)} ms`;
  if (s < 9.995) return `${s.toFixed(2)} s`;
  if (s < 59.95) return `${s.toFixed(1)} s`;
  const [d, h, m] = [Math.floor(s / 86400), Math.floor(s / 3600) % 24, Math.floor(s / 60) % 60];
  if (d) return `${d} d ${h} h`;
  if (h) return `${h} h ${m} min`;
  return m < 10 ? `${m} min ${Math.floor(s) % 60} s` : `${m} min`;
};

// "/shop.v1.Orders/GetOrder" as "GetOrder" and "shop.v1.Orders".
const methodParts = method => {
  const parts = /^\/(.+)\/([^/]+)$/.exec(method);
  return parts ? [parts[2], parts[1]] : [method || 'unknown', ''];
};

const setState = (text, kind) => {
  put($('state'), text);
  $('state').className = `mark ${kind}`;
};

// Fetches `url()` every `period` ms while anybody looks, and shows the answer.
const watch = (url, period, show) => {
  let timer, running, last, isOn = true;
  const once = async () => {
    clearTimeout(timer);
    running?.abort();
    const mine = running = new AbortController();
    const limit = setTimeout(() => mine.abort(), 10000);
    let problem = 'no answer';
    try {
      if (document.hidden && last) return;
      const answer = await fetch(url(), {cache: 'no-store', signal: mine.signal});
      if (!answer.ok) throw new Error(problem = `error ${answer.status}`);
      const data = await answer.json();
      if (mine !== running) return;
      last = new Date();
      show(data);
      document.body.classList.remove('stale');
      setState('live', 'good');
    } catch {
      if (mine !== running) return;
      document.body.classList.add('stale');
      setState(last ? `${problem} since ${last.toLocaleTimeString()}` : problem, 'bad');
    } finally {
      clearTimeout(limit);
      if (mine === running) timer = setTimeout(once, period);
    }
  };
  document.addEventListener('visibilitychange', () => { if (!document.hidden && isOn) once(); });
  once();
  return {
    now: () => { isOn = true; once(); },
    stop: () => { isOn = false; clearTimeout(timer); running?.abort(); running = null; },
  };
};
)js";

inline constexpr char kHealthScript[] = R"js(
const KINDS = {
  KIND_CONTEXT_NOT_HANDED_ON: 'The context is not handed on',
  KIND_DEAF_HANDLER: 'A handler does not stop',
  KIND_NO_DEADLINE: 'Requests without deadline',
  KIND_NO_TRACE: 'Requests without trace',
  KIND_CONTEXT_NOT_OBSERVED: 'Nobody looks at the context',
  KIND_LATER_DEADLINE: 'Later deadlines have no effect',
  KIND_CALL_WITHOUT_CONTEXT: 'Calls without context',
  KIND_NOT_INSTALLED: 'tether is not installed',
};
const findingItem = finding => {
  const isWarning = finding.severity !== 'SEVERITY_INFO';
  const notes = make('small');
  const item = make('li', `card ${isWarning ? '' : 'info'}`,
    make('h3', '', KINDS[finding.kind] ?? String(finding.kind ?? 'Something else'),
      make('span', isWarning ? 'mark late' : 'mark', isWarning ? 'warning' : 'info')),
    make('p', '', make('code', '', finding.method ?? ''),
      ...(finding.callee ? [' calls ', make('code', '', finding.callee)] : [])),
    make('p', '', finding.what ?? ''), make('p', 'fix', finding.fix ?? ''), notes);
  const facts = [];
  if (number(finding.total)) facts.push(`${count(finding.count)} of ${count(finding.total)}`);
  if (number(finding.longestUs)) facts.push(`the longest ran on for ${time(number(finding.longestUs))}`);
  notes.append(facts.join(' · '));
  if (finding.traceIds?.length) {
    notes.append(' · traces: ', ...finding.traceIds.map(id => make('code', '', id || '–')));
  }
  return item;
};

// [key, title on a phone, whether it should be zero]
const FIGURES = [
  ['requests', 'requests', false], ['withoutDeadline', 'no deadline', true], ['withoutTrace', 'no trace', true],
  ['deaf', 'deaf', true], ['deafLongestUs', 'longest', true], ['notObserved', 'not looked at', true],
  ['callsWithoutContext', 'context lost', true], ['laterDeadlines', 'later deadline', true],
  ['calls', 'calls', false], ['backgroundCalls', 'no context', true],
];
const methodRow = method => {
  const [name, service] = methodParts(method.method);
  return tableRow('', cell('th', 'what', make('b', '', name), make('small', '', service)),
    ...FIGURES.map(([key, title, isBad]) => {
      const value = number(method[key]);
      return cell('td', value === 0 ? 'zero' : isBad ? 'found' : '', make('abbr', '', title),
        key.endsWith('Us') ? (value ? time(value) : '–') : shortCount(value));
    }));
};

let before = '';
watch(() => '/health-of-propagation.json', 5000, health => {
  const methods = health.methods ?? [], findings = health.findings ?? [], counted = number(health.countedUs);
  const sum = key => methods.reduce((all, method) => all + number(method[key]), 0);
  document.title = `${health.process ?? 'unnamed'}: health of propagation`;
  put($('process'), health.process ?? 'unnamed');
  put($('pid'), String(health.pid ?? '–'));
  put($('counted'), counted ? time(counted) : 'not counting');
  put($('served'), count(sum('requests')));
  put($('called'), count(sum('calls')));
  // Rebuilt only if it differs, so that a selection stays.
  const after = JSON.stringify([methods, findings, counted > 0]);
  if (after === before) return;
  before = after;
  $('no-findings').hidden = findings.length > 0;
  put($('no-findings'), !counted
    ? 'This process does not count, so nothing is known. Call tether::StartMetrics() at the beginning of main().'
    : methods.length ? 'Nothing to fix.' : 'Nothing to fix. No request or call has been counted yet.');
  $('findings').replaceChildren(...findings.map(findingItem));
  $('figures').hidden = !methods.length;
  $('methods').replaceChildren(...methods.map(methodRow));
});
)js";

}  // namespace tether::internal

#endif  // TETHER_OBSERVABILITY_INTERNAL_STATUS_SCRIPT_H_
