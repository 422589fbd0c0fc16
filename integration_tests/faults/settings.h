// SPDX-License-Identifier: Apache-2.0
//
// gRPC's settings that make connections notice a fault and heal soon after it,
// and the ports of the hops.
//
// For tests only. They decide how long a connection is kept that carries
// nothing, and how soon a call can succeed again. tether ends calls by their
// deadlines whatever they are, except those whose writes are stuck. A program
// in production needs them too, with longer times.

#ifndef TETHER_INTEGRATION_TESTS_FAULTS_SETTINGS_H_
#define TETHER_INTEGRATION_TESTS_FAULTS_SETTINGS_H_

#include <grpcpp/grpcpp.h>

namespace tether::faults {

inline constexpr int kSyncPort = 5001;
inline constexpr int kCallbackPort = 5002;
inline constexpr int kTlsPort = 5003;

inline constexpr int kKeepaliveMs = 400;
inline constexpr int kKeepaliveTimeoutMs = 800;

// For channels (grpc::ChannelArguments::SetInt) and servers
// (grpc::ServerBuilder::AddChannelArgument), given as `set(name, value)`.
template <typename Set>
void SetKeepalive(const Set& set) {
  // A peer that is gone or frozen, or a link that drops everything, sends no
  // RST. Without pings, gRPC keeps such a connection until TCP gives it up,
  // which takes a quarter of an hour, and puts each new call on it. With
  // keepalive, gRPC also sets TCP_USER_TIMEOUT to the timeout.
  set(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMs);
  set(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMs);
  // Later releases of gRPC wait so long for the answer to a ping, 60 s by
  // default, whatever the keepalive's timeout is (grpc/grpc#34647 and #39239,
  // and seen with 1.83). Earlier ones ignore the name.
  set("grpc.http2.ping_timeout_ms", kKeepaliveTimeoutMs);
  // Also while there is no call: the next one shall not be the one that finds
  // the connection dead.
  set(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  // Without limit of the pings between two messages; the default is two.
  set(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
}

template <typename Set>
void SetForChannel(const Set& set) {
  SetKeepalive(set);
  // An attempt to connect gets this much time, besides being the shortest time
  // between two attempts. The default of 20 s is how long an attempt that began
  // during a fault keeps the next calls waiting.
  set(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 1000);
  set(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 50);
  // The default is two minutes.
  set(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 300);
  // One query of names, and the time between two. The defaults are two minutes
  // and 30 s.
  set(GRPC_ARG_DNS_ARES_QUERY_TIMEOUT_MS, 500);
  set(GRPC_ARG_DNS_MIN_TIME_BETWEEN_RESOLUTIONS_MS, 100);
}

template <typename Set>
void SetForServer(const Set& set) {
  SetKeepalive(set);
  // Servers close the connection of a client that pings more often than every
  // five minutes (GOAWAY "too_many_pings"), unless they permit it.
  set(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 1);
  set(GRPC_ARG_HTTP2_MAX_PING_STRIKES, 0);
  // How long a connection may take to say anything. The default is two minutes.
  set(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, 1500);
}

// Arguments for a channel that shares no connection with other channels.
inline grpc::ChannelArguments ChannelSettings() {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  SetForChannel(
      [&](const char* name, int value) { arguments.SetInt(name, value); });
  return arguments;
}

}  // namespace tether::faults

#endif  // TETHER_INTEGRATION_TESTS_FAULTS_SETTINGS_H_
