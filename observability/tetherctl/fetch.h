// SPDX-License-Identifier: Apache-2.0
//
// Asks processes for what they serve and for what is wrong with them. Answers
// are cleaned (clean.h).

#ifndef TETHER_OBSERVABILITY_TETHERCTL_FETCH_H_
#define TETHER_OBSERVABILITY_TETHERCTL_FETCH_H_

#include <grpcpp/grpcpp.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "tether/context.h"
#include "tether/v1/inspector.grpc.pb.h"
#include "tetherctl/ctl.pb.h"

namespace tether::ctl {

// One process with a tether.v1.Inspector. It is asked anew each time, and the
// channel reconnects by itself.
//
// Thread safety: any thread.
class Process {
 public:
  // `address`: any target of gRPC's. Each question ends after `timeout`.
  Process(std::string address,
          const std::shared_ptr<grpc::ChannelCredentials>& credentials,
          absl::Duration timeout);

  const std::string& address() const { return address_; }

  // Blocks until there is an answer, the timeout has passed or `ctx` has ended.
  // The result has a snapshot or an error.
  ProcessSnapshot List(const Context& ctx, const v1::ListRequest& list) const;
  ProcessDiagnosis Diagnose(const Context& ctx) const;

 private:
  const std::string address_;
  const absl::Duration timeout_;
  const std::unique_ptr<v1::Inspector::Stub> stub_;
};

using Processes = std::vector<std::unique_ptr<const Process>>;

Processes Connect(const std::vector<std::string>& addresses,
                  const std::shared_ptr<grpc::ChannelCredentials>& credentials,
                  absl::Duration timeout);

// Asks all processes at once. The result has an entry for each of them, in
// their order; all times in it are relative to the moment of the last snapshot.
Snapshots ListAll(const Context& ctx, const Processes& processes,
                  const v1::ListRequest& list);

Diagnoses DiagnoseAll(const Context& ctx, const Processes& processes);

// Adds `us` microseconds to the ages in `snapshot`, and takes them from the
// times left, as if it had been made so much later.
void MakeOlder(v1::Snapshot& snapshot, int64_t us);

// Why a process didn't answer, in one line for people. Requires an error.
std::string ErrorText(const grpc::Status& status, absl::Duration timeout);

}  // namespace tether::ctl

#endif  // TETHER_OBSERVABILITY_TETHERCTL_FETCH_H_
