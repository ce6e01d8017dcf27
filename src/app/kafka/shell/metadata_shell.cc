#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>

#include "app/kafka/shell/arguments.h"
#include "app/kafka/shell/commands.h"
#include "app/kafka/shell/image_nodes.h"
#include "app/kafka/shell/metadata_shell.h"
#include "app/kafka/shell/snapshot.h"
#include "runtime/posix_disk.h"

namespace millrace::app::kafka::shell {
namespace {

constexpr std::string_view kUsage =
    "usage: kafka-metadata-shell [-h] --snapshot FILE [COMMAND [WORD ...]]\n";
constexpr std::string_view kHelp =
    "\nShows what a snapshot of the metadata log holds, as a tree of folders and leaves. Without "
    "a\n"
    "command it reads commands from standard input; `help` lists them.\n\n"
    "  --snapshot, -s FILE  a .checkpoint of __cluster_metadata-0, or a .log\n"
    "  COMMAND              cat, find, ls or tree, with its words\n";

using Lock = std::unique_ptr<env::FileLock>;

// Of the log directory that the snapshot is in, if it is one. Null: there is nothing to lock.
Attempt<Lock> lock_directory_of(const std::string& snapshot) {
  std::filesystem::path directory = snapshot;
  for (int i = 0; i < 2; ++i)
    if (directory.has_parent_path()) directory = directory.parent_path();
  const std::string path = (directory / ".lock").string();
  runtime::PosixDisk disk;
  if (!disk.exists(path)) return Lock{};
  auto lock = disk.lock(path);
  if (lock) return std::move(*lock);
  if (lock.error().code != Errc::kLocked)
    return thrown("java.io.IOException", lock.error().message);
  return thrown("java.lang.RuntimeException",
                fmt::format("Unable to lock {}. Please ensure that no broker or controller process "
                            "is using this directory before proceeding.",
                            std::filesystem::absolute(directory).string()));
}

int width_of_screen() {
  winsize size{};
  if (::isatty(STDIN_FILENO) == 0 || ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0) return 0;
  return size.ws_col;
}

Attempt<> run_typed(shell::Session session) {
  shell::History history;
  session.history = &history;
  fmt::print("Loading...\nStarting...\n[ Kafka Metadata Shell ]\n");
  for (;;) {
    fmt::print(">> ");
    std::fflush(stdout);
    const auto line = shell::read_line(stdin);
    if (!line) return {};
    history.add(*line);
    session.screen_width = width_of_screen();
    RETURN_IF_ERROR(run_command(session, shell::split_line(*line)));
  }
}

Attempt<> run_on(const std::string& path, const Words& command) {
  ASSIGN_OR_RETURN(const Lock lock, lock_directory_of(path));
  ASSIGN_OR_RETURN(const auto snapshot, shell::load_snapshot(path));
  const shell::Node root = shell::root_of(snapshot);
  shell::Session session{.root = root};
  return command.empty() ? run_typed(session) : run_command(session, command);
}

int refuse(std::string_view message) {
  fmt::print(stderr, "{}kafka-metadata-shell: error: {}\n", kUsage, message);
  return 1;
}

}  // namespace

int metadata_shell(const Words& words) {
  const auto taken =
      shell::take_arguments({.options = shell::Syntax::Options::kHelpAndSnapshot}, words);
  if (!taken && taken.error().asks_help) {
    fmt::print("{}{}", kUsage, kHelp);
    return 1;
  }
  if (!taken) return refuse(taken.error().message);
  if (!taken->snapshot) return refuse("argument --snapshot/-s is required");
  const auto done = run_on(*taken->snapshot, taken->positional);
  std::fflush(stdout);
  if (done) return 0;
  if (done.error().kind == Ending::Kind::kExit) return done.error().status;
  fmt::print(stderr, "Unexpected error: {}\n{}\n", done.error().message, done.error().to_string());
  return 1;
}

}  // namespace millrace::app::kafka::shell
