// SPDX-License-Identifier: Apache-2.0
//
// A thousand requests at once, through three hops that share channels, thread
// pools and gRPC's own threads. Each request has its own ids. None of them may
// appear in another request, at any hop, on any thread.
//
//   client → front (sync) ⇉ middle (callback) ⇉ leaf (sync)
//
// Front and middle make two calls each, so seven handlers work for a request.
// The messages identify the request of each handler, and so does `x-path`, the
// test's own header: "17" is the client's call of request 17, "17.1" the second
// call of the handler that received it, and "17.1.0" the first call of that
// one.

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/blocking_counter.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "tether/context.h"
#include "tether/current.h"
#include "tether/grpc/client.h"
#include "tether/grpc/server.h"
#include "tether/grpc/testing/grpc_leak_checked_test.h"
#include "tether/grpc/testing/loopback.h"
#include "tether/grpc/testing/probe_server.h"
#include "tether/propagation/b3.h"
#include "tether/propagation/baggage.h"
#include "tether/propagation/codecs.h"
#include "tether/propagation/composite.h"
#include "tether/propagation/header.h"
#include "tether/propagation/request_id.h"
#include "tether/propagation/trace_context.h"
#include "tether/testing/give_up.h"

namespace tether {
namespace {

using testing::kGiveUp;
using testing::Ping;
using testing::Pong;
using testing::Probe;
using testing::ProbeServer;

constexpr int kRequests = 1000;
constexpr int kHandlersOfARequest = 1 + 2 + 4;

// A run takes seconds, much more on a loaded machine.
const absl::Duration kRunGivesUp = 6 * kGiveUp;

constexpr char kPath[] = "x-path";

// ---- The ids ----

inline constexpr Key<int64_t> kShard{"shard"};

std::shared_ptr<const Propagator> Everything() {
  B3Options b3;
  b3.write = B3Format::kMulti;  // it names a call's parent on the wire, too
  return std::make_shared<CompositePropagator>(
      TraceContextPropagator(), B3Propagator(b3), RequestIdPropagator(),
      BaggagePropagator(),
      HeaderPropagator<int64_t>(kShard, "x-shard", IntCodec()));
}

TraceContext RootOf(int request) {
  TraceContext trace;
  trace.trace_id[0] = trace.span_id[0] = 0xab;
  for (int i = 0; i < 4; ++i) {
    const auto byte = static_cast<uint8_t>(request >> (8 * i));
    trace.trace_id[15 - i] = byte;
    trace.span_id[7 - i] = byte;
  }
  trace.flags = request % 2 == 0 ? TraceContext::kSampled : 0;
  trace.trace_state = absl::StrCat("acme=t", request);
  return trace;
}

Context WithIdsOf(int request, const Context& parent) {
  Context ctx = WithTrace(parent, RootOf(request));
  ctx = WithRequestId(ctx, absl::StrCat("request-", request));
  ctx = WithBaggage(ctx, Baggage()
                             .With("tenant", absl::StrCat("tenant ", request))
                             .With("route", absl::StrCat("r", request)));
  return WithValue(ctx, kShard, int64_t{request} * 1'000'003);
}

// All ids of a context, as text.
std::string IdsOf(const Context& ctx) {
  std::string ids;
  if (const TraceContext* trace = TraceOf(ctx)) {
    absl::StrAppend(&ids, "trace ", trace->TraceIdHex(), "/", trace->flags, "/",
                    trace->trace_state);
  }
  if (const std::string* id = RequestIdOf(ctx)) {
    absl::StrAppend(&ids, ", id ", *id);
  }
  const std::string_view baggage = BaggageOf(ctx).header();
  absl::StrAppend(&ids, ", baggage ",
                  absl::string_view(baggage.data(), baggage.size()));
  if (const int64_t* shard = ctx.Value(kShard)) {
    absl::StrAppend(&ids, ", shard ", *shard);
  }
  return ids;
}

std::string IdsOf(int request) {
  return IdsOf(WithIdsOf(request, Background()));
}

// ---- Records ----

// A handler that began.
struct Arrival {
  int request = 0;
  std::string ids;
  std::string span;                // by tether
  std::string b3_span, b3_parent;  // as they came
};

std::string HeaderOf(const grpc::ServerContextBase& sc, const char* name) {
  const auto [it, end] = sc.client_metadata().equal_range(name);
  return it == end || std::next(it) != end
             ? "(none, or several)"
             : std::string(it->second.data(), it->second.size());
}

class Book {
 public:
  void Arrive(const grpc::ServerContextBase& sc, const Ping& ping) {
    const Context ctx = ContextOf(sc);
    const TraceContext* trace = TraceOf(ctx);
    Arrival arrival = {ping.number(), IdsOf(ctx),
                       trace == nullptr ? "(none)" : trace->SpanIdHex(),
                       HeaderOf(sc, "x-b3-spanid"),
                       HeaderOf(sc, "x-b3-parentspanid")};
    absl::MutexLock lock(&mutex_);
    arrivals_.emplace(HeaderOf(sc, kPath), std::move(arrival));
  }

  // Records that the call with this path was sent.
  void Send(std::string path, std::string traceparent) {
    absl::MutexLock lock(&mutex_);
    sent_.emplace(std::move(path), std::move(traceparent));
  }

  // Records whether this thread, which works for `request` now, finds its ids.
  void Look(int request) {
    const bool good = IdsOf(Current()) == IdsOf(request);
    absl::MutexLock lock(&mutex_);
    ++(good ? good_looks_ : bad_looks_);
  }

  // Call these when no handler runs any more.
  const std::multimap<std::string, Arrival>& arrivals() const
      ABSL_NO_THREAD_SAFETY_ANALYSIS {
    return arrivals_;
  }
  const std::multimap<std::string, std::string>& sent() const
      ABSL_NO_THREAD_SAFETY_ANALYSIS {
    return sent_;
  }
  int good_looks() const ABSL_NO_THREAD_SAFETY_ANALYSIS { return good_looks_; }
  int bad_looks() const ABSL_NO_THREAD_SAFETY_ANALYSIS { return bad_looks_; }

 private:
  absl::Mutex mutex_;
  std::multimap<std::string, Arrival> arrivals_ ABSL_GUARDED_BY(mutex_);
  std::multimap<std::string, std::string> sent_ ABSL_GUARDED_BY(mutex_);
  int good_looks_ ABSL_GUARDED_BY(mutex_) = 0;
  int bad_looks_ ABSL_GUARDED_BY(mutex_) = 0;
};

// Runs after tether's client interceptor, and records the headers that it
// wrote.
class Spy final : public grpc::experimental::ClientInterceptorFactoryInterface {
 public:
  explicit Spy(Book& book) : book_(book) {}

  grpc::experimental::Interceptor* CreateClientInterceptor(
      grpc::experimental::ClientRpcInfo*) override {
    return new Interceptor(book_);
  }

 private:
  class Interceptor final : public grpc::experimental::Interceptor {
   public:
    explicit Interceptor(Book& book) : book_(book) {}

    void Intercept(
        grpc::experimental::InterceptorBatchMethods* methods) override {
      if (methods->QueryInterceptionHookPoint(
              grpc::experimental::InterceptionHookPoints::
                  PRE_SEND_INITIAL_METADATA)) {
        const auto& metadata = *methods->GetSendInitialMetadata();
        const auto path = metadata.find(kPath);
        const auto trace = metadata.find("traceparent");
        book_.Send(path == metadata.end() ? "(none)" : path->second,
                   trace == metadata.end() ? "(none)" : trace->second);
      }
      methods->Proceed();
    }

   private:
    Book& book_;
  };

  Book& book_;
};

std::unique_ptr<Probe::Stub> Connect(const ProbeServer& server, Book& book) {
  ClientOptions options;
  options.propagator = Everything();
  std::vector<
      std::unique_ptr<grpc::experimental::ClientInterceptorFactoryInterface>>
      creators;
  creators.push_back(std::make_unique<ClientInterceptorFactory>(options));
  creators.push_back(std::make_unique<Spy>(book));
  return Probe::NewStub(grpc::experimental::CreateCustomChannelWithInterceptors(
      server.address(), grpc::InsecureChannelCredentials(),
      testing::OwnConnection(), std::move(creators)));
}

// ---- The hops ----

// Threads that work for all requests, in the order of arrival.
class Pool {
 public:
  explicit Pool(int threads) {
    for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { Work(); });
  }
  ~Pool() {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      over_ = true;
    }
    changed_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }

  void Schedule(std::function<void()> work) {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      queue_.push_back(std::move(work));
    }
    changed_.notify_one();
  }

 private:
  void Work() {
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      changed_.wait(lock, [this] { return over_ || !queue_.empty(); });
      if (queue_.empty()) return;
      {
        const std::function<void()> work = std::move(queue_.front());
        queue_.pop_front();
        lock.unlock();
        work();
      }
      lock.lock();
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> queue_;
  bool over_ = false;
  std::vector<std::thread> threads_;
};

// How the threads that work for a request get its values.
enum class Scheme {
  kTether,       // Bind, ScopedContext
  kThreadLocal,  // the control: whatever this thread has served last
};

// For the control.
thread_local int served_last = -1;

Context LastOfThisThread() {
  return served_last < 0 ? Background() : WithIdsOf(served_last, Background());
}

// The middle hop's work for one request: two calls, one after the other, all on
// gRPC's threads. Deletes itself.
class Fork {
 public:
  Fork(Scheme scheme, Book& book, Probe::Stub& leaf,
       grpc::CallbackServerContext* sc, const Ping& ping, Pong* pong)
      : scheme_(scheme),
        book_(book),
        leaf_(leaf),
        ctx_(ContextOf(*sc)),
        path_(HeaderOf(*sc, kPath)),
        ping_(ping),
        pong_(pong),
        reactor_(sc->DefaultReactor()) {}

  grpc::ServerUnaryReactor* Start() {
    book_.Look(ping_.number());  // in the handler method, tether sets Current()
    grpc::ServerUnaryReactor* const reactor = reactor_;
    const auto then = [this](const grpc::Status& status) { Second(status); };
    // Current() doesn't matter here: the call gets its context explicitly.
    first_.emplace(scheme_ == Scheme::kTether ? ctx_ : LastOfThisThread());
    first_->AddMetadata(kPath, path_ + ".0");
    if (scheme_ == Scheme::kTether) {
      leaf_.async()->Unary(&*first_, &ping_, &pongs_[0], Bind(ctx_, then));
    } else {
      leaf_.async()->Unary(&*first_, &ping_, &pongs_[0],
                           [then](const grpc::Status& status) {
                             ScopedContext scope(LastOfThisThread());
                             then(status);
                           });
    }
    return reactor;  // `this` may be destroyed
  }

 private:
  void Second(const grpc::Status& status) {
    statuses_[0] = status;
    book_.Look(ping_.number());
    second_.emplace();  // works for Current()
    second_->AddMetadata(kPath, path_ + ".1");
    leaf_.async()->Unary(&*second_, &ping_, &pongs_[1],
                         [this](const grpc::Status& s) { Finish(s); });
  }

  void Finish(const grpc::Status& status) {
    {
      ScopedContext scope(scheme_ == Scheme::kTether ? ctx_
                                                     : LastOfThisThread());
      book_.Look(ping_.number());
    }
    pong_->set_number(pongs_[0].number() + pongs_[1].number());
    reactor_->Finish(statuses_[0].ok() ? status : statuses_[0]);
    delete this;
  }

  const Scheme scheme_;
  Book& book_;
  Probe::Stub& leaf_;
  const Context ctx_;
  const std::string path_;
  const Ping ping_;
  Pong* const pong_;
  grpc::ServerUnaryReactor* const reactor_;
  std::optional<ClientCall> first_;
  std::optional<grpc::ClientContext> second_;
  std::array<Pong, 2> pongs_;
  std::array<grpc::Status, 2> statuses_;
};

class ThreeHops {
 public:
  ThreeHops(Scheme scheme, Book& book)
      : scheme_(scheme),
        book_(book),
        leaf_({/*callback_api=*/false, Options()}),
        middle_({/*callback_api=*/true, Options()}),
        front_({/*callback_api=*/false, Options()}),
        to_leaf_(Connect(leaf_, book)),
        to_middle_(Connect(middle_, book)),
        to_front_(Connect(front_, book)) {
    leaf_.unary = [this](grpc::ServerContext& sc, const Ping& ping,
                         Pong* pong) {
      book_.Arrive(sc, ping);
      book_.Look(ping.number());
      pong->set_number(1);
      return grpc::Status::OK;
    };
    middle_.callback_unary = [this](grpc::CallbackServerContext* sc,
                                    const Ping* ping, Pong* pong) {
      book_.Arrive(*sc, *ping);
      served_last = ping->number();
      return (new Fork(scheme_, book_, *to_leaf_, sc, *ping, pong))->Start();
    };
    front_.unary = [this](grpc::ServerContext& sc, const Ping& ping,
                          Pong* pong) { return Front(sc, ping, pong); };
  }

  // Makes all requests at once; returns when all are answered.
  void Run() {
    struct Request {
      explicit Request(const Context& ctx) : call(ctx) {}
      ClientCall call;
      Ping ping;
      Pong pong;
      grpc::Status status;
    };
    const auto [timed, cancel] = WithTimeout(Background(), kRunGivesUp);
    std::vector<std::unique_ptr<Request>> requests;
    absl::BlockingCounter running(kRequests);
    for (int i = 0; i < kRequests; ++i) {
      requests.push_back(std::make_unique<Request>(WithIdsOf(i, timed)));
      Request& request = *requests.back();
      request.call.AddMetadata(kPath, std::to_string(i));
      request.ping.set_number(i);
      to_front_->async()->Unary(&request.call, &request.ping, &request.pong,
                                [&request, &running](grpc::Status status) {
                                  request.status = std::move(status);
                                  running.DecrementCount();
                                });
    }
    running.Wait();
    for (const auto& request : requests) {
      ASSERT_TRUE(request->status.ok()) << request->status.error_message();
      ASSERT_EQ(request->pong.number(), 4) << "leaves";
    }
  }

 private:
  static ServerOptions Options() {
    ServerOptions options;
    options.propagator = Everything();
    return options;
  }

  grpc::Status Front(grpc::ServerContext& sc, const Ping& ping, Pong* pong) {
    book_.Arrive(sc, ping);
    served_last = ping.number();
    // All requests arrive before any continues.
    if (arrived_.fetch_add(1) + 1 == kRequests) all_are_here_.Notify();
    if (!all_are_here_.WaitForNotificationWithTimeout(kRunGivesUp)) {
      return grpc::Status(grpc::StatusCode::ABORTED, "not all requests came");
    }
    const std::string path = HeaderOf(sc, kPath);
    const Context ctx = ContextOf(sc);
    std::array<Pong, 2> pongs;
    std::array<grpc::Status, 2> statuses;
    absl::Notification done;
    // One call on the pool, for its Current() ...
    const auto first = [&] {
      book_.Look(ping.number());
      grpc::ClientContext call;
      call.AddMetadata(kPath, path + ".0");
      statuses[0] = to_middle_->Unary(&call, ping, &pongs[0]);
      done.Notify();
    };
    if (scheme_ == Scheme::kTether) {
      pool_.Schedule(Bind(ctx, first));
    } else {
      pool_.Schedule([first] {
        ScopedContext scope(LastOfThisThread());
        first();
      });
    }
    // ... and one here, at the same time.
    book_.Look(ping.number());
    ClientCall call(ctx);
    call.AddMetadata(kPath, path + ".1");
    statuses[1] = to_middle_->Unary(&call, ping, &pongs[1]);
    done.WaitForNotification();
    pong->set_number(pongs[0].number() + pongs[1].number());
    return statuses[0].ok() ? statuses[1] : statuses[0];
  }

  const Scheme scheme_;
  Book& book_;
  std::atomic<int> arrived_{0};
  absl::Notification all_are_here_;
  // Declared in this order, so that no hop calls a server that is gone.
  ProbeServer leaf_, middle_, front_;
  const std::unique_ptr<Probe::Stub> to_leaf_, to_middle_, to_front_;
  Pool pool_{4};
};

class ValuesAcrossTest : public testing::GrpcLeakCheckedTest {
 protected:
  void Run(Scheme scheme) {
    ThreeHops hops(scheme, book_);
    hops.Run();
  }

  Book book_;
};

std::string ParentOf(const std::string& path) {
  const size_t dot = path.rfind('.');
  return dot == std::string::npos ? "" : path.substr(0, dot);
}

std::string SpanIn(const std::string& traceparent) {
  const auto trace = ParseTraceParent(traceparent);
  return trace ? trace->SpanIdHex() : "(none)";
}

TEST_F(ValuesAcrossTest, NotOneIdIsMixedUp) {
  ASSERT_NO_FATAL_FAILURE(Run(Scheme::kTether));
  EXPECT_EQ(book_.arrivals().size(), size_t{kRequests} * kHandlersOfARequest);
  for (const auto& [path, arrival] : book_.arrivals()) {
    ASSERT_EQ(arrival.ids, IdsOf(arrival.request)) << path;
  }
  // The threads in between found the right ids, too. Front checks twice, middle
  // three times, leaf once.
  EXPECT_EQ(book_.bad_looks(), 0);
  EXPECT_EQ(book_.good_looks(), kRequests * (2 + 2 * 3 + 4));
}

TEST_F(ValuesAcrossTest, TheSpansFormExactlyTheCallTree) {
  ASSERT_NO_FATAL_FAILURE(Run(Scheme::kTether));
  const auto& arrivals = book_.arrivals();
  const auto& sent = book_.sent();

  // Each call of the tree was made once, and arrived once.
  std::set<std::string> paths;
  for (int i = 0; i < kRequests; ++i) {
    for (const char* branch : {"", ".0", ".1", ".0.0", ".0.1", ".1.0", ".1.1"})
      paths.insert(absl::StrCat(i, branch));
  }
  ASSERT_EQ(sent.size(), paths.size());
  ASSERT_EQ(arrivals.size(), paths.size());
  std::set<std::string> spans;
  for (const std::string& path : paths) {
    ASSERT_EQ(sent.count(path), 1u) << path;
    ASSERT_EQ(arrivals.count(path), 1u) << path;
    const Arrival& arrival = arrivals.find(path)->second;
    EXPECT_EQ(path.substr(0, path.find('.')), std::to_string(arrival.request));

    // The call with this path carried the id of the handler's parent span.
    ASSERT_EQ(arrival.span, SpanIn(sent.find(path)->second)) << path;
    EXPECT_EQ(arrival.b3_span, arrival.span) << path;
    ASSERT_TRUE(spans.insert(arrival.span).second) << path;

    // The parent of that span is the span that the calling handler received.
    const std::string parent = ParentOf(path);
    ASSERT_EQ(arrival.b3_parent, parent.empty()
                                     ? RootOf(arrival.request).SpanIdHex()
                                     : arrivals.find(parent)->second.span)
        << path;
  }
}

// The same with a thread-local variable instead of Bind. It shows that the
// threads are shared, and that the checks detect mixed-up ids.
TEST_F(ValuesAcrossTest, ControlAThreadLocalMixesThemUp) {
  ASSERT_NO_FATAL_FAILURE(Run(Scheme::kThreadLocal));
  EXPECT_GT(book_.bad_looks(), 0);
  int of_others = 0;
  for (const auto& [path, arrival] : book_.arrivals()) {
    const TraceContext own = RootOf(arrival.request);
    if (arrival.ids.find("trace ") == 0 &&
        arrival.ids.find(own.TraceIdHex()) == std::string::npos) {
      ++of_others;
    }
  }
  EXPECT_GT(of_others, 0) << "handlers that got another request's trace";
}

}  // namespace
}  // namespace tether
