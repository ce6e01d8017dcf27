#include "server/share_acknowledgements.h"

#include <algorithm>

#include "share/member_id.h"

namespace millrace::server {

using wire::ErrorCode;

namespace {

bool is_valid(const share::AcknowledgementBatch& batch, const Acknowledgements& said) {
  if (batch.first > batch.last || batch.types.empty()) return false;
  if (batch.types.size() > 1 &&
      std::cmp_not_equal(batch.types.size() - 1, batch.last - batch.first))
    return false;
  const int8_t most = said.may_renew ? share::kRenew : share::kRenew - 1;
  return std::ranges::all_of(batch.types, [&](int8_t type) {
    return 0 <= type && type <= most && (type != share::kRenew || said.renews);
  });
}

// As Kafka: one may begin at the offset that the one before it ends at.
bool are_valid(const std::vector<share::AcknowledgementBatch>& batches,
               const Acknowledgements& said) {
  Offset before{-1};
  for (const auto& batch : batches) {
    if (batch.first < before || !is_valid(batch, said)) return false;
    before = batch.last;
  }
  return true;
}

ErrorCode check(const Call& call, const Acknowledgements& said,
                const Acknowledgements::OfPartition& each) {
  const auto image = call.node().image();
  const metadata::Topic* topic = image->find_topic(each.partition.topic_id);
  if (topic == nullptr) return ErrorCode::kUnknownTopicId;
  if (!are_valid(each.batches, said)) return ErrorCode::kInvalidRequest;
  const int32_t index = each.partition.partition.value();
  if (index < 0 || std::cmp_greater_equal(index, topic->partitions.size()))
    return ErrorCode::kUnknownTopicOrPartition;
  return ErrorCode::kNone;
}

struct Gathering {
  std::vector<AcknowledgedPartition> results;
  size_t left = 0;
  AcknowledgedDone done;
};

}  // namespace

ErrorCode check_share_request(const Call& call, const std::optional<std::string>& group,
                              const std::optional<std::string>& member) {
  if (!call.node().share_partitions().is_enabled()) return ErrorCode::kUnsupportedVersion;
  const bool is_valid = group && member && share::is_member_id(*member);
  return is_valid ? ErrorCode::kNone : ErrorCode::kInvalidRequest;
}

void acknowledge(const Call& call, const Acknowledgements& said, AcknowledgedDone done) {
  const auto gathering = std::make_shared<Gathering>();
  gathering->done = std::move(done);
  std::vector<const Acknowledgements::OfPartition*> good;
  for (const auto& each : said.partitions) {
    const ErrorCode error = check(call, said, each);
    if (error != ErrorCode::kNone)
      gathering->results.push_back({.partition = each.partition, .error = error});
    else if (!each.batches.empty())
      good.push_back(&each);
  }
  // What says nothing is answered only beside what does.
  if (good.empty()) return gathering->done(std::move(gathering->results));
  for (const auto& each : said.partitions)
    if (each.batches.empty() && check(call, said, each) == ErrorCode::kNone)
      gathering->results.push_back({.partition = each.partition});
  gathering->left = good.size();
  for (const auto* each : good) {
    const auto& [topic, index] = each->partition;
    call.node().share_partitions().acknowledge(
        {.key = {said.group, topic, index}, .member = said.member, .batches = each->batches},
        call.shard(),
        [gathering, partition = each->partition](ErrorCode error, std::string message) {
          gathering->results.push_back({partition, error, std::move(message)});
          if (--gathering->left == 0) gathering->done(std::move(gathering->results));
        });
  }
}

}  // namespace millrace::server
