// What a streams application computes (KIP-1071): its subtopologies, the topics that each reads,
// and those that it keeps its own data in. As a member says it, and as its record has it.
// Not here: what becomes of it with the topics that there are (configured_topology.h).
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>

#include "wire/group_records.h"
#include "wire/streams_group_heartbeat.h"

namespace millrace::group::streams {

using Topology = wire::StreamsGroupTopologyValue;
using Subtopology = Topology::Subtopology;
using TopicInfo = Topology::TopicInfo;

Topology topology_of(const wire::StreamsGroupHeartbeatRequest::Topology& said);
// The order of subtopologies says nothing.
bool is_same(const Topology& a, const Topology& b);
// False: two subtopologies have one id, a copartition group names a topic that there is not, or the
// epoch is negative.
bool is_well_formed(const Topology& topology);

// What has to be there before tasks can run: topics that it reads, and its own.
std::set<std::string, std::less<>> required_topics(const Topology& topology);
// The ids of the subtopologies by the topics that they read; where several read one, the last.
using Readers = std::map<std::string, std::string, std::less<>>;
Readers readers_of(const Topology& topology);

}  // namespace millrace::group::streams
