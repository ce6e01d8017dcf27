#include "config/directories.h"

#include <algorithm>

namespace millrace::config {
namespace {

// One directory has one name here: /data and /data/ are the same.
std::string plain(std::string path) {
  while (path.size() > 1 && path.ends_with('/')) path.pop_back();
  return path;
}

}  // namespace

std::vector<std::string> log_directories(const NodeProperties& node) {
  auto paths = node.list("log.dirs");
  if (paths.empty()) paths = node.list("log.dir");
  for (auto& path : paths) path = plain(std::move(path));
  return paths;
}

std::string metadata_directory(const NodeProperties& node) {
  const std::string own = node.text("metadata.log.dir");
  if (!own.empty()) return plain(own);
  const auto paths = log_directories(node);
  return paths.empty() ? "" : paths.front();
}

std::vector<std::string> all_directories(const NodeProperties& node) {
  std::vector<std::string> all{metadata_directory(node)};
  for (auto& path : log_directories(node))
    if (std::ranges::find(all, path) == all.end()) all.push_back(std::move(path));
  return all;
}

}  // namespace millrace::config
