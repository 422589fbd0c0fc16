// SPDX-License-Identifier: Apache-2.0

#include "observability/tetherctl/doctor.h"

#include <gtest/gtest.h>

#include <string>

#include "observability/tetherctl/testing/sample.h"
#include "tetherctl/ctl.pb.h"

namespace tether::ctl {
namespace {

using testing::Parse;

constexpr char kSick[] = R"(
processes { address: "10.0.0.4:9090" error: "no answer within 2s" }
processes {
  address: "10.0.0.1:9090"
  health { process: "storefront" pid: 11 counted_us: 60000000 }
}
processes {
  address: "10.0.0.3:9090"
  health {
    process: "inventory" pid: 13 counted_us: 2000000
    findings {
      kind: KIND_NO_TRACE severity: SEVERITY_INFO
      method: "/shop.v1.Inventory/GetStock" count: 1 total: 2
      what: "1 of 2 requests came without a trace."
      fix: "Install tether in the callers."
    }
  }
}
processes {
  address: "10.0.0.2:9090"
  health {
    process: "orders" pid: 12 counted_us: 192000000
    findings {
      kind: KIND_LATER_DEADLINE severity: SEVERITY_INFO method: "/shop.v1.O/Get"
      what: "A later deadline."
    }
    findings {
      kind: KIND_DEAF_HANDLER severity: SEVERITY_WARNING
      method: "/shop.v1.Orders/Export" count: 3 total: 9 longest_us: 3200000
      trace_ids: "4bf92f3577b34da6a3ce929d0e0e4736"
      what: "The handler of /shop.v1.Orders/Export ran on for up to 3.2s after its context had ended."
      fix: "Check ctx.Done() in its loop."
    }
    findings {
      kind: KIND_CONTEXT_NOT_HANDED_ON severity: SEVERITY_WARNING
      method: "/shop.v1.Orders/GetOrder" callee: "/shop.v1.Audit/Write"
      count: 300 total: 300 what: "Calls without the context."
      fix: "Pass ContextOf(*server_context) to the ClientCall."
    }
  }
}
)";

TEST(DoctorTest, TheMostUrgentComesFirst) {
  EXPECT_EQ(FormatDiagnoses(Parse<Diagnoses>(kSick), 72),
            R"(orders at 10.0.0.2:9090, pid 12, counted for 3m12s: 3 findings

  [WARNING] deaf handler: /shop.v1.Orders/Export, 3 of 9
    The handler of /shop.v1.Orders/Export ran on for up to 3.2s after
    its context had ended.
    Fix: Check ctx.Done() in its loop.
    The longest time: 3.20s
    The last traces: 4bf92f3577b34da6a3ce929d0e0e4736

  [WARNING] context not handed on: /shop.v1.Orders/GetOrder ->
  /shop.v1.Audit/Write, 300 of 300
    Calls without the context.
    Fix: Pass ContextOf(*server_context) to the ClientCall.

  [INFO] later deadline: /shop.v1.O/Get
    A later deadline.

inventory at 10.0.0.3:9090, pid 13, counted for 2.00s: 1 finding

  [INFO] no trace: /shop.v1.Inventory/GetStock, 1 of 2
    1 of 2 requests came without a trace.
    Fix: Install tether in the callers.

storefront at 10.0.0.1:9090, pid 11, counted for 60.0s: nothing to fix

10.0.0.4:9090: no answer within 2s

4 processes: 2 warnings, 2 for information, 1 without an answer
)");
}

TEST(DoctorTest, AHealthyProcessHasNothingToFix) {
  EXPECT_EQ(FormatDiagnoses(Parse<Diagnoses>(R"(
      processes { address: "a:1" health { process: "b" counted_us: 1000 } })"),
                            80),
            "b at a:1, pid 0, counted for 1.0ms: nothing to fix\n"
            "\n"
            "1 process: 0 warnings, 0 for information\n");
}

TEST(DoctorTest, TheExitCodeTellsTheWorst) {
  EXPECT_EQ(ExitCodeOf(Diagnoses()), 0);
  auto diagnoses = Parse<Diagnoses>(kSick);
  EXPECT_EQ(ExitCodeOf(diagnoses), 2);
  diagnoses.mutable_processes()->DeleteSubrange(0, 1);  // without an answer
  EXPECT_EQ(ExitCodeOf(diagnoses), 1);
  diagnoses.mutable_processes()->RemoveLast();  // with warnings
  EXPECT_EQ(ExitCodeOf(diagnoses), 0);
}

TEST(DoctorTest, NewKindsAndSeveritiesAreShown) {
  const std::string text = FormatDiagnoses(Parse<Diagnoses>(R"(
      processes { address: "a:1" health { findings {
        kind: 77 severity: 88 method: "/M" what: "Something new." } } })"),
                                           80);
  EXPECT_NE(text.find("  [NOTE] finding: /M\n    Something new.\n"),
            std::string::npos)
      << text;
}

}  // namespace
}  // namespace tether::ctl
