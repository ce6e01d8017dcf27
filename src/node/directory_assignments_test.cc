#include "node/directory_assignments.h"

#include <gtest/gtest.h>

namespace millrace::node {
namespace {

TEST(DirectoryAssignments, a_replicas_directory_is_found_by_its_place) {
  metadata::PartitionState state;
  state.replicas = {NodeId(3), NodeId(1)};
  state.directories = {Uuid::of_words({1, 1}), Uuid::of_words({2, 2})};
  EXPECT_EQ(assigned_directory(state, NodeId(1)), Uuid::of_words({2, 2}));
  EXPECT_EQ(assigned_directory(state, NodeId(2)), std::nullopt);
  state.directories.clear();
  EXPECT_EQ(assigned_directory(state, NodeId(1)), std::nullopt) << "of before there were any";
}

}  // namespace
}  // namespace millrace::node
