// SPDX-License-Identifier: Apache-2.0
//
// The axes of the matrix: the server's style, the client's style, the kind of
// RPC, and the event that ends it.
//
// For tests only.

#ifndef TETHER_INTEGRATION_TESTS_MATRIX_CELL_H_
#define TETHER_INTEGRATION_TESTS_MATRIX_CELL_H_

#include <string>
#include <vector>

namespace tether::matrix {

enum class ServerStyle {
  kSync,
  kCallback,
  kAsync,
  kGenericAsync,
  kGenericCallback
};
inline constexpr ServerStyle kServerStyles[] = {
    ServerStyle::kSync, ServerStyle::kCallback, ServerStyle::kAsync,
    ServerStyle::kGenericAsync, ServerStyle::kGenericCallback};

enum class ClientStyle {
  kSync,
  kCallback,
  kAsync,
  kGenericAsync,
  kGenericCallback
};
inline constexpr ClientStyle kClientStyles[] = {
    ClientStyle::kSync, ClientStyle::kCallback, ClientStyle::kAsync,
    ClientStyle::kGenericAsync, ClientStyle::kGenericCallback};

// The methods of Probe: Unary, Upload (client streaming), Download (server
// streaming), Chat (bidirectional).
enum class Kind { kUnary, kUpload, kDownload, kChat };
inline constexpr Kind kKinds[] = {Kind::kUnary, Kind::kUpload, Kind::kDownload,
                                  Kind::kChat};

// "Early" means before the stub is called, "late" after the client has its
// status. All other events happen while the handler waits for the end of its
// context.
enum class Event {
  kOk,
  kServerError,
  kClientCancelEarly,  // grpc::ClientContext::TryCancel
  kClientCancel,
  kClientCancelLate,
  kUpstreamCancelEarly,  // of the context that the client's is made from
  kUpstreamCancel,
  kUpstreamCancelLate,
  kDeadline,
  kDisconnect,  // the TCP connection is reset
  kShutdown,    // of the server, with a deadline
};
inline constexpr Event kEvents[] = {Event::kOk,
                                    Event::kServerError,
                                    Event::kClientCancelEarly,
                                    Event::kClientCancel,
                                    Event::kClientCancelLate,
                                    Event::kUpstreamCancelEarly,
                                    Event::kUpstreamCancel,
                                    Event::kUpstreamCancelLate,
                                    Event::kDeadline,
                                    Event::kDisconnect,
                                    Event::kShutdown};

struct Cell {
  ServerStyle server;
  ClientStyle client;
  Kind kind;
  Event event;
};

const char* Name(ServerStyle style);
const char* Name(ClientStyle style);
const char* Name(Kind kind);
const char* Name(Event event);

// "SyncServer_AsyncClient_Upload_Deadline".
std::string Name(const Cell& cell);

// True if the handler answers at once (for kServerError, with an error) and
// doesn't wait for the end of its context.
bool AnswersAtOnce(Event event);
// True if the event comes before the stub is called.
bool IsEarly(Event event);

// Cells that gRPC makes impossible, and the reason. A null axis matches all its
// values.
struct Impossible {
  const ServerStyle* server;
  const ClientStyle* client;
  const Kind* kind;
  const Event* event;
  const char* reason;

  bool Covers(const Cell& cell) const;
};
const std::vector<Impossible>& ImpossibleCells();

// All other cells. The matrix test runs them.
std::vector<Cell> PossibleCells();

}  // namespace tether::matrix

#endif  // TETHER_INTEGRATION_TESTS_MATRIX_CELL_H_
