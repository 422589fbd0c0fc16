# SPDX-License-Identifier: Apache-2.0
# Instead of add_subdirectory, in a project that uses an installed tether.
find_package(tether 0.1 CONFIG REQUIRED COMPONENTS grpc observability proto_codec testing)
