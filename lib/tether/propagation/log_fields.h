// SPDX-License-Identifier: Apache-2.0
//
// LogFields: what identifies a request, for a line of a log.
//
//   LOG(INFO) << "order not found " << tether::LogFields(ctx);
//
//   order not found method=/shop.v1.Orders/GetOrder
//   trace_id=4bf92f3577b34da6a3ce929d0e0e4736 request_id=7f3a time_left=48.2ms

#ifndef TETHER_PROPAGATION_LOG_FIELDS_H_
#define TETHER_PROPAGATION_LOG_FIELDS_H_

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tether/context.h"
#include "tether/export.h"

namespace tether {

// Returns the method that serves the request of `ctx`, in gRPC's form
// "/package.Service/Method", or "" if it isn't known. Valid while `ctx` or a
// context derived from it exists. A peer may have chosen the text: a generic
// service accepts any method.
TETHER_EXPORT std::string_view MethodOf(const Context& ctx);

// Returns a child of `parent` with this method, for a system of RPCs or queues
// that tether's interceptors don't know. It may have any length. "" hides the
// method of `parent`.
TETHER_EXPORT Context WithMethod(const Context& parent,
                                 std::string_view method);

// A name, which needs no escapes, and a value.
using LogField = std::pair<std::string_view, std::string>;

// Returns the fields of `ctx` that are known, in this order:
//
//   method      MethodOf(ctx)
//   trace_id    32 hex digits of TraceOf(ctx) (trace_context.h)
//   request_id  RequestIdOf(ctx) (request_id.h)
//   time_left   ctx.Remaining() in whole microseconds, as "48.2ms"; negative
//               after the deadline; absent without one
//
// It never contains values of the application's own keys, or baggage. Values
// are as they arrived: use FormatLogFields to write them. Later versions may
// add fields. Thread safety: any thread.
TETHER_EXPORT std::vector<LogField> LogFieldsOf(const Context& ctx);

// Writes fields as "name=value name=value", in the form that is known as
// logfmt. One field stays one field, and one line one line, whatever the values
// contain: a value that is empty or contains a space, '"', '=', '\' or anything
// but printable ASCII is put into quotes. There, '"' and '\' get a '\', and all
// bytes but printable ASCII become \n, \r, \t or \xNN.
TETHER_EXPORT std::string FormatLogFields(const std::vector<LogField>& fields);

// Returns FormatLogFields(LogFieldsOf(ctx)); "" if nothing is known.
TETHER_EXPORT std::string LogFields(const Context& ctx);

}  // namespace tether

#endif  // TETHER_PROPAGATION_LOG_FIELDS_H_
