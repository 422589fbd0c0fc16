// SPDX-License-Identifier: Apache-2.0
//
// The certificate of tests with TLS.

#ifndef TETHER_TESTING_TEST_CERTIFICATE_H_
#define TETHER_TESTING_TEST_CERTIFICATE_H_

namespace tether {

// A certificate for "localhost" and 127.0.0.1, used by tests only; valid until
// 2120.
inline constexpr char kTestKey[] =
    R"(-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgP0Hi2Uc3O8nqtgiB
4hfo8J1r5EtRvnMRG3yBtZoS3ZihRANCAASF6bkkF4J3T8WtZqnQqexfUJ+g3Ld6
18CJfWesGxjt2kSedWJDlLtiqP2MiUoOC/qtfZiF15zu81658rA2F0v8
-----END PRIVATE KEY-----
)";
inline constexpr char kTestCertificate[] =
    R"(-----BEGIN CERTIFICATE-----
MIIBZjCCAQ2gAwIBAgIBATAKBggqhkjOPQQDAjAUMRIwEAYDVQQDDAlsb2NhbGhv
c3QwIBcNMjAwMTAxMDAwMDAwWhgPMjEyMDAxMDEwMDAwMDBaMBQxEjAQBgNVBAMM
CWxvY2FsaG9zdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABIXpuSQXgndPxa1m
qdCp7F9Qn6Dct3rXwIl9Z6wbGO3aRJ51YkOUu2Ko/YyJSg4L+q19mIXXnO7zXrny
sDYXS/yjTjBMMBoGA1UdEQQTMBGCCWxvY2FsaG9zdIcEfwAAATAPBgNVHRMBAf8E
BTADAQH/MB0GA1UdDgQWBBQZL7Q62SpwxvIYhwDLad1nPS5JmDAKBggqhkjOPQQD
AgNHADBEAiBWQFLccIHsJUm0v52g/rpIgL6jUWNn1N/43pkA9wTe7wIgJrBtoGb3
XdtPv9o8PF772tcotfe0KZj/D0lNda7wbas=
-----END CERTIFICATE-----
)";

}  // namespace tether

#endif  // TETHER_TESTING_TEST_CERTIFICATE_H_
