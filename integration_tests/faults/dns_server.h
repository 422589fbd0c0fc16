// SPDX-License-Identifier: Apache-2.0
//
// A DNS server that can be silent.
//
// For tests only.

#ifndef TETHER_INTEGRATION_TESTS_FAULTS_DNS_SERVER_H_
#define TETHER_INTEGRATION_TESTS_FAULTS_DNS_SERVER_H_

#include <atomic>
#include <string>
#include <thread>

#include "integration_tests/faults/net_namespace.h"

namespace tether::faults {

// Answers each query for an IPv4 address with the same address, and each other
// query with "no data", on a thread of its own. It receives on UDP port 53 of
// its own address.
//
// Thread safety: any thread.
class DnsServer {
 public:
  // `address`: its own, and its answer.
  DnsServer(const NetNamespace& net, const std::string& address);
  ~DnsServer();
  DnsServer(const DnsServer&) = delete;
  DnsServer& operator=(const DnsServer&) = delete;

  // Whether it answers.
  void SetSilent(bool silent) { silent_ = silent; }
  // The number of queries that it left unanswered.
  int unanswered() const { return unanswered_.load(); }

 private:
  void Run();

  const std::string address_;
  std::atomic<bool> silent_{false};
  std::atomic<int> unanswered_{0};
  int socket_ = -1;
  std::thread thread_;
};

}  // namespace tether::faults

#endif  // TETHER_INTEGRATION_TESTS_FAULTS_DNS_SERVER_H_
