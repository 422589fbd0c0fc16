// SPDX-License-Identifier: Apache-2.0

#include "sidecar/config_tls.h"

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>
#include <string_view>
#include <tuple>

#include "absl/hash/hash.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "sidecar/config_errors.h"
#include "sidecar/read_file.h"
#include "tether/v1/sidecar.pb.h"

namespace tether::sidecar {
namespace {

constexpr const char* kCertificate = "-----BEGIN CERTIFICATE-----";
constexpr const char* kPrivateKey = "PRIVATE KEY-----";

// "" if `path` is empty, or if there is an error. A file of PEM has `mark`.
std::string ReadPem(const std::string& path, const char* mark,
                    const ConfigPlace& place, ConfigErrors& errors) {
  if (path.empty()) return "";
  const absl::StatusOr<std::string> content = ReadFile(path);
  if (!content.ok()) {
    errors.Add(place, absl::StrCat(Quoted(path), " ",
                                   std::string(content.status().message())));
    return "";
  }
  if (!absl::StrContains(*content, mark)) {
    errors.Add(place, absl::StrCat(
                          Quoted(path), " has no ",
                          mark == kCertificate ? "certificate" : "private key",
                          " in PEM format"));
    return "";
  }
  return *content;
}

// Nobody sees the id of another process, so a hash with this process' seed is
// enough. It doesn't contain the key.
std::string IdOf(const std::string& a, const std::string& b,
                 const std::string& c) {
  return absl::StrCat(
      absl::Hex(absl::Hash<std::tuple<std::string, std::string, std::string>>{}(
                    std::make_tuple(a, b, c)),
                absl::kZeroPad16));
}

}  // namespace

ReadCredentials<grpc::ServerCredentials> ReadServerTls(const v1::ServerTls& tls,
                                                       const ConfigPlace& place,
                                                       ConfigErrors& errors) {
  if (tls.cert().empty()) errors.Add(place.At("cert"), kRequired);
  if (tls.key().empty()) errors.Add(place.At("key"), kRequired);
  const std::string cert =
      ReadPem(tls.cert(), kCertificate, place.At("cert"), errors);
  const std::string key =
      ReadPem(tls.key(), kPrivateKey, place.At("key"), errors);
  const std::string ca =
      ReadPem(tls.client_ca(), kCertificate, place.At("client_ca"), errors);
  const bool complete =
      !cert.empty() && !key.empty() && ca.empty() == tls.client_ca().empty();
  if (!complete) return {};
  grpc::SslServerCredentialsOptions options(
      ca.empty() ? GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE
                 : GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  options.pem_root_certs = ca;
  options.pem_key_cert_pairs.push_back({key, cert});
  return {grpc::SslServerCredentials(options), IdOf(cert, key, ca)};
}

ReadCredentials<grpc::ChannelCredentials> ReadClientTls(
    const v1::ClientTls* tls, std::string_view target, const ConfigPlace& place,
    ConfigErrors& errors) {
  ReadCredentials<grpc::ChannelCredentials> read;
  if (tls != nullptr) {
    if (tls->cert().empty() && !tls->key().empty()) {
      errors.Add(place.At("key"), "there is no cert for this key");
    }
    if (tls->key().empty() && !tls->cert().empty()) {
      errors.Add(place.At("cert"), "there is no key for this certificate");
    }
    grpc::SslCredentialsOptions options;
    options.pem_root_certs =
        ReadPem(tls->ca(), kCertificate, place.At("ca"), errors);
    options.pem_cert_chain =
        ReadPem(tls->cert(), kCertificate, place.At("cert"), errors);
    options.pem_private_key =
        ReadPem(tls->key(), kPrivateKey, place.At("key"), errors);
    read.id = IdOf(options.pem_root_certs, options.pem_cert_chain,
                   options.pem_private_key);
    read.credentials = grpc::SslCredentials(options);
  }
  if (target.substr(0, 4) == "xds:") {
    // The control plane may set TLS, so these aren't plaintext.
    if (read.id.empty()) read.id = "xds";
    read.credentials = grpc::XdsCredentials(
        read.credentials != nullptr ? read.credentials
                                    : grpc::InsecureChannelCredentials());
  }
  return read;
}

}  // namespace tether::sidecar
