// SPDX-License-Identifier: Apache-2.0
//
// Snapshots for tests, in protobuf's text format.
//
// For tests only.

#ifndef TETHER_OBSERVABILITY_TETHERCTL_TESTING_SAMPLE_H_
#define TETHER_OBSERVABILITY_TETHERCTL_TESTING_SAMPLE_H_

#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <string>

#include "tetherctl/ctl.pb.h"

namespace tether::ctl::testing {

inline constexpr char kTrace[] = "4bf92f3577b34da6a3ce929d0e0e4736";

// Fails the test if `text` is no such message.
template <typename Message>
Message Parse(const std::string& text) {
  Message message;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &message));
  return message;
}

// One request in three processes, and others: a caller that left, a stream
// without a deadline that waits for three calls, and a call that belongs to no
// request. The fourth process doesn't answer.
inline Snapshots Sample() {
  return Parse<Snapshots>(R"(
processes {
  address: "10.0.0.1:9090"
  snapshot {
    process: "storefront" pid: 11 requests_in_flight: 1 calls_in_flight: 1
    requests {
      method: "/shop.v1.Storefront/GetOrderPage" peer: "ipv4:10.0.0.9:51234"
      trace_id: "4bf92f3577b34da6a3ce929d0e0e4736" request_id: "demo-1"
      style: API_STYLE_SYNC age_us: 260000 time_left_us: 740000
      deadline_owner: DEADLINE_OWNER_CALLER observed: true
      waits_for {
        method: "/shop.v1.Orders/GetOrder" target: "10.0.0.2:9090"
        trace_id: "4bf92f3577b34da6a3ce929d0e0e4736"
        age_us: 259000 time_left_us: 740000
      }
    }
  }
}
processes {
  address: "10.0.0.2:9090"
  snapshot {
    process: "orders" pid: 12 requests_in_flight: 3 calls_in_flight: 5
    requests {
      method: "/shop.v1.Orders/ExportEverything"
      trace_id: "00000000000000000000000000000005"
      style: API_STYLE_ASYNC age_us: 12345000 time_left_us: -3200000
      ended_by: END_REASON_CALLER_LEFT ended_ago_us: 3200000
    }
    requests {
      method: "/shop.v1.Orders/GetOrder"
      trace_id: "4bf92f3577b34da6a3ce929d0e0e4736"
      age_us: 258000 time_left_us: 700000 observed: true
      waits_for {
        method: "/shop.v1.Inventory/GetStock" target: "dns:///inventory:9090"
        trace_id: "4bf92f3577b34da6a3ce929d0e0e4736"
        age_us: 257000 time_left_us: 50000
      }
    }
    requests {
      method: "/shop.v1.Orders/TrackCourier"
      trace_id: "00000000000000000000000000000006"
      style: API_STYLE_CALLBACK age_us: 7512345000
      waits_for {
        method: "/maps.v2.Router/Stream" label: "west"
        target: "dns:///router.maps.svc:443" age_us: 90000
      }
      waits_for { method: "/a.B/C" target: "x:1" }
      waits_for { method: "/a.B/D" }
    }
    other_calls {
      method: "/shop.v1.Audit/Write" target: "dns:///audit:443"
      age_us: 2500 time_left_us: 47500
    }
  }
}
processes {
  address: "10.0.0.3:9090"
  snapshot {
    process: "inventory" pid: 13 requests_in_flight: 1
    requests {
      method: "/shop.v1.Inventory/GetStock"
      trace_id: "4bf92f3577b34da6a3ce929d0e0e4736"
      age_us: 256000 time_left_us: 45000
    }
  }
}
processes { address: "10.0.0.4:9090" error: "no answer within 2s" }
)");
}

}  // namespace tether::ctl::testing

#endif  // TETHER_OBSERVABILITY_TETHERCTL_TESTING_SAMPLE_H_
