// SPDX-License-Identifier: Apache-2.0

#include "tether/observability/internal/status_html.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "tether/observability/internal/in_flight_script.h"
#include "tether/observability/internal/status_script.h"
#include "tether/observability/internal/status_style.h"

namespace tether::internal {
namespace {

constexpr absl::string_view kInFlightBody = R"html(
<header>
<p class="kicker">tether: in flight now</p>
<h1><span id="process">…</span> <span id="state" class="mark" role="status">loading</span></h1>
<nav aria-label="Pages"><a href="/" aria-current="page">In flight</a>
<a href="/health-of-propagation">Health of propagation</a></nav>
<dl class="facts">
<div><dt>Process id</dt><dd id="pid">–</dd></div>
<div><dt>Requests in flight</dt><dd id="requests-in-flight">–</dd></div>
<div><dt>Calls in flight</dt><dd id="calls-in-flight">–</dd></div>
<div><dt>Work for nobody</dt><dd id="for-nobody">–</dd></div>
<div><dt>Nobody has looked</dt><dd id="not-observed">–</dd></div>
</dl>
</header>
<div class="tools" role="search">
<input id="filter" type="search" aria-label="Filter by method or trace id"
  placeholder="Method or trace id" autocomplete="off" spellcheck="false" maxlength="200">
<button id="pause" type="button" aria-pressed="false">Pause</button>
<span id="shown"></span>
</div>
<section class="card" aria-label="Requests in flight">
<table role="table" class="requests">
<thead role="rowgroup"><tr role="row">
<th role="columnheader" class="what">Request</th>
<th role="columnheader" class="left">Time left</th>
<th role="columnheader" class="age">Age</th>
<th role="columnheader" class="trace">Trace</th>
<th role="columnheader" class="status">State</th>
</tr></thead>
<tbody role="rowgroup" id="requests"></tbody>
</table>
<p class="none" id="no-requests" hidden></p>
</section>
<section id="others" hidden>
<h2>Calls without a request</h2>
<p class="story">A client's own calls, and calls that a handler made without the context of its request.</p>
<div class="card">
<table role="table" class="calls">
<thead role="rowgroup"><tr role="row">
<th role="columnheader" class="what">Call</th>
<th role="columnheader" class="left">Time left</th>
<th role="columnheader" class="age">Age</th>
<th role="columnheader" class="trace">Trace</th>
<th role="columnheader" class="status">State</th>
</tr></thead>
<tbody role="rowgroup" id="calls"></tbody>
</table>
</div>
</section>
<footer>A bar is the time left, out of all the time that the request had on arrival. It is red once the deadline has
passed. The same as JSON: <a href="/requests.json">/requests.json</a>.</footer>
)html";

constexpr absl::string_view kHealthBody = R"html(
<header>
<p class="kicker">tether: health of propagation</p>
<h1><span id="process">…</span> <span id="state" class="mark" role="status">loading</span></h1>
<nav aria-label="Pages"><a href="/">In flight</a>
<a href="/health-of-propagation" aria-current="page">Health of propagation</a></nav>
<dl class="facts">
<div><dt>Process id</dt><dd id="pid">–</dd></div>
<div><dt>Counted for</dt><dd id="counted">–</dd></div>
<div><dt>Requests</dt><dd id="served">–</dd></div>
<div><dt>Calls</dt><dd id="called">–</dd></div>
</dl>
</header>
<section aria-labelledby="findings-title">
<h2 id="findings-title">What to fix first</h2>
<p class="card none" id="no-findings" hidden></p>
<ol class="findings" id="findings"></ol>
</section>
<section id="figures" hidden>
<h2>The figures, by method</h2>
<div class="card">
<table role="table" class="methods">
<thead role="rowgroup"><tr role="row">
<th role="columnheader" class="what">Method</th>
<th role="columnheader">Requests</th>
<th role="columnheader">No deadline</th>
<th role="columnheader">No trace</th>
<th role="columnheader">Deaf</th>
<th role="columnheader">Longest</th>
<th role="columnheader">Not looked at</th>
<th role="columnheader">Context lost</th>
<th role="columnheader">Later deadline</th>
<th role="columnheader">Calls</th>
<th role="columnheader">No context</th>
</tr></thead>
<tbody role="rowgroup" id="methods"></tbody>
</table>
</div>
</section>
<footer>Deaf: the handler ran on after its context had ended, at the longest for so long. Not looked at: it ran for long,
and nothing looked at its context. Context lost: calls that it made without the context of its request. No context:
calls on threads that serve no request, for a context that belongs to none. The same as JSON:
<a href="/health-of-propagation.json">/health-of-propagation.json</a>.</footer>
)html";

std::string Html(absl::string_view title, absl::string_view nonce,
                 absl::string_view body, absl::string_view json,
                 absl::string_view script) {
  return absl::StrCat(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, "
      "initial-scale=1\">\n<meta name=\"color-scheme\" content=\"light dark\">"
      "\n<title>",
      title, "</title>\n<style nonce=\"", nonce, "\">", kStatusStyle,
      "</style>\n</head>\n<body>\n<main>\n<noscript><p class=\"card none\">"
      "This page needs JavaScript. Without it, there is <a href=\"",
      json, "\">", json, "</a>.</p></noscript>", body,
      "</main>\n<script nonce=\"", nonce, "\">", kCommonScript, script,
      "</script>\n</body>\n</html>\n");
}

}  // namespace

std::string InFlightHtml(absl::string_view nonce) {
  return Html("In flight", nonce, kInFlightBody, "/requests.json",
              kInFlightScript);
}

std::string PropagationHealthHtml(absl::string_view nonce) {
  return Html("Health of propagation", nonce, kHealthBody,
              "/health-of-propagation.json", kHealthScript);
}

}  // namespace tether::internal
