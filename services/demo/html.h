// The demo's result as a page for a browser.

#ifndef SHOP_SERVICES_DEMO_HTML_H_
#define SHOP_SERVICES_DEMO_HTML_H_

#include <string>

#include "absl/strings/string_view.h"
#include "services/demo/story.h"

namespace shop {

// One HTML document, complete in itself: it loads nothing, and runs no script
// (its Content-Security-Policy forbids both). What happened, in words; then the
// timeline, with a row for each call on one axis of time: its own time, its
// waiting and its way apart in form as well as colour, the deadline as a line,
// and the figures beside it. Fits a phone, and follows the reader's choice of a
// light or a dark page. Texts may hold anything: they are escaped.
std::string HtmlPage(const DemoStory& story);

// `text` with nothing in it that means something in HTML, in an attribute or
// outside. Control characters become spaces. (Bytes that are no UTF-8 stay: a
// browser shows a sign in their place.)
std::string EscapeHtml(absl::string_view text);

}  // namespace shop

#endif  // SHOP_SERVICES_DEMO_HTML_H_
