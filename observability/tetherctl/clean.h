// SPDX-License-Identifier: Apache-2.0
//
// Makes messages of servers safe to print and to calculate with. A server may
// be hostile, or may not clean what its own peers sent.

#ifndef TETHER_OBSERVABILITY_TETHERCTL_CLEAN_H_
#define TETHER_OBSERVABILITY_TETHERCTL_CLEAN_H_

#include <google/protobuf/message.h>

#include <cstddef>
#include <cstdint>

namespace tether::ctl {

// The longest text that is kept. The findings' sentences are the longest ones.
inline constexpr size_t kMaxTextSize = 1000;

// Numbers are between this and its negative. As a time in microseconds, it is
// 31 years, so the sum of a million of them is an int64_t, too.
inline constexpr int64_t kMaxNumber = 1'000'000'000'000'000;

// Cleans all texts in `message`, at any depth, with CleanText
// (tether/observability/snapshot.h), clamps all 64-bit numbers, and removes
// unknown fields. Requires a message type that doesn't contain itself.
void CleanMessage(google::protobuf::Message& message);

}  // namespace tether::ctl

#endif  // TETHER_OBSERVABILITY_TETHERCTL_CLEAN_H_
