// SPDX-License-Identifier: Apache-2.0
//
// shop.v1.Storefront as an ordinary Node service: grpc-js, and OpenTelemetry's auto-instrumentation, which run.sh loads before
// this file. Nothing here knows of deadlines, of headers, or of a sidecar.
//
//   storefront.js --port N --orders HOST:PORT [--refresh]
//
// With --refresh, it asks orders once more after each reply, as a service that refreshes its cache does.
//
// Prints "listening on port N", and for each request a shop.v1.HopEvent as a line of JSON.
'use strict';

const path = require('node:path');
const {parseArgs} = require('node:util');
const grpc = require('@grpc/grpc-js');
const protoLoader = require('@grpc/proto-loader');

const flags = parseArgs({
  options: {
    port: {type: 'string', default: '0'},
    orders: {type: 'string'},
    refresh: {type: 'boolean', default: false},
  },
}).values;

const shop = grpc.loadPackageDefinition(protoLoader.loadSync('shop/v1/storefront.proto', {
  includeDirs: [process.env.SHOP_PROTOS || path.join(__dirname, '../../proto')],
  keepCase: true,
  defaults: true,
})).shop.v1;
const orders = new shop.Orders(flags.orders, grpc.credentials.createInsecure());

// Milliseconds of the machine's monotonic clock.
const now = () => Number(process.hrtime.bigint() / 1000n) / 1000;

// Writes what this hop saw of a request that started at `started`.
function logHop(method, started, call, error) {
  const event = {
    service: 'storefront',
    method,
    started_ms: started.ms,
    elapsed_ms: now() - started.ms,
    outcome: !error ? 'ok' : {[grpc.status.CANCELLED]: 'cancelled',
                              [grpc.status.DEADLINE_EXCEEDED]: 'deadline_exceeded'}[error.code] || 'error',
  };
  if (Number.isFinite(started.left)) event.remaining_ms_on_arrival = started.left;
  console.log(JSON.stringify(event));
}

function start(call) {
  return {ms: now(), left: Number(call.getDeadline()) - Date.now()};
}

// The callee's error as this service's own.
const failed = (error) => ({code: error.code, details: `orders: ${error.details}`});

function refresh(request) {
  const started = now();
  orders.GetOrder(request, (error) => {
    console.log(JSON.stringify({refreshed: error ? error.code : 0, after_ms: now() - started}));
  });
}

function getOrderPage(call, callback) {
  const started = start(call);
  const request = {order_id: call.request.order_id};
  orders.GetOrder(request, (error, order) => {
    logHop('GetOrderPage', started, call, error);
    if (error) {
      callback(failed(error));
    } else {
      callback(null, {order, availability: `${order.stock} in stock`});
    }
    if (flags.refresh) setTimeout(() => refresh(request), 20);
  });
}

const server = new grpc.Server();
server.addService(shop.Storefront.service, {GetOrderPage: getOrderPage});
server.bindAsync(`127.0.0.1:${flags.port}`, grpc.ServerCredentials.createInsecure(), (error, port) => {
  if (error) throw error;
  console.log(`listening on port ${port}`);
});
process.on('SIGTERM', () => {
  server.forceShutdown();
  process.exit(0);
});
