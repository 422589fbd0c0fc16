# SPDX-License-Identifier: Apache-2.0
"""The module extension that MODULE.bazel uses."""

load("//third_party:proto_rules.bzl", "proto_rules_repository")

proto_rules_extension = module_extension(implementation = lambda _: proto_rules_repository(name = "tether_proto_rules"))
