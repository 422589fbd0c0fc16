#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""shop.v1.Orders as an ordinary Python service: grpcio, without OpenTelemetry, which Debian 12 doesn't have for Python. It hands
on the two headers of a trace, and nothing else: no deadline, no cancellation.

  orders.py --port N --inventory HOST:PORT

Needs the code that protoc makes for shop/v1 on its path; run.sh sets it. Prints "listening on port N", and for each request a
shop.v1.HopEvent as a line of JSON.
"""

import argparse
import concurrent.futures
import json
import signal
import sys
import time

# For sigwait. No other thread may receive the signal, and gRPC starts threads.
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})

import grpc  # noqa: E402

from shop.v1 import inventory_pb2, inventory_pb2_grpc, orders_pb2, orders_pb2_grpc  # noqa: E402

TRACE_HEADERS = ("traceparent", "tracestate")
OUTCOMES = {None: "ok", grpc.StatusCode.CANCELLED: "cancelled", grpc.StatusCode.DEADLINE_EXCEEDED: "deadline_exceeded"}
FOREVER = 1e8  # gRPC represents "no deadline" as a point in time


def trace_of(context):
  return [(key, value) for key, value in context.invocation_metadata() if key in TRACE_HEADERS]


class Orders(orders_pb2_grpc.OrdersServicer):

  def __init__(self, inventory):
    self.inventory = inventory_pb2_grpc.InventoryStub(inventory)

  def GetOrder(self, request, context):  # pylint: disable=invalid-name
    start, left = time.monotonic(), context.time_remaining()
    order = orders_pb2.Order(order_id=request.order_id, product_id="tea-5", product_name="Darjeeling, 250 g", quantity=2)
    code, message = None, ""
    if not request.order_id:
      code, message = grpc.StatusCode.INVALID_ARGUMENT, "order_id is missing"
    else:
      try:
        stock = self.inventory.GetStock(inventory_pb2.GetStockRequest(product_id="tea-5"), metadata=trace_of(context))
        order.stock = stock.stock
      except grpc.RpcError as error:
        # The callee's error as this service's own.
        code, message = error.code(), "inventory: " + error.details()
    self.log("GetOrder", start, left, code)
    if code:
      context.abort(code, message)
    return order

  def log(self, method, start, left, code):
    event = {
        "service": "orders",
        "method": method,
        "started_ms": start * 1000,
        "elapsed_ms": (time.monotonic() - start) * 1000,
        "outcome": OUTCOMES.get(code, "error"),
    }
    if left is not None and left < FOREVER:
      event["remaining_ms_on_arrival"] = left * 1000
    print(json.dumps(event), flush=True)


def main(argv):
  parser = argparse.ArgumentParser()
  parser.add_argument("--port", type=int, default=0)
  parser.add_argument("--inventory", required=True)
  args = parser.parse_args(argv)
  server = grpc.server(concurrent.futures.ThreadPoolExecutor(max_workers=16))
  orders_pb2_grpc.add_OrdersServicer_to_server(Orders(grpc.insecure_channel(args.inventory)), server)
  port = server.add_insecure_port("127.0.0.1:%d" % args.port)
  server.start()
  print("listening on port %d" % port, flush=True)
  signal.sigwait({signal.SIGTERM})
  server.stop(0)


if __name__ == "__main__":
  main(sys.argv[1:])
