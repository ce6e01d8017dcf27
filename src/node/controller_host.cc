#include "node/controller_host.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/assert.h"
#include "base/log.h"
#include "env/random_uuid.h"
#include "metadata/features.h"
#include "node/metadata_snapshot.h"

namespace millrace::node {
namespace {

constexpr const char* kStoppedBeing = "this node stopped being the controller";

}  // namespace

ControllerHost::ControllerHost(RaftDriver::Parts parts, Publish publish)
    : parts_(std::move(parts)),
      publish_(std::move(publish)),
      controller_(*parts_.properties,
                  [this] { return random_uuid(parts_.host->shard(0).random()); }),
      driver_(parts_, [this] { moved(); }) {}

controller::Position ControllerHost::position() const {
  return {driver_.log_end(), driver_.now().time};
}

Result<> ControllerHost::open() {
  RETURN_IF_ERROR(driver_.open());
  kraft_version_ = driver_.kraft_version();
  return {};
}

void ControllerHost::start() {
  driver_.start();
  sweep_sessions();
  if (parts_.properties->number("metadata.max.idle.interval.ms") > 0) keep_moving();
}

// What formatting left behind, else what a fresh cluster has; as one transaction, as Kafka writes
// it.
Result<controller::Records> ControllerHost::first_records() const {
  const std::string path = parts_.log_dir + "/bootstrap.checkpoint";
  controller::Records found = controller::Controller::bootstrap_records();
  if (parts_.host->disk().exists(path)) {
    ASSIGN_OR_RETURN(found, read_bootstrap_checkpoint(parts_.host->disk(), path));
  }
  controller::Records records{wire::BeginTransactionRecord{.name = "Bootstrap records"}};
  std::ranges::move(found, std::back_inserter(records));
  // With eligible leader replicas the cluster has one min.insync.replicas, not one a broker.
  records.push_back(wire::ConfigRecord{
      .resource_type = static_cast<int8_t>(metadata::ConfigResourceType::kBroker),
      .name = "min.insync.replicas",
      .value = std::to_string(parts_.properties->number("min.insync.replicas"))});
  records.push_back(wire::EndTransactionRecord{});
  return records;
}

// Appends, and applies to what the next decision sees. The quorum keeps its level itself: in the
// place of its record there is one to wait for.
Result<> ControllerHost::append(controller::Records records) {
  metadata::Image& image = controller_.image();
  for (wire::MetadataRecord& each : records) {
    const auto* level = std::get_if<wire::FeatureLevelRecord>(&each);
    if (!level || level->name != metadata::kKraftVersion) continue;
    RETURN_IF_ERROR(driver_.upgrade_kraft_version());
    each = wire::NoOpRecord{};
  }
  ASSIGN_OR_RETURN(const Offset base, driver_.append(records, image.metadata_version()));
  for (size_t i = 0; i < records.size(); ++i) {
    const auto applied = image.apply(records[i], base + static_cast<int64_t>(i));
    ASSERT(applied.has_value(), "a decision made a record that cannot be: {}",
           applied.error().message);
  }
  return {};
}

void ControllerHost::submit(Command command) {
  parts_.host->shard(0).post(
      [this, command = std::move(command)]() mutable { run_command(std::move(command)); });
}

void ControllerHost::answer(Command command, Result<> outcome) {
  command.shard->post([done = std::move(command.done), outcome = std::move(outcome)]() mutable {
    done(std::move(outcome));
  });
}

// In Kafka's words, which tools show.
std::string ControllerHost::who_is_active() const {
  const NodeId leader = driver_.leader();
  return leader == kNoNode || leader == parts_.self.id
             ? "No controller appears to be active."
             : fmt::format("The active controller appears to be node {}.", leader);
}

void ControllerHost::run_command(Command command) {
  if (!is_active_) return answer(std::move(command), fail(Errc::kNotController, who_is_active()));
  controller::Records records = command.decide(controller_);
  if (!records.empty()) {
    if (auto appended = append(std::move(records)); !appended) {
      LOG_ERROR("metadata log: {}", appended.error().message);
      return answer(std::move(command), std::move(appended));
    }
    // Appending may end the leadership: what is written there then is another leader's.
    if (!is_active_) return answer(std::move(command), fail(Errc::kNotController, kStoppedBeing));
  }
  pending_.push_back({driver_.log_end(), std::move(command)});
  answer_committed();
}

void ControllerHost::moved() {
  kraft_version_ = driver_.kraft_version();
  if (driver_.image() != published_) {
    published_ = driver_.image();
    publish_(published_);
  }
  answer_committed();
  const auto& failure = driver_.failure();
  const bool leads = !failure && driver_.is_established();
  if (is_active_ && (!leads || driver_.epoch() != active_epoch_))
    renounce(failure.value_or(Error{Errc::kNotController, kStoppedBeing}));
  if (leads && !is_active_) claim();
  for (const auto& watcher : watchers_) watcher();
}

void ControllerHost::check_invariants() const {
  ASSERT(is_active_ || pending_.empty(), "CH1: {} commands wait for what others commit",
         pending_.size());
  driver_.check_invariants();
}

void ControllerHost::answer_committed() {
  while (!pending_.empty() && pending_.front().end <= driver_.applied_end()) {
    Command command = std::move(pending_.front().command);
    pending_.pop_front();
    answer(std::move(command), {});
  }
}

// Everything of older epochs is committed and applied: decisions are taken from here on.
void ControllerHost::claim() {
  active_epoch_ = driver_.epoch();
  controller_.image() = driver_.committed();
  controller_.activate(
      parts_.cluster_id,
      {.level = [this] { return driver_.kraft_version(); },
       .upgrade_problem = [this](int16_t level) { return driver_.upgrade_problem(level); }},
      driver_.now().time);
  is_active_ = true;
  LOG_INFO("this node is the active controller, epoch {}", active_epoch_);
  Result<> begun;
  if (controller_.image().in_transaction())
    begun =
        append({wire::AbortTransactionRecord{.reason = "the controller that began it is gone"}});
  if (begun && controller_.image().features().empty()) {
    auto records = first_records();
    begun = records ? append(std::move(*records)) : Result<>(std::unexpected(records.error()));
  }
  if (begun) return;
  LOG_ERROR("the controller cannot begin: {}", begun.error().message);
  driver_.resign();
}

void ControllerHost::renounce(const Error& why) {
  is_active_ = false;
  LOG_INFO("this node is the active controller no more: {}", why.message);
  for (Pending& each : std::exchange(pending_, {}))
    answer(std::move(each.command), std::unexpected(why));
}

// Kafka looks eight times a session.
void ControllerHost::sweep_sessions() {
  const Duration interval =
      milliseconds(parts_.properties->number("broker.session.timeout.ms")) / 8;
  parts_.host->shard(0).after(interval, [this] {
    if (is_active_)
      run_command(
          {.decide =
               [this](controller::Controller& c) { return c.decide_periodic(driver_.now().time); },
           .done = [](Result<>) {},
           .shard = &parts_.host->shard(0)});
    driver_.snapshot_if_due();
    sweep_sessions();
  });
}

// Others see by a NoOpRecord now and then that they are up to date (KIP-835). Who is alone knows.
void ControllerHost::keep_moving() {
  const Duration interval =
      milliseconds(parts_.properties->number("metadata.max.idle.interval.ms"));
  parts_.host->shard(0).after(interval, [this] {
    const bool has_others =
        controller_.image().brokers().size() > 1 || driver_.view().voters.voters.size() > 1;
    const bool is_idle = std::exchange(idle_end_, driver_.log_end()) == driver_.log_end();
    if (is_active_ && has_others && is_idle) {
      run_command({.decide = [](auto&) { return controller::Records{wire::NoOpRecord{}}; },
                   .done = [](Result<>) {},
                   .shard = &parts_.host->shard(0)});
      idle_end_ = driver_.log_end();
    }
    keep_moving();
  });
}

void ControllerHost::ask_quorum(env::Shard& shard, raft::Message request, AnswerFunction done) {
  AnswerFunction answer = [&shard, done = std::move(done)](QuorumAnswer answer) mutable {
    shard.post([done = std::move(done), answer = std::move(answer)]() mutable {
      done(std::move(answer));
    });
  };
  parts_.host->shard(0).post(
      [this, request = std::move(request), answer = std::move(answer)]() mutable {
        driver_.on_request(std::move(request), std::move(answer));
      });
}

}  // namespace millrace::node
