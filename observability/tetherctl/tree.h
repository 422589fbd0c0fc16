// SPDX-License-Identifier: Apache-2.0
//
// One request across processes, as it is now: which request waits for which.
//
// The processes don't know each other's requests. A call of one process belongs
// to the request of another that has the same trace and method, and arrived
// when the call was made.

#ifndef TETHER_OBSERVABILITY_TETHERCTL_TREE_H_
#define TETHER_OBSERVABILITY_TETHERCTL_TREE_H_

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "tether/v1/inspector.pb.h"
#include "tetherctl/ctl.pb.h"

namespace tether::ctl {

// A request, a call that belongs to no request of its process, or a call for
// which no request was found.
struct TreeNode {
  enum class Kind {
    kRequest,
    kOwnCall,   // its child is the request that serves it
    kNotAsked,  // a call; no given process has its address
    kNotThere,  // a call; the process at its address has no such request
    kNoAnswer,  // a call; the process at its address didn't answer
  };
  Kind kind = Kind::kRequest;
  int depth = 0;    // its parent is the last node before it with depth - 1
  int process = 0;  // in the snapshots: where the request or the call is
  const v1::InFlightRequest* request = nullptr;  // of kRequest
  const v1::InFlightCall* call = nullptr;        // of the others
};

// Limits for what servers may make up.
inline constexpr size_t kMaxTreeRequests = 2000;
inline constexpr size_t kMaxTreeCalls = 10'000;
inline constexpr int kMaxTreeDepth = 50;

struct Tree {
  // Points into the snapshots. Parents come before their children.
  std::vector<TreeNode> nodes;
  // Whether a limit left something out: one of these, or one of a process, for
  // the calls of a request.
  bool is_cut = false;

  bool empty() const { return nodes.empty(); }
};

// Puts the requests and calls of the trace together. Requires snapshots whose
// times are relative to about the same moment (ListAll).
//
// Each call gets at most one request, and each request at most one call: that
// with its method, if possible at its process's address, that is older than the
// request, but as little as possible. (The clocks of snapshots differ a little,
// so a call that is slightly younger has to do if there is no older one.)
Tree BuildTree(const Snapshots& snapshots, std::string_view trace_id);

// A table in `width` columns, 80 at least, and explanations of its words. Ends
// with a newline.
std::string FormatTree(const Snapshots& snapshots, const Tree& tree, int width);

}  // namespace tether::ctl

#endif  // TETHER_OBSERVABILITY_TETHERCTL_TREE_H_
