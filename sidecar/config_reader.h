// SPDX-License-Identifier: Apache-2.0
//
// From the messages of a configuration to options.

#ifndef TETHER_SIDECAR_CONFIG_READER_H_
#define TETHER_SIDECAR_CONFIG_READER_H_

#include "sidecar/config_errors.h"
#include "sidecar/options.h"
#include "tether/v1/sidecar.pb.h"

namespace tether::sidecar {

// Checks `config` and reads the files that it names. The result is of use only
// if no errors were added. `place` is that of the whole configuration.
SidecarOptions ReadConfig(const v1::SidecarConfig& config,
                          const ConfigPlace& place, ConfigErrors& errors);

}  // namespace tether::sidecar

#endif  // TETHER_SIDECAR_CONFIG_READER_H_
