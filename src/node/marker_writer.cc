#include "node/marker_writer.h"

namespace millrace::node {

using wire::ErrorCode;

void MarkerWriter::write(const Write& write, env::Shard& shard, AckDone done) {
  const auto refuse = [&](ErrorCode code) {
    shard.post([done = std::move(done), code]() mutable { done(code); });
  };
  const HostedPartition hosted = partitions_->find(write.partition);
  if (!hosted) return refuse(write.absence);
  if (hosted.volume()->is_offline()) return refuse(ErrorCode::kKafkaStorageError);
  if (write.partition.topic == GroupKind::kTopic)
    return groups_->write_marker(write.partition.partition, write.marker, shard, std::move(done));
  ErrorCode code = ErrorCode::kNone;
  with_partition(*hosted.partition, [&](PartitionState& state) {
    code = append_marker(state, write.marker, shard.clock().wall());
    if (code == ErrorCode::kNone) state.wait_for(state.log().log_end(), shard, std::move(done));
  });
  if (code != ErrorCode::kNone) return refuse(code);
  partitions_->appended(hosted);
}

}  // namespace millrace::node
