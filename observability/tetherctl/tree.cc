// SPDX-License-Identifier: Apache-2.0

#include "observability/tetherctl/tree.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "observability/tetherctl/table.h"
#include "observability/tetherctl/text.h"

namespace tether::ctl {
namespace {

constexpr int kNobody = -1;

// How much younger than its request a call may seem.
constexpr int64_t kSkewUs = 250'000;

// How many calls are tried for a request. More than one is needed only if a
// call can't be the parent because it is made by a descendant.
constexpr int kMaxTries = 16;

class Builder {
 public:
  explicit Builder(const Snapshots& snapshots) : snapshots_(snapshots) {
    for (int i = 0; i < snapshots.processes_size(); ++i) {
      processes_.emplace(AddressOf(snapshots.processes(i).address()), i);
    }
  }

  void Collect(std::string_view trace_id) {
    for (int i = 0; i < snapshots_.processes_size(); ++i) {
      const v1::Snapshot& snapshot = snapshots_.processes(i).snapshot();
      for (const v1::InFlightRequest& request : snapshot.requests()) {
        if (request.trace_id() != trace_id) continue;
        if (requests_.size() == kMaxTreeRequests) {
          tree_.is_cut = true;
          break;
        }
        requests_.push_back({&request, i, kNobody, {}});
        const int owner = static_cast<int>(requests_.size()) - 1;
        for (const v1::InFlightCall& call : request.waits_for()) {
          AddCall(call, i, owner);
        }
        // The process has left some out.
        if (request.waits_for_total() > request.waits_for_size()) {
          tree_.is_cut = true;
        }
      }
      for (const v1::InFlightCall& call : snapshot.other_calls()) {
        if (call.trace_id() == trace_id) AddCall(call, i, kNobody);
      }
    }
  }

  void Match() {
    for (size_t i = 0; i < calls_.size(); ++i) {
      const Call& call = calls_[i];
      open_[{call.call->method(), call.callee}].insert(
          {call.call->age_us(), static_cast<int>(i)});
    }
    // The oldest request first, so that a younger one doesn't take its call.
    std::vector<int> order(requests_.size());
    for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<int>(i);
    std::stable_sort(order.begin(), order.end(), [this](int a, int b) {
      return requests_[a].request->age_us() > requests_[b].request->age_us();
    });
    for (const int request : order) {
      const std::string& method = requests_[request].request->method();
      if (!FindCall(request, open_[{method, requests_[request].process}])) {
        FindCall(request, open_[{method, kNobody}]);
      }
    }
  }

  Tree Write() {
    for (size_t i = 0; i < calls_.size(); ++i) {
      if (calls_[i].owner == kNobody) {
        WriteCall(static_cast<int>(i), 0, TreeNode::Kind::kOwnCall);
      }
    }
    for (size_t i = 0; i < requests_.size(); ++i) {
      if (requests_[i].caller == kNobody) {
        WriteRequest(static_cast<int>(i), 0);
      }
    }
    return std::move(tree_);
  }

 private:
  struct Request {
    const v1::InFlightRequest* request;
    int process;
    int caller;              // a call, or kNobody
    std::vector<int> calls;  // that it waits for
  };
  struct Call {
    const v1::InFlightCall* call;
    int process;
    int owner;    // the request that waits for it, or kNobody
    int callee;   // the process at its target, or kNobody
    int request;  // that serves it, or kNobody
  };
  using OpenCalls = std::set<std::pair<int64_t, int>>;  // age, call

  void AddCall(const v1::InFlightCall& call, int process, int owner) {
    if (calls_.size() == kMaxTreeCalls) {
      tree_.is_cut = true;
      return;
    }
    const auto callee = processes_.find(AddressOf(call.target()));
    calls_.push_back({&call, process, owner,
                      callee == processes_.end() ? kNobody : callee->second,
                      kNobody});
    if (owner != kNobody) {
      requests_[owner].calls.push_back(static_cast<int>(calls_.size()) - 1);
    }
  }

  // Gives the request the best of the calls, and removes that.
  bool FindCall(int request, OpenCalls& calls) {
    const int64_t age = requests_[request].request->age_us();
    const auto older = calls.lower_bound({age, 0});
    auto next = older;
    for (int i = 0; i < kMaxTries && next != calls.end(); ++i, ++next) {
      if (Take(request, calls, next)) return true;
    }
    next = older;
    for (int i = 0; i < kMaxTries && next != calls.begin(); ++i) {
      --next;
      if (next->first < age - kSkewUs) return false;
      if (Take(request, calls, next)) return true;
    }
    return false;
  }

  bool Take(int request, OpenCalls& calls, OpenCalls::iterator place) {
    const int call = place->second;
    if (DescendsFrom(calls_[call].owner, request)) return false;
    calls.erase(place);
    calls_[call].request = request;
    requests_[request].caller = call;
    return true;
  }

  // Ends, because Take makes no cycle.
  bool DescendsFrom(int request, int ancestor) const {
    while (request != kNobody) {
      if (request == ancestor) return true;
      const int caller = requests_[request].caller;
      request = caller == kNobody ? kNobody : calls_[caller].owner;
    }
    return false;
  }

  void WriteRequest(int index, int depth) {
    if (depth > kMaxTreeDepth) {
      tree_.is_cut = true;
      return;
    }
    const Request& request = requests_[index];
    tree_.nodes.push_back({TreeNode::Kind::kRequest, depth, request.process,
                           request.request, nullptr});
    for (const int call : request.calls) {
      if (calls_[call].request != kNobody) {
        WriteRequest(calls_[call].request, depth + 1);
      } else {
        WriteCall(call, depth + 1, KindOfOpen(calls_[call]));
      }
    }
  }

  void WriteCall(int index, int depth, TreeNode::Kind kind) {
    const Call& call = calls_[index];
    tree_.nodes.push_back({kind, depth, call.process, nullptr, call.call});
    if (kind != TreeNode::Kind::kOwnCall) return;
    if (call.request != kNobody) {
      WriteRequest(call.request, depth + 1);
    } else {
      WriteCall(index, depth + 1, KindOfOpen(call));
    }
  }

  TreeNode::Kind KindOfOpen(const Call& call) const {
    if (call.callee == kNobody) return TreeNode::Kind::kNotAsked;
    return snapshots_.processes(call.callee).has_snapshot()
               ? TreeNode::Kind::kNotThere
               : TreeNode::Kind::kNoAnswer;
  }

  const Snapshots& snapshots_;
  std::map<std::string, int> processes_;  // by address
  std::vector<Request> requests_;
  std::vector<Call> calls_;
  // The calls without a request, by method and callee.
  std::map<std::pair<std::string, int>, OpenCalls> open_;
  Tree tree_;
};

// The columns of one node.
struct Cells {
  std::string where;
  std::string method;
  std::string age;
  std::string left;
  std::string state;
};

Cells CellsOf(const Snapshots& snapshots, const TreeNode& node) {
  const ProcessSnapshot& process = snapshots.processes(node.process);
  const std::string& name = process.snapshot().process();
  const Row row{node.request, node.call, ""};
  Cells cells;
  cells.where = std::string(2 * static_cast<size_t>(node.depth), ' ');
  cells.method = row.method();
  cells.age = ShortTime(row.age_us());
  cells.left = ShortTime(row.time_left_us());
  if (node.kind == TreeNode::Kind::kRequest ||
      node.kind == TreeNode::Kind::kOwnCall) {
    absl::StrAppend(&cells.where, name, "@", process.address());
    cells.state = StateText(row, 18);
    return cells;
  }
  const std::string address = AddressOf(node.call->target());
  absl::StrAppend(&cells.where, "-> ", address.empty() ? "?" : address);
  cells.state = node.kind == TreeNode::Kind::kNotAsked   ? "not asked"
                : node.kind == TreeNode::Kind::kNotThere ? "not there"
                                                         : "no answer";
  return cells;
}

int WidestMethod(const std::vector<Cells>& rows) {
  size_t widest = 6;
  for (const Cells& row : rows) {
    widest = std::max(widest, WithoutPackage(row.method).size());
  }
  return static_cast<int>(std::min<size_t>(widest, 60));
}

// Keeps the indentation.
std::string ShortenWhere(const std::string& where, int width) {
  const size_t indent =
      std::min(where.find_first_not_of(' '), static_cast<size_t>(width / 2));
  return where.substr(0, indent) +
         ShortenMiddle(where.substr(where.find_first_not_of(' ')),
                       width - static_cast<int>(indent));
}

std::string Explanations(const Tree& tree) {
  const auto has = [&tree](TreeNode::Kind kind) {
    return std::any_of(
        tree.nodes.begin(), tree.nodes.end(),
        [kind](const TreeNode& node) { return node.kind == kind; });
  };
  std::string text;
  if (has(TreeNode::Kind::kNotAsked)) {
    text += "not asked: none of the given hosts has this address\n";
  }
  if (has(TreeNode::Kind::kNotThere)) {
    text +=
        "not there: the host has no such request, or not any more, or not "
        "yet\n";
  }
  if (has(TreeNode::Kind::kNoAnswer)) {
    text += "no answer: the host didn't answer tetherctl\n";
  }
  if (tree.is_cut) text += "There is more, which is left out.\n";
  return text;
}

}  // namespace

Tree BuildTree(const Snapshots& snapshots, std::string_view trace_id) {
  Builder builder(snapshots);
  builder.Collect(trace_id);
  builder.Match();
  return builder.Write();
}

std::string FormatTree(const Snapshots& snapshots, const Tree& tree,
                       int width) {
  constexpr int kMinWidth = 80;
  constexpr int kMinWhere = 20;
  std::vector<Cells> rows;
  size_t widest_where = 0;
  size_t widest_state = 5;
  for (const TreeNode& node : tree.nodes) {
    rows.push_back(CellsOf(snapshots, node));
    widest_where = std::max(widest_where, rows.back().where.size());
    widest_state = std::max(widest_state, rows.back().state.size());
  }
  // AGE, LEFT, STATE and the spaces between the five columns.
  const int rest = 2 * kTimeWidth + static_cast<int>(widest_state) + 4;
  const int room = std::max(width, kMinWidth) - rest;
  const int wanted = static_cast<int>(std::min<size_t>(widest_where, 200));
  const int method_width =
      std::clamp(WidestMethod(rows), 6, std::max(room - wanted, room / 2));
  const int where_width =
      std::clamp(wanted, kMinWhere, std::max(room - method_width, kMinWhere));
  const auto write = [&](const Cells& row) {
    return TextOf({{absl::StrCat(
               Left(ShortenWhere(row.where, where_width), where_width), " ",
               Left(FirstThatFits({WithoutPackage(row.method)}, method_width),
                    method_width),
               " ", Right(row.age, kTimeWidth), " ",
               Right(row.left, kTimeWidth), " ", row.state)}}) +
           "\n";
  };
  std::string text = write({"PROCESS", "METHOD", "AGE", "LEFT", "STATE"});
  for (const Cells& row : rows) text += write(row);
  return text + Explanations(tree);
}

}  // namespace tether::ctl
