// SPDX-License-Identifier: Apache-2.0
//
// StatusPage: a web page of what this process serves and waits for, and of
// where it loses contexts. For people on call.
//
//   tether::StatusPageOptions options;
//   options.listen = "127.0.0.1:8080";
//   options.metrics = [] { return tether::PrometheusText(); };
//   auto page = tether::StatusPage::Start(std::move(options));
//   if (!page.ok()) …
//   std::cerr << "http://" << (*page)->address() << "/\n";
//
//   /                            the requests in flight, live
//   /health-of-propagation       what to fix first
//   /requests.json               v1::Snapshot, as JSON. Parameters: `method`,
//                                `trace` and `max`, the fields of ListRequest;
//                                other values get 400
//   /health-of-propagation.json  v1::PropagationHealth, as JSON
//   /metrics                     StatusPageOptions::metrics
//   …                            StatusPageOptions::more_paths
//
// It tells of traffic to everyone who reaches it: methods, peers, trace ids. It
// asks for no password and doesn't encrypt. So it is off until Start, and on
// loopback unless told otherwise; "ssh -L" brings it to another machine.
// Requests change nothing: it answers GET and HEAD only, and serves no files.

#ifndef TETHER_OBSERVABILITY_STATUS_PAGE_H_
#define TETHER_OBSERVABILITY_STATUS_PAGE_H_

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "tether/export.h"
#include "tether/v1/inspector.pb.h"

namespace tether {

inline constexpr char kStatusPageText[] = "text/plain; charset=utf-8";

// An answer of StatusPageOptions::more_paths.
struct StatusPageAnswer {
  int code = 200;  // of HTTP
  std::string type = kStatusPageText;
  std::string body;
};

struct StatusPageOptions {
  // "127.0.0.1:8080", "localhost:8080", "[::1]:8080"; "0.0.0.0:8080" for all of
  // the machine's IPv4 addresses. Port 0: any free port. IPv6 depends on how
  // civetweb was built (Debian 12's lacks it).
  std::string listen = "127.0.0.1:0";

  // Names by which browsers and scrapers may call the page, without a port:
  // "orders.internal". Requests whose Host header is neither such a name, nor
  // "localhost", nor an IP address get 403: another site's name could have been
  // pointed at this address, and then that site's scripts could read the page.
  std::vector<std::string> allowed_hosts;

  // The most clients that are served at once, each on a thread of its own. A
  // few more wait. 1 to 64.
  int max_connections = 4;

  // Slower clients are disconnected. It is civetweb's request_timeout_ms, which
  // limits how long a request's first line and headers may take, and how long
  // the client may read nothing of the answer. Besides, it limits the whole
  // answer. 10 ms to 10 min.
  absl::Duration client_timeout = absl::Seconds(5);

  // The answer to /metrics, in Prometheus' text format. Null: 404.
  std::function<std::string()> metrics;

  // Answers to paths of the program's own, such as "/healthz". A path begins
  // with '/', and is none of the page's; no function is null. Browsers run no
  // script of such an answer, and load nothing that it refers to.
  std::map<std::string, std::function<StatusPageAnswer()>> more_paths;

  // What the page shows. Null: TakeSnapshot and GetPropagationHealth.
  std::function<v1::Snapshot(const v1::ListRequest&)> snapshot;
  std::function<v1::PropagationHealth()> health;
};

// The page's server, from Start to the destructor. The functions in the options
// are called on its threads, concurrently. If one of them throws, the answer is
// 500.
//
// Thread safety: any thread, but the destructor must not run in a function of
// the options.
class TETHER_EXPORT StatusPage {
 public:
  // Blocks until civetweb's threads run, 1 s at most. Meanwhile the process
  // ignores SIGPIPE; then its action is what it was before. (If civetweb starts
  // threads on demand, SIGPIPE may be ignored again later.)
  //
  // INTERNAL: civetweb doesn't tell its port.
  // INVALID_ARGUMENT: an option is malformed or out of range. UNIMPLEMENTED: an
  // IPv6 address, and civetweb has no IPv6. FAILED_PRECONDITION: it can't
  // listen, for instance because the port is in use; the message says why.
  static absl::StatusOr<std::unique_ptr<StatusPage>> Start(
      StatusPageOptions options = {});

  // Stops: waits for requests that are being answered. Their answers may be cut
  // off. Takes up to 2 s even without any, because civetweb looks no more often
  // whether it shall stop.
  ~StatusPage();
  StatusPage(const StatusPage&) = delete;
  StatusPage& operator=(const StatusPage&) = delete;

  // The port that it listens on.
  int port() const;

  // The address and the port, as in the URL: "127.0.0.1:8080".
  std::string address() const;

 private:
  class Server;
  explicit StatusPage(std::unique_ptr<Server> server);

  const std::unique_ptr<Server> server_;
};

}  // namespace tether

#endif  // TETHER_OBSERVABILITY_STATUS_PAGE_H_
