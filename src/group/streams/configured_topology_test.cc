#include "group/streams/configured_topology.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace millrace::group::streams {
namespace {

struct World {
  std::map<std::string, int32_t, std::less<>> topics;
  Topology topology;

  Subtopology& add(const std::string& id) {
    topology.subtopologies.emplace_back().subtopology_id = id;
    return topology.subtopologies.back();
  }
  std::expected<ConfiguredTopology, InvalidTopology> made() const {
    EXPECT_TRUE(is_well_formed(topology));
    return configure(topology, [&](std::string_view name) {
      const auto at = topics.find(name);
      return at == topics.end() ? 0 : at->second;
    });
  }
  std::string problem() const {
    const auto found = made();
    if (!found) return "refused: " + found.error().message;
    if (!found->problem) return "";
    return std::to_string(static_cast<int>(found->problem->code)) + " " + found->problem->detail;
  }
};

// Two subtopologies: what the first writes is partitioned anew for the second, which counts.
World word_count() {
  World world{.topics = {{"lines", 3}}, .topology = {}};
  Subtopology& first = world.add("0");
  first.source_topics = {"lines"};
  first.repartition_sink_topics = {"words"};
  Subtopology& second = world.add("1");
  second.repartition_source_topics = {{.name = "words"}};
  second.state_changelog_topics = {
      {.name = "counts", .topic_configs = {{.key = "cleanup.policy", .value = "compact"}}}};
  return world;
}

TEST(ConfiguredTopology, its_own_topics_have_as_many_partitions_as_what_is_read) {
  World world = word_count();
  EXPECT_EQ(world.problem(), "3 Internal topics are missing: counts, words");
  const auto made = world.made();
  ASSERT_TRUE(made);
  EXPECT_FALSE(made->is_ready());
  ASSERT_EQ(made->missing.size(), 2u);
  EXPECT_EQ(made->missing.at("words").partitions, 3);
  EXPECT_EQ(made->missing.at("counts").partitions, 3);
  EXPECT_EQ(made->missing.at("counts").configs.at("cleanup.policy"), "compact");
  EXPECT_EQ(made->subtopologies->at("1").tasks, 3);
  world.topics.insert({{"words", 3}, {"counts", 3}});
  EXPECT_TRUE(world.made()->is_ready());
}

TEST(ConfiguredTopology, without_what_it_reads_there_is_nothing) {
  World world = word_count();
  world.topics.clear();
  EXPECT_EQ(world.problem(), "1 Source topics lines are missing.");
  EXPECT_FALSE(world.made()->subtopologies);
  world.topology.subtopologies[0].source_topics = {"d", "c", "b", "a"};
  EXPECT_EQ(world.problem(), "1 Source topics a, b, c and 1 additional topics are missing.");
}

TEST(ConfiguredTopology, a_topic_of_its_own_that_is_there_has_to_fit) {
  World world = word_count();
  world.topics["counts"] = 2;
  EXPECT_EQ(world.problem(),
            "2 Existing topic counts has different number of partitions: expected 3, found 2");
}

TEST(ConfiguredTopology, the_application_may_say_how_many_partitions_it_wants) {
  World world = word_count();
  world.topology.subtopologies[1].repartition_source_topics[0].partitions = 7;
  world.topology.subtopologies[1].repartition_source_topics[0].replication_factor = 2;
  const auto made = world.made();
  EXPECT_EQ(made->missing.at("words").partitions, 7);
  EXPECT_EQ(made->missing.at("words").replication_factor, 2);
  EXPECT_EQ(made->missing.at("counts").partitions, 7);
  EXPECT_EQ(made->subtopologies->at("1").tasks, 7);
}

TEST(ConfiguredTopology, what_is_joined_has_to_be_partitioned_alike) {
  World world{.topics = {{"a", 3}, {"b", 4}}, .topology = {}};
  Subtopology& join = world.add("0");
  join.source_topics = {"a", "b"};
  join.copartition_groups = {{.source_topics = {0, 1}}};
  EXPECT_EQ(world.problem(),
            "2 Following topics do not have the same number of partitions: [{a=3, b=4}]");
  world.topics["b"] = 3;
  EXPECT_EQ(world.problem(), "");
}

TEST(ConfiguredTopology, a_topic_of_its_own_follows_what_it_is_joined_with) {
  World world{.topics = {{"a", 3}, {"b", 5}}, .topology = {}};
  Subtopology& writer = world.add("0");
  writer.source_topics = {"a"};
  writer.repartition_sink_topics = {"r"};
  Subtopology& join = world.add("1");
  join.source_topics = {"b"};
  join.repartition_source_topics = {{.name = "r"}};
  join.copartition_groups = {{.source_topics = {0}, .repartition_source_topics = {0}}};
  EXPECT_EQ(world.made()->missing.at("r").partitions, 5);
  world.topology.subtopologies[1].repartition_source_topics[0].partitions = 4;
  EXPECT_EQ(world.problem(),
            "2 Number of partitions [4] of repartition topic [r] doesn't match number of "
            "partitions [5] of the source topic.");
}

TEST(ConfiguredTopology, topics_of_its_own_that_are_joined_are_as_large_as_the_largest) {
  World world{.topics = {{"a", 3}, {"b", 5}}, .topology = {}};
  Subtopology& first = world.add("0");
  first.source_topics = {"a"};
  first.repartition_sink_topics = {"r"};
  Subtopology& second = world.add("1");
  second.source_topics = {"b"};
  second.repartition_sink_topics = {"s"};
  Subtopology& join = world.add("2");
  join.repartition_source_topics = {{.name = "r"}, {.name = "s"}};
  join.copartition_groups = {{.repartition_source_topics = {0, 1}}};
  EXPECT_EQ(world.made()->missing.at("r").partitions, 5);
  EXPECT_EQ(world.made()->missing.at("s").partitions, 5);
  world.topology.subtopologies[2].repartition_source_topics[0].partitions = 2;
  EXPECT_EQ(world.made()->missing.at("s").partitions, 2);
  world.topology.subtopologies[2].repartition_source_topics[1].partitions = 4;
  EXPECT_EQ(world.problem(),
            "2 Following topics do not have the same number of partitions: [{r=2, s=4}]");
}

// As in Apache Kafka: by the order of subtopologies, not by what depends on what.
TEST(ConfiguredTopology, a_topic_is_decided_as_soon_as_anything_is_known_that_its_writer_reads) {
  World world{.topics = {{"a", 3}, {"b", 8}}, .topology = {}};
  Subtopology& first = world.add("0");
  first.source_topics = {"a"};
  first.repartition_source_topics = {{.name = "r"}};
  first.repartition_sink_topics = {"s"};
  Subtopology& second = world.add("1");
  second.source_topics = {"b"};
  second.repartition_sink_topics = {"r"};
  world.add("2").repartition_source_topics = {{.name = "s"}};
  EXPECT_EQ(world.made()->missing.at("s").partitions, 3);
  std::swap(world.topology.subtopologies[0], world.topology.subtopologies[1]);
  EXPECT_EQ(world.made()->missing.at("s").partitions, 8);
}

TEST(ConfiguredTopology, a_long_chain_is_decided_in_any_order) {
  constexpr int kLinks = 20'000;
  World world{.topics = {{"r0", 4}}, .topology = {}};
  for (int i = kLinks - 1; i >= 0; --i) {
    Subtopology& link = world.add(std::to_string(i));
    if (i == 0)
      link.source_topics = {"r0"};
    else
      link.repartition_source_topics = {{.name = fmt::format("r{}", i)}};
    if (i + 1 < kLinks) link.repartition_sink_topics = {fmt::format("r{}", i + 1)};
  }
  const auto made = world.made();
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_EQ(made->missing.at(fmt::format("r{}", kLinks - 1)).partitions, 4);
}

TEST(ConfiguredTopology, more_tasks_than_are_served_are_refused) {
  World world{.topics = {{"a", 1000}}, .topology = {}};
  for (int i = 0; i < 100; ++i) world.add(std::to_string(i)).source_topics = {"a"};
  EXPECT_EQ(world.problem(), "");
  world.add("100").source_topics = {"a"};
  EXPECT_EQ(world.problem(),
            "refused: The topology has 101000 tasks, and 100000 at most are served.");
}

// Java reads no string of more than 32,767 bytes.
TEST(ConfiguredTopology, what_does_not_fit_together_is_not_listed_without_end) {
  World world;
  Subtopology& join = world.add("0");
  join.copartition_groups.emplace_back();
  for (int16_t i = 0; i < 500; ++i) {
    const std::string name = fmt::format("{:0>240}", i);
    world.topics[name] = i + 1;
    join.source_topics.push_back(name);
    join.copartition_groups[0].source_topics.push_back(i);
  }
  const std::string problem = world.problem();
  EXPECT_TRUE(problem.starts_with("2 Following topics do not have the same number of"));
  EXPECT_TRUE(problem.ends_with(", ...}]")) << problem.size();
  EXPECT_LT(problem.size(), 32'000u);
}

TEST(ConfiguredTopology, what_cannot_be_computed_is_refused) {
  World loop;
  Subtopology& subtopology = loop.add("0");
  subtopology.repartition_source_topics = {{.name = "r"}};
  subtopology.repartition_sink_topics = {"r"};
  EXPECT_EQ(loop.problem(),
            "refused: Failed to compute number of partitions for all repartition topics. There may "
            "be loops in the topology that cannot be resolved.");
  loop.topology.subtopologies[0].repartition_sink_topics.clear();
  EXPECT_EQ(loop.problem(),
            "refused: Failed to compute number of partitions for all repartition topics, because a "
            "repartition source topic is never used as a sink topic.");
  loop.topology.subtopologies[0].repartition_source_topics.clear();
  EXPECT_EQ(loop.problem(), "refused: No source topics found for subtopology 0");
}

TEST(Topology, is_the_same_in_any_order) {
  World world = word_count();
  Topology turned = world.topology;
  std::swap(turned.subtopologies[0], turned.subtopologies[1]);
  EXPECT_TRUE(is_same(world.topology, turned));
  turned.subtopologies[0].repartition_sink_topics = {"x"};
  EXPECT_FALSE(is_same(world.topology, turned));
  turned = world.topology;
  turned.epoch = 1;
  EXPECT_FALSE(is_same(world.topology, turned));
}

TEST(Topology, contradictions_are_found) {
  World world = word_count();
  world.topology.subtopologies[0].copartition_groups = {{.source_topics = {1}}};
  EXPECT_FALSE(is_well_formed(world.topology));
  world.topology.subtopologies[0].copartition_groups = {{.source_topics = {-1}}};
  EXPECT_FALSE(is_well_formed(world.topology));
  world = word_count();
  world.topology.subtopologies[1].subtopology_id = "0";
  EXPECT_FALSE(is_well_formed(world.topology));
  world = word_count();
  world.topology.epoch = -1;
  EXPECT_FALSE(is_well_formed(world.topology));
}

}  // namespace
}  // namespace millrace::group::streams
