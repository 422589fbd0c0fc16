#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A hop without tether. It passes unary calls of any method on to another server, as bytes.

Run it with Debian's /usr/bin/python3: that one has Debian's grpcio (python3-grpcio), which a python3 that comes first
on the PATH may lack.

  --target ADDRESS     where calls go
  --forward A,B        the headers that are handed on as they came, as many services do by hand
  --propagate no       calls that are made have no deadline, and go on when the caller leaves
  --hold SECONDS       how long a call waits here before it is passed on

Prints "listening on port N" once calls are taken. Ends on SIGTERM.
"""

import argparse
import concurrent.futures
import os
import signal
import sys
import time

# For sigwait. No other thread may receive the signal, and gRPC starts threads.
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})

import grpc  # noqa: E402

# gRPC represents "no deadline" as a point in time.
FOREVER = 1e8


class Relay(grpc.GenericRpcHandler):
  def __init__(self, channel, args):
    self.channel = channel
    self.forward = [name for name in args.forward.split(",") if name]
    self.propagate = args.propagate == "yes"
    self.hold = args.hold

  def service(self, handler_call_details):
    method = handler_call_details.method
    # Without serializers, messages are bytes.
    return grpc.unary_unary_rpc_method_handler(lambda request, context: self.pass_on(method, request, context))

  def pass_on(self, method, request, context):
    time.sleep(self.hold)
    metadata = [(key, value) for key, value in context.invocation_metadata() if key in self.forward]
    left = context.time_remaining()
    timeout = left if self.propagate and left is not None and left < FOREVER else None
    call = self.channel.unary_unary(method).future(request, timeout=timeout, metadata=metadata)
    if self.propagate and not context.add_callback(call.cancel):
      call.cancel()  # the caller has left already
    try:
      return call.result()
    except grpc.FutureCancelledError:
      context.abort(grpc.StatusCode.CANCELLED, "the caller has left")
    except grpc.RpcError as error:
      context.abort(error.code(), error.details())


def main(argv):
  parser = argparse.ArgumentParser()
  parser.add_argument("--target", required=True)
  parser.add_argument("--forward", default="")
  parser.add_argument("--propagate", choices=("yes", "no"), default="yes")
  parser.add_argument("--hold", type=float, default=0)
  args = parser.parse_args(argv)
  server = grpc.server(concurrent.futures.ThreadPoolExecutor(max_workers=4))
  server.add_generic_rpc_handlers((Relay(grpc.insecure_channel(args.target), args),))
  port = server.add_insecure_port("127.0.0.1:0")
  server.start()
  print("listening on port %d" % port, flush=True)
  signal.sigwait({signal.SIGTERM})
  # There is nothing to save, and grpcio's own shutdown may take seconds on a busy machine.
  os._exit(0)


if __name__ == "__main__":
  main(sys.argv[1:])
