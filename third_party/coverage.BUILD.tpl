# SPDX-License-Identifier: Apache-2.0
# Every cc_test refers to this target, but only "bazel coverage" uses it. Upstream's target is a download.
filegroup(name = "coverage_report_generator")
