# SPDX-License-Identifier: Apache-2.0
# This package has no targets.
