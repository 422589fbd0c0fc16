// SPDX-License-Identifier: Apache-2.0

#include "tether/internal/node.h"

#include <cstddef>

#include "tether/internal/live_counts.h"
#include "tether/internal/scope.h"

namespace tether::internal {
namespace {

void Delete(Node* node) {
  switch (node->kind) {
    case NodeKind::kBackground:
    case NodeKind::kTodo:
      return;  // unreachable, since Unref ignores roots
    case NodeKind::kValue: {
      auto* value = static_cast<ValueNode*>(node);
      return value->destroy(value);
    }
    case NodeKind::kDetached:
      delete node;
      return;
    case NodeKind::kCancel:
      delete static_cast<Scope*>(node);
      return;
    case NodeKind::kDeadline:
      delete static_cast<DeadlineScope*>(node);
      return;
    case NodeKind::kMerge:
      delete static_cast<MergeScope*>(node);
      return;
    case NodeKind::kLazy:
      delete static_cast<LazyScope*>(node);
      return;
  }
}

}  // namespace

Node background_node(NodeKind::kBackground, static_cast<Clock*>(nullptr));
Node todo_node(NodeKind::kTodo, static_cast<Clock*>(nullptr));

Node::Node(NodeKind node_kind, Node* parent_node)
    : parent(Ref(parent_node)),
      scope(parent_node->scope),
      values(parent_node->values),
      clock(parent_node->clock),
      kind(node_kind) {
  CountLive(Live::kNode, 1);
}

void DestroyChain(Node* node) {
  // A loop, since a recursion over a long chain could overflow the stack.
  while (node != nullptr) {
    Node* parent = node->parent;
    Delete(node);
    CountLive(Live::kNode, -1);
    node = nullptr;
    if (!parent->is_root() &&
        parent->refs.fetch_sub(1, std::memory_order_acq_rel) == 1) {
      node = parent;
    }
  }
}

Scope::Scope(NodeKind node_kind, Node* parent_node)
    : Node(node_kind, parent_node) {
  refs.store(2, std::memory_order_relaxed);
  if (scope != nullptr) {
    deadline = scope->deadline;
    deadline_owner = scope->deadline_owner;
  }
  scope = this;
}

void* TakeRoom(Scope* scope, size_t size) noexcept {
  auto* lazy = static_cast<LazyScope*>(scope);
  constexpr size_t kAlignment = alignof(std::max_align_t);
  size = (size + kAlignment - 1) / kAlignment * kAlignment;
  uint32_t taken = lazy->room_taken.load(std::memory_order_relaxed);
  do {
    if (size > LazyScope::kRoom - taken) return nullptr;
  } while (!lazy->room_taken.compare_exchange_weak(
      taken, taken + static_cast<uint32_t>(size), std::memory_order_relaxed));
  return lazy->room + taken;
}

ValueNode::ValueNode(Node* parent_node, const KeyBase* node_key,
                     void (*node_destroy)(ValueNode*))
    : Node(NodeKind::kValue, parent_node),
      key(node_key),
      destroy(node_destroy),
      above(parent_node->values) {
  mask = KeyBit(key);
  if (above == nullptr || above->depth == kSegment) {
    skip = above;
    depth = 1;
  } else {
    mask |= above->mask;
    skip = above->skip;
    depth = above->depth + 1;
  }
  values = this;
}

}  // namespace tether::internal
