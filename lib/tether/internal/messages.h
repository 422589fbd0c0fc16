// SPDX-License-Identifier: Apache-2.0
//
// The messages of Context::Err(). Internal.
//
// They are the same as Go's. To find out how a context ended, use its code or
// EndReasonOf, not its message.

#ifndef TETHER_INTERNAL_MESSAGES_H_
#define TETHER_INTERNAL_MESSAGES_H_

namespace tether::internal {

inline constexpr char kCanceledMessage[] = "context canceled";
inline constexpr char kDeadlineExceededMessage[] = "context deadline exceeded";

}  // namespace tether::internal

#endif  // TETHER_INTERNAL_MESSAGES_H_
