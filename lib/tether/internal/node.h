// SPDX-License-Identifier: Apache-2.0
//
// The nodes that contexts are made of. Internal.
//
// A Context points to a node. A node owns a reference to its parent, so a chain
// lives as long as its last context. Nodes that can end are Scopes; each other
// node points to the nearest Scope above it. A scope does not own its children:
// they are linked into its list from birth until they or the scope end.
//
// Invariants:
//  1. A scope is linked, or armed on a timer, only until its CancelFunc, which
//     owns a reference, has called EndScope. So a thread that finds a linked
//     scope under its parent's lock, or an armed scope under its timer
//     service's lock, may take a reference.
//  2. Lock order: parent before child, scope before timer service. No user code
//     runs under any of these locks.
//  3. `state` and `cause` are written under `lock`. `cause` is written before
//     the state that says "ended", and never after it. So a thread that has
//     read the end with an acquire load may read `cause` without the lock.
//  4. Once a scope has ended, its child list stays empty. The thread that ended
//     it runs its callbacks, or passes them to another thread
//     (DeferredCallbacks).
//  5. A tree ends at one moment: first the scopes below its top become kEnding,
//     and last the end of the top is stored. A scope that is kEnding has ended
//     once a scope right above it has ended (publication.h). Before a scope's
//     lock is released, all scopes below it are kEnding or have ended.
//  6. A thread that holds the lock of a near scope finds all scopes below it
//     near or ended: a thread that makes a scope near keeps its lock until all
//     scopes below are near, and a child of a near parent is born near. (In the
//     child of a fork this does not hold for scopes whose lock was taken at the
//     fork. Such scopes must not be used.)
//  7. A scope that is kUnobserved has no children and no observers, and its
//     timer is not armed. Whoever would add one of them calls StartSource
//     first. If the scope is kUnobserved afterwards, its deadline has passed.
//  8. A value below a LazyScope may be in that scope's own memory. The chain
//     from the value to the scope owns the scope, so its memory is there for as
//     long as the value.

#ifndef TETHER_INTERNAL_NODE_H_
#define TETHER_INTERNAL_NODE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <new>

#include "absl/status/status.h"
#include "tether/export.h"
#include "tether/internal/nanos.h"
#include "tether/internal/spin_lock.h"

namespace tether {

class Clock;

namespace internal {

struct ClockAccess;
struct ContextAccess;
struct DeadlineScope;
struct Firing;
struct Observer;
struct Scope;
struct ValueNode;

enum class NodeKind : uint8_t {
  kBackground,  // kBackground and kTodo are roots: not counted, never freed
  kTodo,
  kValue,
  kDetached,
  kCancel,
  kDeadline,
  kMerge,
  kLazy,
};

struct Node {
  constexpr Node(NodeKind node_kind, Clock* root_clock)
      : clock(root_clock), kind(node_kind) {}
  Node(NodeKind node_kind, Node* parent_node);
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  bool is_root() const { return kind <= NodeKind::kTodo; }

  Node* const parent = nullptr;  // owned; null for a root
  // This node or the nearest scope above; null if nothing can end it.
  Scope* scope = nullptr;
  const ValueNode* values = nullptr;  // this node or the nearest one above
  Clock* const clock;                 // null: the real one
  // At the end, next to the members of Scope that change most often.
  std::atomic<uint32_t> refs{1};
  const NodeKind kind;
};

// Frees `node`, whose last reference is gone, and the nodes above that only it
// kept alive.
TETHER_EXPORT void DestroyChain(Node* node);

inline Node* Ref(Node* node) {
  if (!node->is_root()) node->refs.fetch_add(1, std::memory_order_relaxed);
  return node;
}

inline void Unref(Node* node) {
  if (node->is_root()) return;
  // The sole owner needs no atomic write: nobody else can take a reference
  // (invariant 1).
  if (node->refs.load(std::memory_order_acquire) == 1 ||
      node->refs.fetch_sub(1, std::memory_order_acq_rel) == 1) {
    DestroyChain(node);
  }
}

// Drops a reference and returns true, or returns false if it is the last one.
inline bool UnrefUnlessLast(Node* node) {
  uint32_t refs = node->refs.load(std::memory_order_acquire);
  while (refs != 1) {
    if (node->refs.compare_exchange_weak(refs, refs - 1,
                                         std::memory_order_acq_rel)) {
      return true;
    }
  }
  return false;
}

// Bits of Scope::state. A scope with no bit set is alive and its deadline is
// far away, so Done() is one load.
enum ScopeState : uint8_t {
  kLive = 0,
  kNear = 1,        // the deadline may pass soon: compare the clock
  kUnobserved = 2,  // a LazyScope whose source has not been started
  // No timer says whether the deadline has passed, so the clock is compared.
  kClockDecides = kNear | kUnobserved,
  kCancelled = 4,
  kDeadlineExceeded = 8,
  kEnded = kCancelled | kDeadlineExceeded,
  // How the scope has ended once that is published (invariant 5).
  kEnding = kEnded << 2,
  kDecided = kEnded | kEnding,
};

struct Scope : Node {
  // Born with two references: one for its Context, one for its CancelFunc.
  Scope(NodeKind node_kind, Node* parent_node);

  Scope* parent_scope() const { return parent->scope; }
  // True if the end is decided, though perhaps not yet published. Under `lock`,
  // the answer does not change.
  bool ended() const {
    return (state.load(std::memory_order_acquire) & kDecided) != 0;
  }

  std::atomic<uint8_t> state{kLive};
  SpinLock lock;
  // Guarded by lock; true if hooks of merges may be among the observers.
  bool has_merges = false;
  Scope* children = nullptr;      // guarded by lock
  Observer* observers = nullptr;  // guarded by lock
  // Guarded by lock; set while callbacks of this scope run.
  Firing* firing = nullptr;
  // Guarded by the parent scope's lock. When the scope ends, sibling_next
  // passes to the thread that ends it.
  Scope* sibling_next = nullptr;
  Scope** sibling_pprev = nullptr;  // null: not linked
  Nanos deadline = kNever;          // the effective one: own or inherited
  // The scope that set the deadline: this one or one above; null if there is no
  // deadline.
  const DeadlineScope* deadline_owner = nullptr;
  absl::Status cause;  // see invariant 3; OK when Err() says it all
};

// The exact answer of Done() if `state` alone is not enough: near a deadline,
// while the scope is ending, or before it is first observed.
TETHER_EXPORT bool DoneSlow(Scope* scope);

inline bool IsDone(Scope* scope) {
  const uint8_t state = scope->state.load(std::memory_order_acquire);
  if (state == kLive) return false;
  return (state & kEnded) != 0 || DoneSlow(scope);
}

// The root of all contexts on the real clock. Constant-initialized, never
// destroyed.
TETHER_EXPORT extern Node background_node;
extern Node todo_node;

// A value of a context. Lookups skip whole segments: `mask` has a bit for each
// key in this node and the nodes above it up to `skip`, which is the first node
// of the next segment.
struct KeyBase {
  const char* name;
};

struct TETHER_EXPORT ValueNode : Node {
  ValueNode(Node* parent_node, const KeyBase* node_key,
            void (*node_destroy)(ValueNode*));

  static constexpr int kSegment = 16;

  const KeyBase* const key;
  void (*const destroy)(ValueNode*);
  const ValueNode* const above;  // the next value above
  const ValueNode* skip;
  uint64_t mask;
  int depth;  // within the segment, from 1
};

template <typename T>
struct ValueHolder {
  const T value;
};

// The value is the first base: if its constructor throws, no node exists yet.
template <typename T>
struct TypedValueNode : ValueHolder<T>, ValueNode {
  TypedValueNode(Node* parent_node, const KeyBase* node_key, T&& v,
                 void (*node_destroy)(ValueNode*))
      : ValueHolder<T>{static_cast<T&&>(v)},
        ValueNode(parent_node, node_key, node_destroy) {}
};

// Takes `size` bytes of the memory of `scope`, which must be a LazyScope
// (invariant 8). Null if there aren't as many left. They aren't given back.
TETHER_EXPORT void* TakeRoom(Scope* scope, size_t size) noexcept;

// Makes a value below `parent`: in the memory of its scope, if that has some,
// else on the heap.
template <typename T>
Node* NewValue(Node* parent, const KeyBase* key, T&& value) {
  using Value = TypedValueNode<T>;
  if constexpr (alignof(Value) <= alignof(std::max_align_t)) {
    if (parent->scope != nullptr && parent->scope->kind == NodeKind::kLazy) {
      if (void* room = TakeRoom(parent->scope, sizeof(Value))) {
        return ::new (room)
            Value(parent, key, static_cast<T&&>(value),
                  [](ValueNode* node) { static_cast<Value*>(node)->~Value(); });
      }
    }
  }
  return new Value(parent, key, static_cast<T&&>(value),
                   [](ValueNode* node) { delete static_cast<Value*>(node); });
}

inline uint64_t KeyBit(const KeyBase* key) {
  const uint64_t mixed =
      reinterpret_cast<uintptr_t>(key) * uint64_t{0x9E3779B97F4A7C15};
  return uint64_t{1} << (mixed >> 58);
}

inline const ValueNode* FindValue(const Node* node, const KeyBase* key) {
  const uint64_t bit = KeyBit(key);
  const ValueNode* v = node->values;
  while (v != nullptr) {
    if ((v->mask & bit) == 0) {
      v = v->skip;
    } else if (v->key == key) {
      return v;
    } else {
      v = v->above;
    }
  }
  return nullptr;
}

}  // namespace internal
}  // namespace tether

#endif  // TETHER_INTERNAL_NODE_H_
