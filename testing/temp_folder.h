// SPDX-License-Identifier: Apache-2.0
//
// A folder for the files and sockets of one test.

#ifndef TETHER_TESTING_TEMP_FOLDER_H_
#define TETHER_TESTING_TEMP_FOLDER_H_

#include <string>
#include <string_view>

namespace tether::testing {

// Makes a new folder, which no other process uses, and deletes it with all that
// is in it. Aborts if it or a file can't be made. Any thread.
//
// Its name is short, below /tmp: the name of a socket has at most 107 bytes,
// less than the path of Bazel's own folder for a test may have.
//
//   const TempFolder folder;
//   LoadConfig(folder.Write("config", "mode: FULL"));
class TempFolder {
 public:
  TempFolder();
  ~TempFolder();
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;

  const std::string& path() const { return path_; }

  // The path of `name`, which is relative, in it. Makes nothing.
  std::string File(std::string_view name) const;

  // Writes the file, instead of an earlier one, and the folders that `name`
  // has. Returns its path.
  std::string Write(std::string_view name, std::string_view content) const;

  // The address of a Unix socket in it, as gRPC takes it.
  std::string Socket(std::string_view name) const;

 private:
  std::string path_;
};

}  // namespace tether::testing

#endif  // TETHER_TESTING_TEMP_FOLDER_H_
