// SPDX-License-Identifier: Apache-2.0
//
// ChannelTarget: the target that a channel was made for. gRPC tells it only
// through a call.

#ifndef TETHER_GRPC_INTERNAL_CHANNEL_TARGET_H_
#define TETHER_GRPC_INTERNAL_CHANNEL_TARGET_H_

#include <grpc/grpc.h>
#include <grpc/support/alloc.h>
#include <grpcpp/channel.h>

#include <atomic>
#include <memory>
#include <string>
#include <string_view>

#include "tether/internal/exceptions.h"

namespace tether::internal {

// Thread safety: any thread.
class ChannelTarget {
 public:
  ChannelTarget() = default;
  ~ChannelTarget() { delete known_.load(std::memory_order_relaxed); }
  ChannelTarget(const ChannelTarget&) = delete;
  ChannelTarget& operator=(const ChannelTarget&) = delete;

  // The target of `channel`, on which `call` is about to start. Remembers that
  // of the first channel; of others (a factory may serve several), it returns
  // "". Valid as long as this.
  std::string_view For(grpc::ChannelInterface* channel,
                       grpc_call* call) noexcept {
    const Known* known = known_.load(std::memory_order_acquire);
    if (known == nullptr) known = Learn(channel, call);
    // Another channel may have the address of one that is gone.
    return known != nullptr && known->address == channel &&
                   !known->channel.expired()
               ? known->target
               : std::string_view();
  }

 private:
  struct Known {
    const grpc::ChannelInterface* address;
    std::weak_ptr<grpc::Channel> channel;
    std::string target;
  };

  const Known* Learn(grpc::ChannelInterface* channel,
                     grpc_call* call) noexcept {
    TETHER_TRY {
      // Before a call has a connection, its peer is the channel's target.
      char* const text = grpc_call_get_peer(call);
      auto made = std::make_unique<Known>();
      made->address = channel;
      if (auto* own = dynamic_cast<grpc::Channel*>(channel)) {
        made->channel = own->weak_from_this();
      }
      if (text != nullptr) made->target = text;
      gpr_free(text);
      const Known* none = nullptr;
      if (known_.compare_exchange_strong(none, made.get(),
                                         std::memory_order_acq_rel)) {
        return made.release();
      }
      return none;
    }
    TETHER_CATCH(...) { return nullptr; }
  }

  std::atomic<const Known*> known_{nullptr};
};

}  // namespace tether::internal

#endif  // TETHER_GRPC_INTERNAL_CHANNEL_TARGET_H_
