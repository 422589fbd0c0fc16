// SPDX-License-Identifier: Apache-2.0

#include "integration_tests/faults/dns_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>

namespace tether::faults {
namespace {

constexpr size_t kHeaderBytes = 12;
constexpr uint16_t kTypeA = 1;

// The first question of a query: a name that ends with a zero, a type and a
// class, of two bytes each. Empty if `query` is malformed.
std::string_view Question(std::string_view query) {
  if (query.size() < kHeaderBytes) return {};
  const size_t end = query.find('\0', kHeaderBytes);
  if (end == std::string_view::npos || end + 5 > query.size()) return {};
  return query.substr(kHeaderBytes, end + 5 - kHeaderBytes);
}

std::string Answer(std::string_view query, std::string_view question,
                   const std::string& address) {
  const bool has_data = question[question.size() - 4] == 0 &&
                        question[question.size() - 3] == kTypeA;
  std::string answer(query.substr(0, 2));
  // A response without error, to one question, with one answer or none.
  answer += std::string("\x84\x00\x00\x01\x00", 5);
  answer += has_data ? '\x01' : '\x00';
  answer += std::string(4, '\0');
  answer += question;
  if (!has_data) return answer;
  // The name of the question, type A, class IN, one second, four bytes.
  answer += std::string("\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x01\x00\x04", 12);
  in_addr bytes = {};
  inet_pton(AF_INET, address.c_str(), &bytes);
  answer.append(reinterpret_cast<const char*>(&bytes), sizeof(bytes));
  return answer;
}

}  // namespace

DnsServer::DnsServer(const NetNamespace& net, const std::string& address)
    : address_(address) {
  net.Run([this] { socket_ = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0); });
  sockaddr_in at = {};
  at.sin_family = AF_INET;
  at.sin_port = htons(53);
  inet_pton(AF_INET, address.c_str(), &at.sin_addr);
  if (bind(socket_, reinterpret_cast<sockaddr*>(&at), sizeof(at)) != 0) {
    std::perror("bind");
    std::abort();
  }
  thread_ = std::thread([this] { Run(); });
}

DnsServer::~DnsServer() {
  shutdown(socket_, SHUT_RDWR);  // ends recvfrom, though UDP isn't connected
  thread_.join();
  close(socket_);
}

void DnsServer::Run() {
  for (;;) {
    char buffer[512];
    sockaddr_in from = {};
    socklen_t size = sizeof(from);
    const ssize_t count = recvfrom(socket_, buffer, sizeof(buffer), 0,
                                   reinterpret_cast<sockaddr*>(&from), &size);
    if (count <= 0) return;
    const std::string_view query(buffer, static_cast<size_t>(count));
    const std::string_view question = Question(query);
    if (silent_ || question.empty()) {
      ++unanswered_;
      continue;
    }
    const std::string answer = Answer(query, question, address_);
    sendto(socket_, answer.data(), answer.size(), 0,
           reinterpret_cast<const sockaddr*>(&from), size);
  }
}

}  // namespace tether::faults
