// SPDX-License-Identifier: Apache-2.0
//
// The demo's result as a page for a browser.

#ifndef SHOP_SERVICES_DEMO_HTML_H_
#define SHOP_SERVICES_DEMO_HTML_H_

#include <string>

#include "absl/strings/string_view.h"
#include "services/demo/story.h"

namespace shop {

// A self-contained HTML document. It loads nothing and runs no script (its
// Content-Security-Policy forbids both). It describes the result in words, and
// then draws the timeline: one row per call, on one time axis. A call's own
// time, its waiting and its transit differ in form and in colour. The deadline
// is a line. The figures are next to each row. The page fits a phone, and
// follows the reader's choice of light or dark. Texts may contain anything,
// because they are escaped.
std::string HtmlPage(const DemoStory& story);

// `text`, escaped for HTML, inside and outside of attributes. Control
// characters become spaces. Bytes that aren't UTF-8 are kept: browsers show a
// replacement character for them.
std::string EscapeHtml(absl::string_view text);

}  // namespace shop

#endif  // SHOP_SERVICES_DEMO_HTML_H_
