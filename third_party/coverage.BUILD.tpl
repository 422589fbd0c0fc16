# Every cc_test names this, but only "bazel coverage" uses it; upstream's is a download.
filegroup(name = "coverage_report_generator")
