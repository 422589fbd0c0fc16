// SPDX-License-Identifier: Apache-2.0
//
// A client that can send what no HTTP library would: broken, slow and huge
// requests.

#ifndef TETHER_OBSERVABILITY_TESTING_HTTP_CLIENT_H_
#define TETHER_OBSERVABILITY_TESTING_HTTP_CLIENT_H_

#include <map>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace tether::testing {

struct HttpReply {
  int code = 0;  // 0: there was no reply
  // The names are in lower case.
  std::map<std::string, std::string> headers;
  std::string body;
};

// A connection to a port on 127.0.0.1. Thread safety: none.
class HttpConnection {
 public:
  // A failed connection looks like one that is closed at once.
  explicit HttpConnection(int port);
  ~HttpConnection();
  HttpConnection(const HttpConnection&) = delete;
  HttpConnection& operator=(const HttpConnection&) = delete;

  // False if the connection is closed.
  bool Send(absl::string_view text);

  // Up to `max_size` more bytes; "" if the connection is closed, or silent for
  // `patience`.
  std::string Receive(size_t max_size, absl::Duration patience);

  // All that comes until the connection is closed.
  HttpReply ReadReply();

 private:
  int socket_ = -1;
};

// One request with the headers "Host" and, if it isn't empty, `headers`, whose
// lines end with "\r\n". `target` is the path and the query.
HttpReply Http(int port, absl::string_view method, absl::string_view target,
               absl::string_view host = "127.0.0.1",
               absl::string_view headers = "");

}  // namespace tether::testing

#endif  // TETHER_OBSERVABILITY_TESTING_HTTP_CLIENT_H_
