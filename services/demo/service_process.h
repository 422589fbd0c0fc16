// One service as a child process.

#ifndef SHOP_SERVICES_DEMO_SERVICE_PROCESS_H_
#define SHOP_SERVICES_DEMO_SERVICE_PROCESS_H_

#include <sys/types.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "tether/context.h"

namespace shop {

// Runs a program, with a pipe as its standard output, until Stop() or the
// destructor. Should this process die, or the thread that started the other,
// then so does the other.
//
// Thread safety: none.
class ServiceProcess {
 public:
  // `name` is for messages.
  explicit ServiceProcess(std::string name) : name_(std::move(name)) {}
  ~ServiceProcess() { Stop().IgnoreError(); }
  ServiceProcess(const ServiceProcess&) = delete;
  ServiceProcess& operator=(const ServiceProcess&) = delete;

  const std::string& name() const { return name_; }

  // Once only.
  absl::Status Start(const std::string& program,
                     const std::vector<std::string>& flags);

  // The next line of its standard output; nullopt when `ctx` ends first, or the
  // output does.
  std::optional<std::string> ReadLine(const tether::Context& ctx);

  // Asks it to stop (SIGTERM), and doesn't wait.
  void AskToStop();

  // Ends it here and now (SIGKILL), as a machine that loses its power would,
  // but for its connections, which the kernel closes. Stop() then says so.
  void Kill();

  // Asks it to stop, waits until it has, and kills it if it takes 5 s. An error
  // when it did not end as a service should. Idempotent.
  absl::Status Stop();

 private:
  const std::string name_;
  pid_t pid_ = -1;      // -1: not running
  int output_ = -1;     // the pipe; -1: closed
  std::string unread_;  // output after the last line that was read
};

}  // namespace shop

#endif  // SHOP_SERVICES_DEMO_SERVICE_PROCESS_H_
