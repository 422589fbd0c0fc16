// SPDX-License-Identifier: Apache-2.0

#include "integration_tests/matrix/cell.h"

namespace tether::matrix {

const char* Name(ServerStyle style) {
  switch (style) {
    case ServerStyle::kSync:
      return "SyncServer";
    case ServerStyle::kCallback:
      return "CallbackServer";
    case ServerStyle::kAsync:
      return "AsyncServer";
    case ServerStyle::kGenericAsync:
      return "GenericAsyncServer";
    case ServerStyle::kGenericCallback:
      return "GenericCallbackServer";
  }
  return "";
}

const char* Name(ClientStyle style) {
  switch (style) {
    case ClientStyle::kSync:
      return "SyncClient";
    case ClientStyle::kCallback:
      return "CallbackClient";
    case ClientStyle::kAsync:
      return "AsyncClient";
    case ClientStyle::kGenericAsync:
      return "GenericAsyncClient";
    case ClientStyle::kGenericCallback:
      return "GenericCallbackClient";
  }
  return "";
}

const char* Name(Kind kind) {
  switch (kind) {
    case Kind::kUnary:
      return "Unary";
    case Kind::kUpload:
      return "Upload";
    case Kind::kDownload:
      return "Download";
    case Kind::kChat:
      return "Chat";
  }
  return "";
}

const char* Name(Event event) {
  switch (event) {
    case Event::kOk:
      return "Ok";
    case Event::kServerError:
      return "ServerError";
    case Event::kClientCancelEarly:
      return "ClientCancelEarly";
    case Event::kClientCancel:
      return "ClientCancel";
    case Event::kClientCancelLate:
      return "ClientCancelLate";
    case Event::kUpstreamCancelEarly:
      return "UpstreamCancelEarly";
    case Event::kUpstreamCancel:
      return "UpstreamCancel";
    case Event::kUpstreamCancelLate:
      return "UpstreamCancelLate";
    case Event::kDeadline:
      return "Deadline";
    case Event::kDisconnect:
      return "Disconnect";
    case Event::kShutdown:
      return "Shutdown";
  }
  return "";
}

std::string Name(const Cell& cell) {
  return std::string(Name(cell.server)) + "_" + Name(cell.client) + "_" +
         Name(cell.kind) + "_" + Name(cell.event);
}

bool AnswersAtOnce(Event event) {
  return event == Event::kOk || event == Event::kServerError ||
         event == Event::kClientCancelLate ||
         event == Event::kUpstreamCancelLate;
}

bool IsEarly(Event event) {
  return event == Event::kClientCancelEarly ||
         event == Event::kUpstreamCancelEarly;
}

bool Impossible::Covers(const Cell& cell) const {
  return (server == nullptr || *server == cell.server) &&
         (client == nullptr || *client == cell.client) &&
         (kind == nullptr || *kind == cell.kind) &&
         (event == nullptr || *event == cell.event);
}

const std::vector<Impossible>& ImpossibleCells() {
  // None: all cells are possible in gRPC 1.51. A generic stub has no
  // synchronous API, so there is no such client style. Its calls can use
  // methods of any kind, and so can generic servers.
  static const auto& cells = *new std::vector<Impossible>;
  return cells;
}

std::vector<Cell> PossibleCells() {
  std::vector<Cell> cells;
  for (ServerStyle server : kServerStyles) {
    for (ClientStyle client : kClientStyles) {
      for (Kind kind : kKinds) {
        for (Event event : kEvents) {
          const Cell cell{server, client, kind, event};
          bool possible = true;
          for (const Impossible& impossible : ImpossibleCells()) {
            possible = possible && !impossible.Covers(cell);
          }
          if (possible) cells.push_back(cell);
        }
      }
    }
  }
  return cells;
}

}  // namespace tether::matrix
