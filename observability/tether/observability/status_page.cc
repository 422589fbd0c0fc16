// SPDX-License-Identifier: Apache-2.0

#include "tether/observability/status_page.h"

#include <civetweb.h>
#include <signal.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "tether/observability/internal/http_host.h"
#include "tether/observability/internal/status_routes.h"
#include "tether/observability/propagation_health.h"
#include "tether/observability/snapshot.h"

namespace tether {
namespace {

using internal::HttpAnswer;
using internal::ListenAddress;

constexpr int kMostConnections = 64;
constexpr absl::Duration kLeastTimeout = absl::Milliseconds(10);
constexpr absl::Duration kMostTimeout = absl::Minutes(10);

// Of a request's first line and headers together.
constexpr const char* kMaxRequestBytes = "8192";
// Connections that wait for a thread.
constexpr const char* kMaxWaiting = "16";

// While this thread starts a server: receives the first thing that civetweb
// complains of.
thread_local std::string* complaint = nullptr;

// Between two looks at the clock while an answer is written.
constexpr size_t kWriteBytes = 64 << 10;

absl::Status Check(const StatusPageOptions& options) {
  if (options.max_connections < 1 ||
      options.max_connections > kMostConnections) {
    return absl::InvalidArgumentError(
        absl::StrCat("max_connections must be 1 to ", kMostConnections,
                     ", and is ", options.max_connections));
  }
  if (options.client_timeout < kLeastTimeout ||
      options.client_timeout > kMostTimeout) {
    return absl::InvalidArgumentError(
        absl::StrCat("client_timeout must be ", FormatDuration(kLeastTimeout),
                     " to ", FormatDuration(kMostTimeout), ", and is ",
                     FormatDuration(options.client_timeout)));
  }
  for (const std::string& host : options.allowed_hosts) {
    if (!internal::IsHostName(host)) {
      return absl::InvalidArgumentError(
          absl::StrCat("'", CleanText(host),
                       "' in allowed_hosts is not a host's name without port"));
    }
  }
  for (const auto& [path, answer] : options.more_paths) {
    if (path.empty() || path[0] != '/' || internal::IsStatusPath(path)) {
      return absl::InvalidArgumentError(
          absl::StrCat("'", CleanText(path),
                       "' in more_paths doesn't begin with '/', or is a path "
                       "of the page"));
    }
    if (!answer) {
      return absl::InvalidArgumentError(absl::StrCat(
          "the function for '", CleanText(path), "' in more_paths is null"));
    }
  }
  return absl::OkStatus();
}

// The policy lets a page use nothing but its own inline style and script, and
// fetch from where it came from. So text that gets past the escaping still
// can't do anything.
std::string SecurityPolicy(const HttpAnswer& answer) {
  std::string policy =
      "default-src 'none'; base-uri 'none'; form-action 'none'; "
      "frame-ancestors 'none'";
  if (!answer.nonce.empty()) {
    absl::StrAppend(&policy, "; connect-src 'self'; style-src 'nonce-",
                    answer.nonce, "'; script-src 'nonce-", answer.nonce, "'");
  }
  return policy;
}

std::string Head(mg_connection* connection, const HttpAnswer& answer) {
  return absl::StrCat(
      "HTTP/1.1 ", answer.code, " ",
      mg_get_response_code_text(connection, answer.code),
      "\r\nContent-Type: ", answer.type,
      "\r\nContent-Length: ", answer.body.size(),
      "\r\nContent-Security-Policy: ", SecurityPolicy(answer),
      "\r\nX-Content-Type-Options: nosniff\r\nX-Frame-Options: DENY"
      "\r\nReferrer-Policy: no-referrer"
      "\r\nCross-Origin-Resource-Policy: same-origin"
      "\r\nCache-Control: no-store\r\nConnection: close\r\n",
      answer.code == 405 ? "Allow: GET, HEAD\r\n" : "", "\r\n");
}

// civetweb limits only how long a client reads nothing. This limits the whole
// answer: otherwise a few clients that read a byte now and then would keep all
// threads.
void Write(mg_connection* connection, absl::string_view text,
           absl::Duration timeout) {
  using Clock = std::chrono::steady_clock;
  const auto end = Clock::now() + absl::ToChronoMilliseconds(timeout);
  while (!text.empty() && Clock::now() < end) {
    const size_t size = std::min(text.size(), kWriteBytes);
    if (mg_write(connection, text.data(), size) != static_cast<int>(size)) {
      return;
    }
    text.remove_prefix(size);
  }
}

}  // namespace

class StatusPage::Server {
 public:
  Server(StatusPageOptions options, ListenAddress address)
      : sources_{std::move(options.snapshot),
                 std::move(options.health),
                 std::move(options.metrics),
                 {}},
        allowed_hosts_(std::move(options.allowed_hosts)),
        max_connections_(options.max_connections),
        timeout_(options.client_timeout),
        address_(std::move(address)) {
    if (!sources_.snapshot) sources_.snapshot = TakeSnapshot;
    if (!sources_.health) sources_.health = GetPropagationHealth;
    for (auto& [path, answer] : options.more_paths) {
      sources_.more_paths[path] = [answer = std::move(answer)] {
        StatusPageAnswer from = answer();
        HttpAnswer to;
        to.code = from.code;
        to.type = std::move(from.type);
        to.body = std::move(from.body);
        return to;
      };
    }
  }
  ~Server() {
    if (context_ != nullptr) mg_stop(context_);
  }
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  absl::Status Listen();

  int port() const { return port_; }
  std::string address() const { return address_.WithPort(port_); }

 private:
  static const Server& Of(const mg_connection* connection) {
    return *static_cast<const Server*>(mg_get_user_context_data(connection));
  }

  // Called for each request, whatever its method and path. Its return value,
  // the code, keeps civetweb from doing anything itself.
  static int OnRequest(mg_connection* connection);
  // Called for messages that aren't HTTP, or that are too large.
  static int OnError(mg_connection* connection, int code, const char* message);
  static int OnLog(const mg_connection*, const char* message);
  // Called on each of civetweb's threads. The type of the first one is 0.
  static void* OnThread(const mg_context* context, int type);

  // Null if it fails; then it has logged why.
  mg_context* StartCivetweb();

  HttpAnswer Answer(const mg_connection* connection) const;
  void Send(mg_connection* connection, const HttpAnswer& answer) const;

  internal::StatusSources sources_;
  const std::vector<std::string> allowed_hosts_;
  const int max_connections_;
  const absl::Duration timeout_;
  const ListenAddress address_;

  std::atomic<int> begun_{0};  // threads of civetweb
  mg_context* context_ = nullptr;
  int port_ = 0;
};

absl::Status StatusPage::Server::Listen() {
  if (address_.is_ipv6 && mg_check_feature(MG_FEATURES_IPV6) == 0) {
    return absl::UnimplementedError(absl::StrCat(
        "can't listen on ", address_.ip, ": civetweb is built without IPv6"));
  }
  // The first caller initializes it. Nothing is undone at the end, because
  // others in this process may use civetweb, too.
  static const unsigned features = mg_init_library(MG_FEATURES_DEFAULT);
  static_cast<void>(features);

  std::string why;
  complaint = &why;
  context_ = StartCivetweb();
  complaint = nullptr;
  if (context_ == nullptr) {
    return absl::FailedPreconditionError(absl::StrCat(
        "can't listen on ", address_.WithPort(address_.port), ": ", why));
  }
  mg_server_port port = {};
  if (mg_get_server_ports(context_, 1, &port) < 1) {
    return absl::InternalError("civetweb doesn't tell its port");
  }
  port_ = port.port;
  return absl::OkStatus();
}

mg_context* StatusPage::Server::StartCivetweb() {
  const std::pair<const char*, std::string> options[] = {
      {"listening_ports", address_.WithPort(address_.port)},
      {"num_threads", absl::StrCat(max_connections_)},
      {"request_timeout_ms", absl::StrCat(absl::ToInt64Milliseconds(timeout_))},
      {"max_request_size", kMaxRequestBytes},
      {"connection_queue", kMaxWaiting},
      {"listen_backlog", kMaxWaiting},
      {"enable_keep_alive", "no"},
      {"tcp_nodelay", "1"},
      // Without a document_root there are no files. The rest is off all the
      // same, and no site's scripts may read the answers.
      {"enable_directory_listing", "no"},
      {"cgi_pattern", ""},
      {"ssi_pattern", ""},
      {"access_control_allow_origin", ""},
      // Answer() checks the host's name.
      {"enable_auth_domain_check", "no"},
  };
  std::vector<const char*> words;
  for (const auto& [name, value] : options) {
    words.insert(words.end(), {name, value.c_str()});
  }
  words.push_back(nullptr);

  mg_callbacks callbacks = {};
  callbacks.begin_request = OnRequest;
  callbacks.http_error = OnError;
  callbacks.log_message = OnLog;

  callbacks.init_thread = OnThread;

  // Each of civetweb's threads makes the process ignore SIGPIPE when it begins.
  // It doesn't need to, as civetweb writes with MSG_NOSIGNAL; and the process
  // may expect the signal. So it is undone as soon as all have done it; or
  // after a second, if this civetweb starts threads only when it needs them.
  struct sigaction pipe_action;
  sigaction(SIGPIPE, nullptr, &pipe_action);
  mg_init_data init = {&callbacks, this, words.data()};
  mg_context* context = mg_start2(&init, nullptr);
  const int threads = 1 + max_connections_;
  for (int i = 0; context != nullptr && i < 1000 && begun_ < threads; ++i) {
    absl::SleepFor(absl::Milliseconds(1));
  }
  sigaction(SIGPIPE, &pipe_action, nullptr);
  return context;
}

int StatusPage::Server::OnRequest(mg_connection* connection) {
  // Without it, civetweb reads the rest of the request's body, for as long as
  // the client likes to send.
  mg_disable_connection_keep_alive(connection);
  const Server& server = Of(connection);
  const HttpAnswer answer = server.Answer(connection);
  server.Send(connection, answer);
  return answer.code;
}

int StatusPage::Server::OnError(mg_connection* connection, int code,
                                const char* message) {
  mg_disable_connection_keep_alive(connection);
  HttpAnswer answer;
  answer.code = code;
  answer.body = absl::StrCat(CleanText(message), "\n");
  Of(connection).Send(connection, answer);
  return 0;
}

void* StatusPage::Server::OnThread(const mg_context* context, int type) {
  // The first thread, and those that serve clients.
  if (type == 0 || type == 1) {
    ++static_cast<Server*>(mg_get_user_data(context))->begun_;
  }
  return nullptr;
}

int StatusPage::Server::OnLog(const mg_connection*, const char* message) {
  // Later messages are about clients that left. They are nobody's concern.
  if (complaint != nullptr && complaint->empty()) {
    *complaint = CleanText(message);
  }
  return 1;
}

HttpAnswer StatusPage::Server::Answer(const mg_connection* connection) const {
  const mg_request_info& request = *mg_get_request_info(connection);
  const absl::string_view method = request.request_method;
  const char* host = mg_get_header(connection, "Host");
  HttpAnswer answer;
  // Before the path is looked at: a page that reaches this one by DNS rebinding
  // learns nothing at all.
  if (host == nullptr || !internal::IsAllowedHost(host, allowed_hosts_)) {
    answer.code = 403;
    answer.body =
        "This name isn't allowed. Use an IP address or localhost, or put the "
        "name into StatusPageOptions::allowed_hosts.\n";
  } else if (method != "GET" && method != "HEAD") {
    answer.code = 405;
    answer.body = "Only GET and HEAD are allowed.\n";
  } else if (request.local_uri == nullptr) {
    answer.code = 400;
    answer.body = "The path is missing.\n";
  } else {
    answer = internal::AnswerStatusRequest(
        sources_, request.local_uri,
        request.query_string == nullptr ? "" : request.query_string);
  }
  return answer;
}

void StatusPage::Server::Send(mg_connection* connection,
                              const HttpAnswer& answer) const {
  std::string message = Head(connection, answer);
  const mg_request_info* request = mg_get_request_info(connection);
  const bool is_head = request != nullptr &&
                       request->request_method != nullptr &&
                       absl::string_view(request->request_method) == "HEAD";
  if (!is_head) absl::StrAppend(&message, answer.body);
  Write(connection, message, timeout_);
}

absl::StatusOr<std::unique_ptr<StatusPage>> StatusPage::Start(
    StatusPageOptions options) {
  absl::StatusOr<ListenAddress> address =
      internal::ParseListenAddress(options.listen);
  if (!address.ok()) return address.status();
  if (absl::Status status = Check(options); !status.ok()) return status;
  auto server =
      std::make_unique<Server>(std::move(options), *std::move(address));
  if (absl::Status status = server->Listen(); !status.ok()) return status;
  return std::unique_ptr<StatusPage>(new StatusPage(std::move(server)));
}

StatusPage::StatusPage(std::unique_ptr<Server> server)
    : server_(std::move(server)) {}
StatusPage::~StatusPage() = default;
int StatusPage::port() const { return server_->port(); }
std::string StatusPage::address() const { return server_->address(); }

}  // namespace tether
