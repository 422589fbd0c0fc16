// SPDX-License-Identifier: Apache-2.0
//
// What is wrong with a configuration, and where.

#ifndef TETHER_SIDECAR_CONFIG_ERRORS_H_
#define TETHER_SIDECAR_CONFIG_ERRORS_H_

#include <google/protobuf/descriptor.h>
#include <google/protobuf/text_format.h>

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"

namespace tether::sidecar {

// A field of a configuration, and the place where it is set in a file. A value
// type. The tree must outlive it.
class ConfigPlace {
 public:
  // The whole configuration. `tree` is null if it wasn't parsed from a file.
  ConfigPlace(const google::protobuf::Descriptor& message,
              const google::protobuf::TextFormat::ParseInfoTree* tree);

  // A field of this message, which must have it; `index` is -1 if the field
  // isn't repeated. If the file doesn't set it, the place is this one's.
  ConfigPlace At(const char* field, int index = -1) const;

  // "egress[1].listen".
  const std::string& path() const { return path_; }

  // Counted from 1.
  int line() const { return line_; }
  int column() const { return column_; }

 private:
  // Null if this field isn't a message.
  const google::protobuf::Descriptor* message_;
  const google::protobuf::TextFormat::ParseInfoTree* tree_;
  std::string path_;
  int line_ = 1;
  int column_ = 1;
};

// Collects errors. It keeps the first hundred, and counts all. Not thread-safe.
class ConfigErrors {
 public:
  using NameOfPath = std::function<std::string(const std::string& path)>;

  // Errors in a file: "sidecar.textproto:12:7: ingress.listen: …".
  explicit ConfigErrors(std::string_view file);

  // Errors without a file: "--ingress: …", where `name_of` knows how fields are
  // called.
  explicit ConfigErrors(NameOfPath name_of);

  void Add(const ConfigPlace& place, const std::string& text);

  // For errors that belong to no field. Counted from 1.
  void Add(int line, int column, const std::string& text);

  // What the texts of errors call a field.
  std::string NameOf(const ConfigPlace& place) const;

  bool empty() const { return errors_.empty(); }

  // No more are kept.
  bool is_full() const { return errors_.size() == kMaxKept; }

  // INVALID_ARGUMENT, with a line for each error in the order of the file, up
  // to twenty; OK if there are none.
  absl::Status ToStatus() const;

 private:
  static constexpr size_t kMaxKept = 100;

  struct Error {
    int line;
    int column;
    std::string text;
  };

  const std::string file_;
  const NameOfPath name_of_;
  std::vector<Error> errors_;
  size_t left_out_ = 0;
};

// The text for a field that must be set, and isn't.
inline constexpr const char* kRequired = "required, but not set";

// `text` in quotes, for a message: printable, and not too long.
std::string Quoted(std::string_view text);

}  // namespace tether::sidecar

#endif  // TETHER_SIDECAR_CONFIG_ERRORS_H_
