// SPDX-License-Identifier: Apache-2.0
//
// The fixture of tests over gRPC: each test must leave nothing behind.

#ifndef TETHER_GRPC_TESTING_GRPC_LEAK_CHECKED_TEST_H_
#define TETHER_GRPC_TESTING_GRPC_LEAK_CHECKED_TEST_H_

#include <gtest/gtest.h>

namespace tether::testing {

// Asserts that no context, callback, timer, call or watch is left when a test
// ends. gRPC releases a call on its own threads, a little after the RPC: the
// fixture waits five seconds for that, far longer than a loaded machine needs.
class GrpcLeakCheckedTest : public ::testing::Test {
 protected:
  void TearDown() override;
};

}  // namespace tether::testing

#endif  // TETHER_GRPC_TESTING_GRPC_LEAK_CHECKED_TEST_H_
