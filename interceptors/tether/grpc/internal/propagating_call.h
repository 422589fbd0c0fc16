// SPDX-License-Identifier: Apache-2.0
//
// PropagatingCall: a client's call whose deadline and headers tether writes,
// and whose status tether reads. The interceptor (client.cc) and OutgoingCall
// (outgoing_call.cc) are such calls.

#ifndef TETHER_GRPC_INTERNAL_PROPAGATING_CALL_H_
#define TETHER_GRPC_INTERNAL_PROPAGATING_CALL_H_

#include <grpcpp/grpcpp.h>

#include <cstddef>
#include <utility>

#include "tether/grpc/client_options.h"
#include "tether/grpc/internal/channel_target.h"
#include "tether/grpc/internal/client_call_state.h"
#include "tether/grpc/internal/metadata_carrier.h"
#include "tether/grpc/internal/packed_servers.h"
#include "tether/internal/nanos.h"

namespace tether::internal {

class PackedHeaders;

// What the calls on a channel share.
struct ClientChannel {
  // Fills in the options that are not set.
  explicit ClientChannel(ClientOptions client_options);

  const ClientOptions options;
  PackedServers servers;  // used if options.packed
  ChannelTarget target;
};

// Thread safety: as ClientCallState. The functions below are called on the
// threads that have the ClientContext, or in hooks, not concurrently.
class PropagatingCall : public ClientCallState {
 public:
  using ClientCallState::ClientCallState;

  // Gives `rpc` the deadline of the context, before its core call is made.
  void SetDeadline(grpc::ClientContext& rpc);

 protected:
  // The time from `now`, which is the current one, until the own deadline of
  // `rpc`; kNever if it has none.
  Nanos OwnLeft(const grpc::ClientContext& rpc, Nanos now) const;

  // Writes tether's headers into `metadata`, which is about to be sent and has
  // all of the application's. Returns false, and writes nothing, if the context
  // has ended: then nothing will be sent.
  //
  // `asked`: the channel of the call, which tells whether it is connected;
  // null: the call counts as connected.
  bool WriteHeaders(const grpc::ClientContext& rpc, ClientChannel& channel,
                    grpc::ChannelInterface* asked, SentMetadata::Map& metadata);

  // The status has arrived. Returns the status for the application.
  grpc::Status ReadStatus(const grpc::ClientContext& rpc,
                          ClientChannel& channel,
                          const ReceivedMetadata::Map& trailing_metadata,
                          grpc::Status status);

 private:
  // The application's metadata is too large for any header of tether's.
  void OnNoRoom();

  // Writes tether's time headers with `write`, and gRPC's own where core
  // doesn't.
  template <typename Write>
  void WriteTimes(const grpc::ClientContext& rpc, const ClientChannel& channel,
                  grpc::ChannelInterface* asked, SentMetadata::Map& metadata,
                  Write write);

  // Writes the values into `headers`, or into `packed` if it isn't null.
  void WriteValues(const ClientChannel& channel, size_t room,
                   SentMetadata& headers, PackedHeaders* packed) noexcept;
  bool InjectAndDescribe(const ClientChannel& channel, size_t room,
                         SentMetadata& headers, PackedHeaders* packed);

  // When the call asked the server whether it unpacks headers; kLongPast if it
  // doesn't ask. Set before the headers are sent.
  Nanos asked_ = kLongPast;

  // The own deadline, unless the application has changed it: as gRPC has it,
  // and on the steady clock.
  gpr_timespec deadline_set_ = {0, 0, GPR_TIMESPAN};
  Nanos own_deadline_ = 0;
};

}  // namespace tether::internal

#endif  // TETHER_GRPC_INTERNAL_PROPAGATING_CALL_H_
