// What the quorum of a simulated cluster has committed, record after record, as it stands on the
// media: for oracles that judge each change by what was before it, where images only tell what came
// of several.
// Not here: whether the replicas agree on it (sim/quorum_oracle).
//
// Where nobody has the next records any more, for all have a snapshot in their place, it goes on
// behind the newest image.
// Threads: one.
#pragma once

#include <functional>

#include "sim/cluster.h"
#include "sim/stored_log.h"
#include "wire/metadata_record.h"

namespace millrace::sim {

class CommittedRecords {
 public:
  struct Step {
    const metadata::Image& before;
    const wire::MetadataRecord& record;
    Offset offset;
  };

  explicit CommittedRecords(Cluster& cluster) : cluster_(&cluster) {}

  std::function<void(const Step&)> on_record;
  std::function<void(const StoredBatch&)> on_batch;

  // Takes what was committed since: every few events.
  void look();

 private:
  // Where reading stopped.
  struct Place {
    NodeId node = kNoNode;
    std::string segment;
    size_t position = 0;
  };

  bool read(const Cluster::Node& source, Offset below);
  bool read_segment(const Cluster::Node& source, Offset below);
  void take(const record::BatchView& batch);
  void skip();

  Cluster* cluster_;
  metadata::Image image_;
  Offset next_{0};
  Place place_;
};

}  // namespace millrace::sim
