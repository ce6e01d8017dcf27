#include "library/loop.h"

#include "base/log.h"

namespace millrace::library {

using wire::ErrorCode;

Loop::Loop(client::ClientOptions options, Process process) : host_(1, process) {
  log::set_level(log::Level::kOff);
  client_ = std::make_unique<client::Client>(host_, host_.shard(0), std::move(options));
  thread_ = std::jthread([this] { host_.run(); });
}

Loop::~Loop() {
  run([this] { client_.reset(); });
  host_.stop();
}

void Loop::run(std::function<void()> work) {
  std::promise<void> done;
  shard().post([&] {
    work();
    done.set_value();
  });
  done.get_future().wait();
}

Result<client::core::MetadataCache> Loop::look_up(const client::Client::Topics& topics) {
  auto response = wait<wire::MetadataResponse>([&](client::Done<wire::MetadataResponse> done) {
    client_->refresh(topics, std::move(done));
  });
  if (!response) return std::unexpected(std::move(response).error());
  client::core::MetadataCache copy;
  run([&] { copy = client_->metadata(); });
  return copy;
}

Result<wire::ApiVersionsResponse> Loop::api_versions(client::core::Destination to) {
  return wait<wire::ApiVersionsResponse>([&](client::Done<wire::ApiVersionsResponse> done) {
    client_->api_versions(to, std::move(done));
  });
}

Result<client::core::FoundCoordinator> Loop::find_coordinator(const std::string& group,
                                                              Deadline until) {
  for (;;) {
    auto found = wait<client::core::FoundCoordinator>(
        [&](auto done) { client_->find_coordinator(group, std::move(done)); });
    if (!found || !is_about_coordinator(found->error) || !pause_before(until)) return found;
  }
}

bool Loop::is_about_coordinator(int16_t code) {
  const auto error = static_cast<ErrorCode>(code);
  return error == ErrorCode::kCoordinatorNotAvailable || error == ErrorCode::kNotCoordinator ||
         error == ErrorCode::kCoordinatorLoadInProgress;
}

// Asleep, since what is waited for happens in another process, which tells nobody.
void Loop::pause() { std::this_thread::sleep_for(std::chrono::milliseconds(100)); }

bool Loop::pause_before(Deadline until) {
  if (std::chrono::steady_clock::now() >= until) return false;
  pause();
  return true;
}

}  // namespace millrace::library
