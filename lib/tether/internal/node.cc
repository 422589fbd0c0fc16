// SPDX-License-Identifier: Apache-2.0

#include "tether/internal/node.h"

#include <cstddef>

#include "tether/internal/live_counts.h"
#include "tether/internal/scope.h"

#ifdef __has_feature
#define TETHER_HAS_FEATURE(name) __has_feature(name)
#else
#define TETHER_HAS_FEATURE(name) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || TETHER_HAS_FEATURE(address_sanitizer)
#define TETHER_ASAN
#include <sanitizer/asan_interface.h>

#include <cstring>
#include <mutex>
#endif

namespace tether::internal {
namespace {

#ifdef TETHER_ASAN

// AddressSanitizer can't know that a value in a scope's memory is gone, so it
// is told. Each block begins with its size.
constexpr size_t kBlockHeader = alignof(std::max_align_t);

// Held while the size of a block is written or read.
std::mutex block_sizes;

class RoomBlock {
 public:
  explicit RoomBlock(const ValueNode& value) {
    if (value.scope == nullptr || value.scope->kind != NodeKind::kLazy) return;
    const auto* lazy = static_cast<const LazyScope*>(value.scope);
    const auto* at = reinterpret_cast<const unsigned char*>(&value);
    const std::lock_guard<std::mutex> lock(block_sizes);
    for (size_t used = 0; used < lazy->room_taken.load();) {
      const unsigned char* block = lazy->room + used;
      size_t size;
      std::memcpy(&size, block, sizeof size);
      if (at >= block && at < block + size) {
        begin_ = block + kBlockHeader;
        size_ = size - kBlockHeader;
      }
      used += size;
    }
  }
  void Poison() const {
    if (begin_ != nullptr) ASAN_POISON_MEMORY_REGION(begin_, size_);
  }

 private:
  const unsigned char* begin_ = nullptr;
  size_t size_ = 0;
};

void UnpoisonRoom(const LazyScope& scope) {
  ASAN_UNPOISON_MEMORY_REGION(scope.room, LazyScope::kRoom);
}

#else

constexpr size_t kBlockHeader = 0;

struct RoomBlock {
  explicit RoomBlock(const ValueNode&) {}
  void Poison() const {}
};

void UnpoisonRoom(const LazyScope&) {}

#endif

void Delete(Node* node) {
  switch (node->kind) {
    case NodeKind::kBackground:
    case NodeKind::kTodo:
      return;  // unreachable, since Unref ignores roots
    case NodeKind::kValue: {
      auto* value = static_cast<ValueNode*>(node);
      const RoomBlock block(*value);
      value->destroy(value);
      return block.Poison();
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
    case NodeKind::kLazy: {
      auto* scope = static_cast<LazyScope*>(node);
      UnpoisonRoom(*scope);
      delete scope;
      return;
    }
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
  size = kBlockHeader + (size + kAlignment - 1) / kAlignment * kAlignment;
#ifdef TETHER_ASAN
  const std::lock_guard<std::mutex> lock(block_sizes);
#endif
  uint32_t taken = lazy->room_taken.load(std::memory_order_relaxed);
  do {
    if (size > LazyScope::kRoom - taken) return nullptr;
  } while (!lazy->room_taken.compare_exchange_weak(
      taken, taken + static_cast<uint32_t>(size), std::memory_order_relaxed));
  unsigned char* const block = lazy->room + taken;
#ifdef TETHER_ASAN
  std::memcpy(block, &size, sizeof size);
#endif
  return block + kBlockHeader;
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
