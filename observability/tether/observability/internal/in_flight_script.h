// SPDX-License-Identifier: Apache-2.0
//
// The script of the page of requests in flight. It follows kCommonScript
// (status_script.h). Internal.

#ifndef TETHER_OBSERVABILITY_INTERNAL_IN_FLIGHT_SCRIPT_H_
#define TETHER_OBSERVABILITY_INTERNAL_IN_FLIGHT_SCRIPT_H_

namespace tether::internal {

inline constexpr char kInFlightScript[] = R"js(
const OWNERS = {
  DEADLINE_OWNER_CALLER: "caller's deadline",
  DEADLINE_OWNER_DEFAULT_TIMEOUT: "server's default",
  DEADLINE_OWNER_MAX_TIMEOUT: "server's maximum",
  DEADLINE_OWNER_BASE_CONTEXT: "server's base context",
};
const STYLES = {API_STYLE_SYNC: 'sync', API_STYLE_CALLBACK: 'callback', API_STYLE_ASYNC: 'async'};
const REASONS = {
  END_REASON_COMPLETED: 'completed',
  END_REASON_OWN_TIMEOUT: 'a timeout of this process',
  END_REASON_INHERITED_DEADLINE: "the caller's deadline",
  END_REASON_CALLER_LEFT: 'the caller left',
  END_REASON_CONNECTION_LOST: 'the connection broke',
  END_REASON_SERVER_SHUTDOWN: 'the server shuts down',
  END_REASON_SIBLING_FAILED: 'a sibling failed',
  END_REASON_CANCELLED: 'cancelled by the application',
  END_REASON_TOO_LITTLE_TIME: 'too little time was left',
};
// A newer process may have values that this page doesn't know.
const named = (table, value) => table[value] ?? String(value ?? '');

const hasEnded = item => (item.endedBy ?? 'END_REASON_UNSPECIFIED') !== 'END_REASON_UNSPECIFIED';
const worksForNobody = item => hasEnded(item) && item.endedBy !== 'END_REASON_COMPLETED';
// Of all calls that it waits for, whether they are listed or not.
const waitsCount = item => Math.max(number(item.waitsForTotal), (item.waitsFor ?? []).length);
const timeLeft = item => item.timeLeftUs === undefined ? Infinity : number(item.timeLeftUs);

// Marks as [class, text], then a note.
const stateOf = (item, isRequest) => {
  const marks = [], notes = [], waits = waitsCount(item);
  if (worksForNobody(item)) {
    marks.push(['bad', isRequest ? 'works on for nobody' : 'ended']);
    const ago = item.endedAgoUs === undefined ? '' : `, ${time(number(item.endedAgoUs))} ago`;
    notes.push(named(REASONS, item.endedBy) + ago);
  } else if (hasEnded(item)) {
    marks.push(['good', 'answered']);
    notes.push('the answer is being sent');
  } else if (timeLeft(item) < 0) {
    marks.push(['bad', 'deadline passed']);
  }
  if (waits) {
    marks.push(['wait', `waits for ${plural(waits, 'call')}`]);
    if (item.waitsFor?.length) notes.push(methodParts(item.waitsFor[0].method)[0] + (waits > 1 ? ', …' : ''));
  }
  if (isRequest && !item.observed) marks.push(['late', 'nobody has looked at its context']);
  if (!marks.length) marks.push(['', isRequest ? 'at work' : 'waiting']);
  return [marks, notes.join('; ')];
};

// Shows a list, and keeps the elements of each entry from one refresh to the
// next. Entries have no number of their own. An entry is the same if its texts
// are, and it began at the same time, within what the network adds.
class List {
  static SLACK_US = 1e6;
  constructor(body, build) { Object.assign(this, {body, build, entries: []}); }

  show(items, now) {
    const focused = document.activeElement;
    const old = new Map();
    for (const entry of this.entries.sort((a, b) => a.begin - b.begin)) {
      if (!old.has(entry.key)) old.set(entry.key, []);
      old.get(entry.key).push(entry);
    }
    const found = items.map(item => ({item, begin: now - number(item.ageUs), key: JSON.stringify(
      [item.method, item.peer, item.target, item.label, item.traceId, item.requestId])}));
    for (const one of [...found].sort((a, b) => a.begin - b.begin)) {
      const same = old.get(one.key) ?? [];
      while (same.length && same[0].begin < one.begin - List.SLACK_US) same.shift();
      one.entry = same.length && same[0].begin <= one.begin + List.SLACK_US ? same.shift() : this.build();
      Object.assign(one.entry, {key: one.key, begin: one.begin});
    }
    const gone = new Set(this.entries);
    this.entries = found.map(one => one.entry);
    this.entries.forEach(entry => gone.delete(entry));
    const place = [...this.body.children].findIndex(node => node.contains(focused));
    for (const entry of gone) entry.nodes.forEach(node => node.remove());
    let at = this.body.firstChild;
    for (const {item, entry} of found) {
      entry.update(item, now);
      for (const node of entry.nodes) {
        if (node === at) at = at.nextSibling;
        else this.body.insertBefore(node, at);
      }
    }
    if (place >= 0 && document.activeElement !== focused) {
      // Moving an element takes the focus from it. If it is gone, the next one gets it.
      const nodes = [...this.body.children];
      const next = focused.isConnected ? focused
        : (nodes.slice(place).concat(nodes)).find(node => node.querySelector('button'))?.querySelector('button');
      (next ?? $('filter')).focus({preventScroll: true});
    }
  }
}

// The cells that requests and calls have in common.
const timeCell = () => {
  const figure = make('span', 'number'), fill = make('i'), lane = make('span', 'lane', fill), note = make('small');
  lane.setAttribute('aria-hidden', 'true');
  const node = cell('td', 'left', make('div', 'bar', figure, lane), note);
  return {node, update: item => {
    const left = timeLeft(item), age = number(item.ageUs), all = age + left;
    const isOver = left < 0;
    figure.className = isOver ? 'number over' : 'number';
    lane.className = left === Infinity ? 'lane none' : 'lane';
    fill.hidden = left === Infinity;
    fill.className = isOver ? 'over' : '';
    const share = isOver || all <= 0 ? 1 : left / all;
    if (left !== Infinity) fill.style.setProperty('--length', `${(100 * share).toFixed(2)}%`);
    put(figure, left === Infinity ? 'no limit' : isOver ? `−${time(-left)}` : time(left));
    const owner = named(OWNERS, item.deadlineOwner);
    put(note, left === Infinity ? 'no deadline' : `of ${time(Math.max(0, all))}${owner && ', '}${owner}`);
  }};
};
const textCell = (name, title, tag, text) => {
  const body = make(tag), node = cell('td', name, make('abbr', '', title), body);
  return {node, update: item => put(body, text(item))};
};
const ageCell = () => textCell('age', 'Age', 'span', item => time(number(item.ageUs)));
const traceCell = () => textCell('trace', 'Trace', 'code', item => item.traceId || '–');
const stateCell = isRequest => {
  const marks = make('div'), note = make('small'), node = cell('td', 'status', marks, note);
  return {node, update: item => {
    const [wanted, text] = stateOf(item, isRequest);
    while (marks.children.length > wanted.length) marks.lastChild.remove();
    wanted.forEach(([kind, label], i) => {
      const mark = marks.children[i] ?? marks.appendChild(make('span'));
      mark.className = `mark ${kind}`;
      put(mark, label);
    });
    put(note, text);
  }};
};
const methodNames = (item, name, service) => {
  const [last, first] = methodParts(item.method);
  put(name, last);
  put(service, first);
};

const buildCall = () => {
  const name = make('b'), service = make('small'), more = make('small');
  const cells = [timeCell(), ageCell(), traceCell(), stateCell(false)];
  const head = cell('th', 'what', name, service, more);
  return {nodes: [tableRow('', head, ...cells.map(c => c.node))], update: item => {
    methodNames(item, name, service);
    put(more, [item.target && `to ${item.target}`, item.label].filter(Boolean).join(' · '));
    cells.forEach(c => c.update(item));
  }};
};

let requestNumber = 0;
const buildRequest = () => {
  const id = `request-${++requestNumber}`;
  const name = make('b'), service = make('small'), from = make('small'), toggle = make('button', 'toggle', name);
  toggle.type = 'button';
  toggle.setAttribute('aria-controls', id);
  const cells = [timeCell(), ageCell(), traceCell(), stateCell(true)];
  const head = cell('th', 'what', toggle, service, from);
  const facts = make('dl', 'detail'), none = make('p', 'story'), calls = make('tbody');
  const table = make('table', 'calls', calls), rest = make('p', 'story');
  const detail = cell('td', '', facts, none, table, rest);
  table.setAttribute('role', 'table');
  table.setAttribute('aria-label', 'Calls that it waits for');
  calls.setAttribute('role', 'rowgroup');
  const more = tableRow('more', detail), list = new List(calls, buildCall);
  more.id = id;
  const fact = title => {
    const value = make('dd');
    facts.append(make('div', '', make('dt', '', title), value));
    return value;
  };
  const [method, requestId, peer, ended] = ['Method', 'Request id', 'Caller', 'Ended by'].map(fact);
  let item, now;
  const showDetail = () => {
    put(method, item.method ?? '–');
    put(requestId, item.requestId || '–');
    put(peer, item.peer || '–');
    put(ended, hasEnded(item) ? named(REASONS, item.endedBy) : 'nothing yet');
    const waits = item.waitsFor ?? [], all = waitsCount(item), others = all - waits.length;
    table.hidden = !waits.length;
    put(none, waits.length ? '' : `It waits for ${all ? plural(all, 'call') : 'no call'}.`);
    none.hidden = waits.length > 0;
    put(rest, `And for ${plural(others, 'more call')}.`);
    rest.hidden = !waits.length || !others;
    list.show(waits, now);
  };
  const open = isOpen => {
    toggle.setAttribute('aria-expanded', String(isOpen));
    more.hidden = !isOpen;
    if (isOpen && item) showDetail();
  };
  toggle.addEventListener('click', () => open(more.hidden));
  open(false);
  return {nodes: [tableRow('request', head, ...cells.map(c => c.node)), more], update: (current, time) => {
    [item, now] = [current, time];
    methodNames(item, name, service);
    put(from, [item.peer || 'the caller has left', named(STYLES, item.style)].filter(Boolean).join(' · '));
    cells.forEach(c => c.update(item));
    if (!more.hidden) showDetail();
  }};
};

const requests = new List($('requests'), buildRequest), calls = new List($('calls'), buildCall);
const filter = $('filter'), pause = $('pause');
filter.value = new URLSearchParams(location.search).get('filter') ?? '';
let isPaused = false, shown;

const wanted = () => filter.value.trim();
const matches = item => (item.method ?? '').includes(wanted()) || (item.traceId ?? '').startsWith(wanted().toLowerCase());
// The process filters, so that what is wanted isn't beyond the limit. It knows
// whole trace ids only; `matches` sees to their beginnings.
const url = () => {
  const text = wanted(), query = new URLSearchParams({max: 300});
  if (/^[0-9a-f]{32}$/i.test(text)) query.set('trace', text);
  else if (/^[0-9a-f]{6,}$/i.test(text)) query.set('max', 10000);
  else if (text) query.set('method', text);
  return `/requests.json?${query}`;
};
const show = (snapshot, now = performance.now() * 1e3) => {
  shown = [snapshot, now];
  const sorted = list => (list ?? []).filter(matches).sort((a, b) => timeLeft(a) - timeLeft(b) || 0).slice(0, 300);
  const mine = sorted(snapshot.requests), others = sorted(snapshot.otherCalls);
  document.title = `${snapshot.process ?? 'unnamed'}: in flight`;
  put($('process'), snapshot.process ?? 'unnamed');
  put($('pid'), String(snapshot.pid ?? '–'));
  put($('requests-in-flight'), count(snapshot.requestsInFlight));
  put($('calls-in-flight'), count(snapshot.callsInFlight));
  // Of those that the process has listed.
  const listed = snapshot.requests ?? [], all = number(snapshot.requestsInFlight);
  const more = listed.length < all && !wanted() ? '+' : '';
  put($('for-nobody'), count(listed.filter(worksForNobody).length) + more);
  put($('not-observed'), count(listed.filter(item => !item.observed).length) + more);
  requests.show(mine, now);
  calls.show(others, now);
  $('others').hidden = !others.length;
  $('no-requests').hidden = mine.length > 0;
  put($('no-requests'), wanted() ? 'No request in flight matches.' : 'No request is in flight.');
  put($('shown'), mine.length < all ? `${count(mine.length)} of ${plural(all, 'request')}` : '');
};

const live = watch(url, 1000, show);
pause.addEventListener('click', () => {
  isPaused = !isPaused;
  pause.setAttribute('aria-pressed', String(isPaused));
  put(pause, isPaused ? 'Resume' : 'Pause');
  if (isPaused) {
    live.stop();
    setState('paused', 'late');
  } else {
    live.now();
  }
});
filter.addEventListener('input', () => {
  history.replaceState(null, '', wanted() ? `/?filter=${encodeURIComponent(wanted())}` : '/');
  if (shown) show(...shown);
  if (!isPaused) live.now();
});
)js";

}  // namespace tether::internal

#endif  // TETHER_OBSERVABILITY_INTERNAL_IN_FLIGHT_SCRIPT_H_
