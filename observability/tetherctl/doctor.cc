// SPDX-License-Identifier: Apache-2.0

#include "observability/tetherctl/doctor.h"

#include <algorithm>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "observability/tetherctl/text.h"
#include "tether/v1/inspector.pb.h"

namespace tether::ctl {
namespace {

using v1::Finding;

constexpr int kIndent = 4;

std::string_view KindName(Finding::Kind kind) {
  switch (kind) {
    case Finding::KIND_CONTEXT_NOT_HANDED_ON:
      return "context not handed on";
    case Finding::KIND_DEAF_HANDLER:
      return "deaf handler";
    case Finding::KIND_NO_DEADLINE:
      return "no deadline";
    case Finding::KIND_NO_TRACE:
      return "no trace";
    case Finding::KIND_CONTEXT_NOT_OBSERVED:
      return "context not observed";
    case Finding::KIND_LATER_DEADLINE:
      return "later deadline";
    case Finding::KIND_CALL_WITHOUT_CONTEXT:
      return "call without context";
    case Finding::KIND_NOT_INSTALLED:
      return "tether not installed";
    default:
      return "finding";
  }
}

std::string_view SeverityName(Finding::Severity severity) {
  switch (severity) {
    case Finding::SEVERITY_WARNING:
      return "WARNING";
    case Finding::SEVERITY_INFO:
      return "INFO";
    default:
      return "NOTE";
  }
}

std::string FormatFinding(const Finding& finding, int width) {
  std::string head;
  absl::StrAppend(&head, "[", std::string(SeverityName(finding.severity())),
                  "] ", std::string(KindName(finding.kind())));
  if (!finding.method().empty()) {
    absl::StrAppend(&head, ": ", finding.method());
  }
  if (!finding.callee().empty()) {
    absl::StrAppend(&head, " -> ", finding.callee());
  }
  if (finding.total() > 0) {
    absl::StrAppend(&head, ", ", finding.count(), " of ", finding.total());
  }
  std::string text = Wrap(head, kIndent / 2, width);
  text += Wrap(finding.what(), kIndent, width);
  if (!finding.fix().empty()) {
    text += Wrap(absl::StrCat("Fix: ", finding.fix()), kIndent, width);
  }
  if (finding.longest_us() > 0) {
    text += Wrap(
        absl::StrCat("The longest time: ", ShortTime(finding.longest_us())),
        kIndent, width);
  }
  if (finding.trace_ids_size() > 0) {
    text += Wrap(absl::StrCat("The last traces: ",
                              absl::StrJoin(finding.trace_ids(), " ")),
                 kIndent, width);
  }
  return text;
}

bool IsWarning(const Finding& finding) {
  return finding.severity() == Finding::SEVERITY_WARNING;
}

int64_t CountWarnings(const ProcessDiagnosis& process) {
  return std::count_if(process.health().findings().begin(),
                       process.health().findings().end(), IsWarning);
}

std::string FormatProcess(const ProcessDiagnosis& process, int width) {
  const v1::PropagationHealth& health = process.health();
  std::string head =
      absl::StrCat(health.process().empty() ? "?" : health.process(), " at ",
                   process.address(), ", pid ", health.pid(), ", counted for ",
                   ShortTime(health.counted_us()), ": ");
  if (health.findings_size() == 0) {
    return Wrap(head + "nothing to fix", 0, width);
  }
  std::string text =
      Wrap(head + Count(health.findings_size(), "finding"), 0, width);
  std::vector<const Finding*> findings;
  for (const Finding& finding : health.findings()) {
    findings.push_back(&finding);
  }
  // The server's order is by urgency, too, and finer than the severity.
  std::stable_sort(findings.begin(), findings.end(),
                   [](const Finding* a, const Finding* b) {
                     return a->severity() > b->severity();
                   });
  for (const Finding* finding : findings) {
    text += "\n" + FormatFinding(*finding, width);
  }
  return text;
}

std::string Summary(const Diagnoses& diagnoses) {
  int64_t warnings = 0;
  int64_t others = 0;
  int64_t silent = 0;
  for (const ProcessDiagnosis& process : diagnoses.processes()) {
    if (!process.has_health()) ++silent;
    const int64_t here = CountWarnings(process);
    warnings += here;
    others += process.health().findings_size() - here;
  }
  std::string text = absl::StrCat(Count(diagnoses.processes_size(), "process"),
                                  ": ", Count(warnings, "warning"), ", ",
                                  others, " for information");
  if (silent > 0) absl::StrAppend(&text, ", ", silent, " without an answer");
  return text + "\n";
}

}  // namespace

std::string FormatDiagnoses(const Diagnoses& diagnoses, int width) {
  std::vector<const ProcessDiagnosis*> processes;
  for (const ProcessDiagnosis& process : diagnoses.processes()) {
    processes.push_back(&process);
  }
  const auto urgency = [](const ProcessDiagnosis* process) {
    return !process->has_health()                  ? 0
           : CountWarnings(*process) > 0           ? 3
           : process->health().findings_size() > 0 ? 2
                                                   : 1;
  };
  std::stable_sort(processes.begin(), processes.end(),
                   [&](const ProcessDiagnosis* a, const ProcessDiagnosis* b) {
                     return urgency(a) > urgency(b);
                   });
  std::string text;
  for (const ProcessDiagnosis* process : processes) {
    text += process->has_health()
                ? FormatProcess(*process, width)
                : Wrap(absl::StrCat(process->address(), ": ", process->error()),
                       0, width);
    text += "\n";
  }
  return text + Summary(diagnoses);
}

int ExitCodeOf(const Diagnoses& diagnoses) {
  int code = 0;
  for (const ProcessDiagnosis& process : diagnoses.processes()) {
    if (!process.has_health()) return 2;
    if (CountWarnings(process) > 0) code = 1;
  }
  return code;
}

}  // namespace tether::ctl
