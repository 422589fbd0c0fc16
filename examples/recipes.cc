// SPDX-License-Identifier: Apache-2.0
//
// The recipes of docs/recipes.md: a second attempt while the first is slow, one
// fetch for several callers, a job that runs every so often, and workers that
// answer many requests with one query.

#include <atomic>
#include <cstdio>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "tether/channel.h"
#include "tether/context.h"
#include "tether/first_of.h"
#include "tether/merge_all.h"
#include "tether/propagation/request_id.h"
#include "tether/propagation/trace_context.h"
#include "tether/select.h"
#include "tether/task_group.h"

namespace {

void Await(const std::function<bool()>& condition) {
  while (!condition()) absl::SleepFor(absl::Milliseconds(1));
}

// ---- A second attempt while the first is slow -------------------------------

// Makes a call. Over gRPC, it would use ClientCall call(ctx).
using Attempt = std::function<absl::StatusOr<int>(const tether::Context& ctx)>;

// Makes the first attempt. If it has failed, or has not answered after `delay`,
// makes the second, too. The first answer counts, and the other attempt is
// cancelled.
absl::StatusOr<int> Hedge(const tether::Context& ctx, absl::Duration delay,
                          const Attempt& first, const Attempt& second) {
  const tether::Cancellable pause = tether::WithTimeout(ctx, delay);
  const auto answers = tether::FirstOf(
      ctx, 1,
      [&](const tether::Context& c) {
        absl::StatusOr<int> answer = first(c);
        if (!answer.ok()) pause.cancel();
        return answer;
      },
      [&](const tether::Context& c) -> absl::StatusOr<int> {
        auto [either, cancel] = tether::Merge(c, pause.ctx);
        either.Wait();
        if (c.Done()) return c.Err();  // the first attempt has answered
        return second(c);
      });
  if (!answers.ok()) return answers.status();
  return answers->front().value;
}

void HedgeACall() {
  const Attempt answers_1 = [](const tether::Context&) { return 1; };
  const Attempt answers_2 = [](const tether::Context&) { return 2; };
  const Attempt fails = [](const tether::Context&) {
    return absl::UnavailableError("no connection");
  };
  const Attempt is_slow = [](const tether::Context& ctx) {
    ctx.Wait();
    return ctx.Err();
  };
  const auto ctx = tether::Background();
  std::printf(
      "hedged: the answers of %d, %d and %d\n",
      Hedge(ctx, absl::Hours(1), answers_1, answers_2).value_or(0),
      Hedge(ctx, absl::Milliseconds(20), is_slow, answers_2).value_or(0),
      Hedge(ctx, absl::Hours(1), fails, answers_2).value_or(0));
}

// ---- One fetch for several callers ------------------------------------------

// Callers that ask for the same key at the same time share one fetch. It goes
// on while one of them waits for it.
class SharedFetches {
 public:
  using Fetch = std::function<absl::StatusOr<std::string>(
      const tether::Context& ctx, const std::string& key)>;

  // `fetch` runs on a thread of its own. It must not throw.
  explicit SharedFetches(Fetch fetch) : fetch_(std::move(fetch)) {}

  absl::StatusOr<std::string> Get(const tether::Context& ctx,
                                  const std::string& key) {
    const std::shared_ptr<Shared> shared = Join(ctx, key);
    tether::EndOf fetched(shared->over.ctx);
    const absl::StatusOr<int> chosen = tether::Select(ctx, {&fetched});
    if (!chosen.ok()) return chosen.status();  // this caller leaves
    return shared->result;
  }

  int joined() const { return joined_; }

 private:
  struct Shared {
    explicit Shared(const tether::Context& first_caller)
        : callers(tether::WithoutCancel(first_caller)) {}

    tether::MergeAll callers;
    tether::Cancellable over = tether::WithCancel(tether::Background());
    absl::StatusOr<std::string> result;  // set before `over` ends
  };

  std::shared_ptr<Shared> Join(const tether::Context& ctx,
                               const std::string& key) {
    std::lock_guard<std::mutex> lock(mutex_);
    std::shared_ptr<Shared> shared = fetches_[key];
    if (shared == nullptr || !shared->callers.Add(ctx)) {
      // There is none, or all its callers have left.
      shared = std::make_shared<Shared>(ctx);
      shared->callers.Add(ctx);
      fetches_[key] = shared;
      group_.Go([this, shared, key] { Run(*shared, key); });
    }
    ++joined_;
    return shared;
  }

  void Run(Shared& shared, const std::string& key) {
    shared.result = fetch_(shared.callers.context(), key);
    {
      std::lock_guard<std::mutex> lock(mutex_);
      const auto found = fetches_.find(key);
      if (found->second.get() == &shared) fetches_.erase(found);
    }
    shared.over.cancel();
  }

  const Fetch fetch_;
  std::atomic<int> joined_{0};
  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<Shared>> fetches_;
  // The last member: its destructor waits for the fetches.
  tether::TaskGroup group_{tether::Background()};
};

void ShareAFetch() {
  std::atomic<int> fetches{0};
  std::atomic<bool> all_have_joined{false};
  SharedFetches prices(
      [&](const tether::Context& ctx,
          const std::string& key) -> absl::StatusOr<std::string> {
        ++fetches;
        while (!all_have_joined) {
          if (ctx.WaitFor(absl::Milliseconds(1))) return ctx.Err();
        }
        return key + " costs 3";
      });

  auto [ctx, cancel] = tether::WithCancel(tether::Background());
  tether::TaskGroup callers(ctx);
  for (int i = 0; i < 3; ++i) {
    callers.Go([&](const tether::Context& caller) {
      return prices.Get(caller, "tea").status();
    });
  }
  Await([&] { return prices.joined() == 3; });
  all_have_joined = true;
  const absl::Status all = callers.Wait();
  std::printf("3 callers: %s, %d fetch\n", all.ok() ? "ok" : "failed",
              fetches.load());

  // The only caller leaves: the fetch ends, too.
  all_have_joined = false;
  std::thread leaver([&prices, ctx = ctx] {
    const auto price = prices.Get(ctx, "coffee");
    std::printf("the caller that leaves: %s\n",
                std::string(price.status().message()).c_str());
  });
  Await([&] { return prices.joined() == 4; });
  cancel();
  leaver.join();
}

// ---- A job that runs every so often -----------------------------------------

// Runs `job` every `period`, until `life` ends. Each run is a request of its
// own: it has a trace, an id, and a deadline, so that runs never pile up.
void RunEvery(const tether::Context& life, absl::Duration period,
              const std::function<void(const tether::Context& ctx)>& job) {
  while (!life.WaitFor(period)) {
    const tether::Context request = tether::WithRequestId(
        tether::WithTrace(life, tether::NewTrace(/*sampled=*/true)),
        tether::NewRequestId());
    auto [ctx, cancel] = tether::WithTimeout(request, period);
    job(ctx);
  }
}

void RunAJob() {
  auto [life, stop] = tether::WithCancel(tether::Background());
  int runs = 0;
  bool complete = true;
  RunEvery(life, absl::Milliseconds(1), [&, &stop = stop](const auto& ctx) {
    complete &= tether::TraceOf(ctx) != nullptr &&
                tether::RequestIdOf(ctx) != nullptr &&
                ctx.Remaining() < absl::InfiniteDuration();
    if (++runs == 3) stop();
  });
  std::printf("job: %d runs, %s\n", runs, complete ? "complete" : "incomplete");
}

// ---- One query for many requests --------------------------------------------

struct Question {
  tether::Context ctx;  // of the request that asks
  int product = 0;
  std::shared_ptr<tether::Channel<int>> answer;  // has room for one
};

// A handler calls this.
absl::StatusOr<int> Ask(const tether::Context& ctx, int product,
                        tether::Channel<Question>& questions) {
  Question question{ctx, product, std::make_shared<tether::Channel<int>>(1)};
  const auto answer = question.answer;
  if (absl::Status s = questions.Send(ctx, std::move(question)); !s.ok()) {
    return s;
  }
  return answer->Receive(ctx);
}

// One query for all questions. It ends when nobody waits for it any more.
void Query(const tether::Context& ctx, const std::vector<Question>& batch) {
  for (const Question& question : batch) {
    if (ctx.Done()) return;
    // There is room for the one answer.
    question.answer->TrySend(question.product * 10).IgnoreError();
  }
}

// Waits for a question, and at most 2 ms for more of them.
std::vector<Question> NextBatch(const tether::Context& life,
                                tether::Channel<Question>& questions) {
  std::vector<Question> batch;
  absl::StatusOr<Question> next = questions.Receive(life);
  auto [more, cancel] = tether::WithTimeout(life, absl::Milliseconds(2));
  while (next.ok()) {
    // The caller of a question may have left meanwhile.
    if (!next->ctx.Done()) batch.push_back(*std::move(next));
    if (batch.size() == 100) break;
    next = questions.Receive(more);
  }
  return batch;
}

// Runs on one thread or several, until `life` ends.
void Work(const tether::Context& life, tether::Channel<Question>& questions) {
  while (!life.Done()) {
    const std::vector<Question> batch = NextBatch(life, questions);
    if (batch.empty()) continue;
    tether::MergeAll callers(life);
    for (const Question& question : batch) callers.Add(question.ctx);
    Query(callers.context(), batch);
  }
}

void AnswerInBatches() {
  auto [life, stop] = tether::WithCancel(tether::Background());
  tether::Channel<Question> questions(10);
  tether::TaskGroup workers(life);
  for (int i = 0; i < 2; ++i) {
    workers.Go([&](const tether::Context& ctx) { Work(ctx, questions); });
  }
  std::atomic<int> sum{0};
  tether::TaskGroup requests(tether::Background());
  for (int product = 1; product <= 4; ++product) {
    requests.Go([&, product](const tether::Context& ctx) {
      const absl::StatusOr<int> answer = Ask(ctx, product, questions);
      if (answer.ok()) sum += *answer;
      return answer.status();
    });
  }
  const absl::Status all = requests.Wait();
  stop();
  workers.Wait().IgnoreError();
  std::printf("4 questions: %s, sum %d\n", all.ok() ? "ok" : "failed",
              sum.load());
}

}  // namespace

int main() {
  HedgeACall();
  ShareAFetch();
  RunAJob();
  AnswerInBatches();
}
