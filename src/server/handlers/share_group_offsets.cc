// The APIs of administrators for the offsets of share groups (KIP-932): DescribeShareGroupOffsets,
// AlterShareGroupOffsets, DeleteShareGroupOffsets.
//
// Describing: the group's coordinator says which partitions are initialised, if the request does
// not; the share coordinator of each says where it begins and how much behind that is done; the
// leader of each says where it ends. Their difference is the lag (KIP-1226). What the first two do
// not know is no error: it has no start and no lag.
#include <map>

#include "node/latest_offsets.h"
#include "node/partition_groups.h"
#include "node/share_partitions.h"
#include "server/gathered_response.h"
#include "server/handlers/handlers.h"
#include "wire/describe_share_group_offsets.h"
#include "wire/error_messages.h"

namespace millrace::server {
namespace {

using group::Coordinator;
using group::RequestContext;
using wire::ErrorCode;
using AlterRequest = wire::AlterShareGroupOffsetsRequest;
using AlterResponse = wire::AlterShareGroupOffsetsResponse;
using DeleteRequest = wire::DeleteShareGroupOffsetsRequest;
using DeleteResponse = wire::DeleteShareGroupOffsetsResponse;
using DescribeResponse = wire::DescribeShareGroupOffsetsResponse;
using DescribeRequest = wire::DescribeShareGroupOffsetsRequest;
using DescribedGroup = DescribeResponse::DescribeShareGroupOffsetsResponseGroup;
using DescribedTopic = DescribeResponse::DescribeShareGroupOffsetsResponseTopic;
using DescribedPartition = DescribeResponse::DescribeShareGroupOffsetsResponsePartition;
using Description = GatheredResponse<DescribeResponse>;
using DescriptionPtr = std::shared_ptr<Description>;

constexpr int64_t kNoStart = -1;
constexpr int64_t kNoLag = -1;

template <class Response>
Response refused(ErrorCode code) {
  Response response;
  response.error_code = wire::code_of(code);
  response.error_message = wire::error_message(code);
  return response;
}

bool has_partition(const metadata::Image& image, const Uuid& topic_id, int32_t index) {
  const metadata::Topic* topic = image.find_topic(topic_id);
  return topic != nullptr && index >= 0 && std::cmp_less(index, topic->partitions.size());
}

// One group of the answer, on its way.
class DescribedOffsets : public std::enable_shared_from_this<DescribedOffsets> {
 public:
  DescribedOffsets(DescriptionPtr description, size_t at)
      : description_(std::move(description)), at_(at) {}

  // Of topics that there are; the others are known already and stand behind these.
  void add(const Uuid& topic_id, const std::string& name, const std::vector<int32_t>& partitions) {
    DescribedTopic& topic = topics_.emplace_back();
    topic.topic_id = topic_id;
    topic.topic_name = name;
    for (const int32_t index : partitions)
      topic.partitions.push_back({.partition_index = index, .start_offset = kNoStart});
  }

  void read_summaries() {
    node::SharePersister* persister = node().groups().persister();
    const auto image = node().image();
    left_ = 1;
    for (size_t i = 0; persister != nullptr && i < topics_.size(); ++i)
      for (size_t j = 0; j < topics_[i].partitions.size(); ++j) {
        // Nobody knows anything of a partition that is not there; its coordinator would be asked
        // again and again, as one that has not heard of it yet.
        const int32_t index = topics_[i].partitions[j].partition_index;
        if (!has_partition(*image, topics_[i].topic_id, index)) continue;
        ++left_;
        persister->read_summary(
            {.group = group().group_id,
             .topic = topics_[i].topic_id,
             .partition = PartitionIndex(index)},
            LeaderEpoch(0), shard(),
            [self = shared_from_this(), i, j](node::SharePersister::ReadResult result) {
              self->take(self->topics_[i], self->topics_[i].partitions[j], result);
              self->one_is_read();
            });
      }
    one_is_read();
  }

 private:
  void take(const DescribedTopic& topic, DescribedPartition& partition,
            const node::SharePersister::ReadResult& result) {
    if (result.error != ErrorCode::kNone) return;
    partition.start_offset = result.state.start_offset.value();
    partition.leader_epoch = result.state.leader_epoch.value();
    if (partition.start_offset == kNoStart || result.state.delivery_complete_count < 0) return;
    done_[{topic.topic_name, PartitionIndex(partition.partition_index)}] =
        result.state.delivery_complete_count;
  }

  void one_is_read() {
    if (--left_ > 0) return;
    if (done_.empty()) return finish({});
    std::vector<TopicPartition> partitions;
    for (const auto& [partition, count] : done_) partitions.push_back(partition);
    node().latest_offsets().ask(
        std::move(partitions), shard(),
        [self = shared_from_this()](const node::LatestOffsets::Answers& ends) {
          self->finish(ends);
        });
  }

  void finish(const node::LatestOffsets::Answers& ends) {
    for (DescribedTopic& topic : topics_)
      for (DescribedPartition& partition : topic.partitions) {
        const TopicPartition name{topic.topic_name, PartitionIndex(partition.partition_index)};
        const auto end = ends.find(name);
        if (end != ends.end()) measure(partition, end->second, done_.at(name));
      }
    auto& answers = group().topics;
    answers.insert(answers.begin(), topics_.begin(), topics_.end());
    description_->one_is_done();
  }

  static void measure(DescribedPartition& partition, const node::LatestOffsets::Answer& end,
                      int32_t done) {
    if (end.error == ErrorCode::kNone) {
      partition.lag = end.offset.value() - partition.start_offset - done;
      return;
    }
    partition = {.partition_index = partition.partition_index,
                 .lag = kNoLag,
                 .error_code = wire::code_of(end.error),
                 .error_message = wire::error_message(end.error)};
  }

  DescribedGroup& group() { return description_->response.groups[at_]; }
  node::Node& node() { return description_->call.node(); }
  env::Shard& shard() { return description_->call.shard(); }

  DescriptionPtr description_;
  size_t at_;
  std::vector<DescribedTopic> topics_;
  std::map<TopicPartition, int32_t> done_;  // of those that have a lag
  size_t left_ = 0;
};

// Every partition that is initialised for the group.
void describe_all(const DescriptionPtr& description, size_t at) {
  node::Node& node = description->call.node();
  auto offsets = std::make_shared<DescribedOffsets>(description, at);
  DescribedGroup& group = description->response.groups[at];
  const auto image = node.image();
  const ErrorCode code = node.groups().read(group.group_id, [&](const Coordinator& coordinator) {
    for (const auto& [id, partitions] : coordinator.initialized_share_partitions(group.group_id))
      if (const metadata::Topic* topic = image->find_topic(id))
        offsets->add(id, topic->name, partitions);
  });
  const auto fail = [description, at](ErrorCode error) {
    DescribedGroup& failed = description->response.groups[at];
    failed.error_code = wire::code_of(error);
    failed.error_message = wire::error_message(error);
    description->one_is_done();
  };
  if (code != ErrorCode::kNone) return fail(code);
  // What was read may rest on records that are not durable yet.
  node.groups().when_durable(group.group_id, description->call.shard(),
                             [offsets, fail](ErrorCode durable) {
                               if (durable != ErrorCode::kNone) return fail(durable);
                               offsets->read_summaries();
                             });
}

void describe_named(
    const DescriptionPtr& description, size_t at,
    const std::vector<DescribeRequest::DescribeShareGroupOffsetsRequestTopic>& topics) {
  auto offsets = std::make_shared<DescribedOffsets>(description, at);
  const auto image = description->call.node().image();
  for (const auto& asked : topics) {
    if (const metadata::Topic* topic = image->find_topic(asked.topic_name)) {
      offsets->add(topic->id, asked.topic_name, asked.partitions);
      continue;
    }
    DescribedTopic& absent = description->response.groups[at].topics.emplace_back();
    absent.topic_name = asked.topic_name;
    for (const int32_t index : asked.partitions)
      absent.partitions.push_back({.partition_index = index, .start_offset = kNoStart});
  }
  offsets->read_summaries();
}

// Runs `step` for a request that is answered with one Response.
template <class Response>
void run_step(Call call, const std::string& group_id, node::GroupHost::StepFunction step) {
  if (!call.node().share_partitions().is_enabled())
    return call.respond(refused<Response>(ErrorCode::kUnsupportedVersion));
  if (group_id.empty()) return call.respond(refused<Response>(ErrorCode::kInvalidGroupId));
  node::GroupHost::Request asked{.group_id = group_id,
                                 .api_version = call.version(),
                                 .client_id = call.header().client_id,
                                 .client_host = "/" + call.peer().host,
                                 .step = std::move(step),
                                 .shard = &call.shard()};
  node::GroupHost& groups = call.node().groups();
  asked.done = [waiting = std::make_shared<Call>(std::move(call))](ErrorCode code,
                                                                   group::Response response) {
    waiting->respond(code == ErrorCode::kNone ? std::get<Response>(response)
                                              : refused<Response>(code));
  };
  groups.run(std::move(asked));
}

}  // namespace

void handle_describe_share_group_offsets(Call call) {
  auto request = call.decode<DescribeRequest>();
  if (!request) return;
  const bool enabled = call.node().share_partitions().is_enabled();
  auto description = std::make_shared<Description>(std::move(call));
  for (const auto& asked : request->groups) {
    DescribedGroup& group = description->response.groups.emplace_back();
    group.group_id = asked.group_id;
    if (!enabled) group.error_code = wire::code_of(ErrorCode::kUnsupportedVersion);
  }
  for (size_t i = 0; enabled && i < request->groups.size(); ++i) {
    description->one_more();
    const auto& topics = request->groups[i].topics;
    if (topics)
      describe_named(description, i, *topics);
    else
      describe_all(description, i);
  }
  description->one_is_done();
}

void handle_alter_share_group_offsets(Call call) {
  auto request = call.decode<AlterRequest>();
  if (!request) return;
  const std::string group_id = request->group_id;
  run_step<AlterResponse>(
      std::move(call), group_id,
      [request = std::move(*request)](Coordinator& c, const RequestContext& context) {
        return c.decide_alter_share_offsets(request, context);
      });
}

void handle_delete_share_group_offsets(Call call) {
  auto request = call.decode<DeleteRequest>();
  if (!request) return;
  const std::string group_id = request->group_id;
  run_step<DeleteResponse>(
      std::move(call), group_id,
      [request = std::move(*request)](Coordinator& c, const RequestContext& context) {
        return c.decide_delete_share_offsets(request, context);
      });
}

}  // namespace millrace::server
